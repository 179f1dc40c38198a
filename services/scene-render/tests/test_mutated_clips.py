"""Clips that are damaged in any way are refused or accepted, without a hang, a crash or anything left over."""

import asyncio
import random
import resource
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from scene_render.clips.acceptance import WantedClip, accept
from scene_render.providers.base import ClipUnusable
from shared.media.ffmpeg import Ffmpeg
from shared.media.probe import MediaDamaged, MediaUnreadable, probe

pytestmark = pytest.mark.slow
log = structlog.get_logger()

SIZE, FRAMES = (96, 64), 24
WANTED = WantedClip(SIZE, FRAMES, FRAMES, boundaries=(6,))
LONGEST_SECONDS = 60.0
"""No clip of a second takes so long on any machine, unless it hangs."""
MOST_GROWTH = 200 * 2**20
"""Bytes by which the process may grow: parallel decoders keep some memory."""
BT709 = "-colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range tv"
PICTURE = f"-f lavfi -i testsrc2=s={SIZE[0]}x{SIZE[1]}:r=24:d=1 -f lavfi -i sine=r=48000:d=1 -pix_fmt yuv420p {BT709}"
CLIPS = {
    "fits": f"{PICTURE} -c:v libx264 -g 12 -c:a aac -ac 2 -f mp4",
    "fragmented": f"{PICTURE} -c:v libx264 -g 12 -c:a aac -movflags frag_keyframe+empty_moov -f mp4",
    "webm": f"{PICTURE} -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus -f webm",
}
BOXES = (
    b"moov",
    b"trak",
    b"mdia",
    b"stbl",
    b"stsd",
    b"stts",
    b"ctts",
    b"stsz",
    b"stsc",
    b"stco",
    b"avcC",
    b"elst",
    b"mdat",
)


def flip_bits(data: bytearray, dice: random.Random) -> None:
    for _ in range(dice.choice((1, 3, 30))):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def truncate(data: bytearray, dice: random.Random) -> None:
    del data[dice.randrange(len(data)) :]


def clear(data: bytearray, dice: random.Random) -> None:
    begin = dice.randrange(len(data))
    length = min(dice.choice((4, 64, 2000)), len(data) - begin)
    data[begin : begin + length] = bytes(length)


def resize_box(data: bytearray, dice: random.Random) -> None:
    place = data.find(dice.choice(BOXES)) - 4
    if place >= 0:
        struct.pack_into(">I", data, place, dice.choice((0, 1, 7, 8, 2**31, 2**32 - 1, dice.randrange(2**16))))


def change_number(data: bytearray, dice: random.Random) -> None:
    """Change one of the first numbers in a box: a count, a length, a rate."""
    place = data.find(dice.choice(BOXES)) + 4 + 4 * dice.randrange(5)
    if 4 <= place <= len(data) - 4:
        struct.pack_into(">I", data, place, dice.choice((0, 1, 2**20, 2**27, 2**31 - 1, 2**32 - 1)))


def repeat(data: bytearray, dice: random.Random) -> None:
    begin = max(data.find(dice.choice(BOXES)) - 4, 0)
    length = int.from_bytes(data[begin : begin + 4])
    data[begin:begin] = data[begin : begin + min(length, 20_000)]


MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    flip_bits, truncate, clear, resize_box, change_number, repeat,
)  # fmt: skip


async def test_a_mutated_clip_is_accepted_or_refused_and_nothing_else(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    count = 300 if pytestconfig.getoption("--all") else 15
    originals = []
    for name, options in CLIPS.items():
        path = tmp_path / name
        subprocess.run([Ffmpeg().binary, "-v", "error", "-y", *options.split(), str(path)], check=True)
        await accept(path, WANTED, Ffmpeg())
        originals.append(path.read_bytes())
    folder, largest, outcomes = tmp_path / "clips", 0, dict.fromkeys(("accepted", "refused"), 0)
    for number in range(count):
        dice = random.Random(number)
        data = bytearray(originals[number % len(originals)])
        dice.choice(MUTATIONS)(data, dice)
        folder.mkdir()
        path = folder / "clip"
        path.write_bytes(data)
        async with asyncio.timeout(LONGEST_SECONDS):
            try:
                accepted = await accept(path, WANTED, Ffmpeg())
            except (ClipUnusable, MediaUnreadable):
                outcomes["refused"] += 1
            else:
                outcomes["accepted"] += 1
                facts = await probe(accepted.path)
                assert (facts.width, facts.height, facts.others) == (*SIZE, 0), number
                assert accepted.cut_points is not None
                assert accepted.cut_points.idr_frames[0] == 0
        assert {one.stem for one in folder.iterdir()} <= {"clip", "conformed", "remuxed"}, number
        for one in folder.iterdir():
            one.unlink()
        folder.rmdir()
        largest = largest or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - largest) * 1024
    log.info("clips.mutated", growth=growth, **outcomes)
    assert all(outcomes.values())
    assert growth < MOST_GROWTH


@pytest.mark.parametrize("name", ["fits", "fragmented"])
async def test_a_small_file_cannot_claim_much_memory(tmp_path: Path, name: str) -> None:
    path = tmp_path / "clip"
    subprocess.run([Ffmpeg().binary, "-v", "error", "-y", *CLIPS[name].split(), str(path)], check=True)
    data = bytearray(path.read_bytes())
    if name == "fits":
        struct.pack_into(">III", data, data.rfind(b"stsz") + 4, 0, 1, 2**31 - 1)
        struct.pack_into(">I", data, data.rfind(b"stsc") + 16, 2**31 - 1)
    else:
        struct.pack_into(">II", data, data.find(b"trun") + 4, 1, 2**26)
    path.write_bytes(data)
    with pytest.raises(MediaDamaged):
        await probe(path)
