"""Black and frozen clips are distinguished from dark clips and from clips that move little or late."""

import random
from pathlib import Path

import av
import pytest

from scene_render.clips.content_checks import check_content
from shared.media.ffmpeg import Ffmpeg, FfmpegFailed

BLACK = "color=black:s=320x180:r=24:d=3"
GREY = "color=gray:s=320x180:r=24:d=3"
STILL = "testsrc2=s=320x180:r=24:d=3,trim=end_frame=1,loop=-1:1,setpts=N/24/TB,trim=end=3"
SLOW = "gradients=s=320x180:r=24:d=3:speed=0.0005:seed=1:nb_colors=2:c0=black:c1=white:x0=0:y0=0:x1=319:y1=179"
BOX_AT_END = "drawbox=w=60:h=60:color=white:t=fill:enable='gt(t,2.6)'"


async def clip(folder: Path, source: str) -> Path:
    path = folder / "it's a [clip], 100%.mp4"
    await Ffmpeg().run(["-f", "lavfi", "-i", source, "-pix_fmt", "yuv420p", "-y", str(path)], time_limit=60)
    return path


@pytest.mark.parametrize(
    ("source", "is_black", "is_frozen"),
    [
        (BLACK, True, True),
        (f"{BLACK},format=yuv420p,geq=lum=40:cb=128:cr=128", False, True),
        (f"{BLACK},{BOX_AT_END}", False, False),
        (GREY, False, True),
        (f"{GREY},{BOX_AT_END}", False, False),
        (STILL, False, True),
        (SLOW, False, False),
        ("testsrc2=s=320x180:r=24:d=0.4", False, False),
    ],
    ids=[
        "black", "dark grey", "black until its end", "grey", "frozen until its end", "still",
        "slow", "a single sample",
    ],
)  # fmt: skip
async def test_only_clips_that_are_black_or_frozen_throughout_are_reported(
    tmp_path: Path, source: str, is_black: bool, is_frozen: bool
) -> None:
    report = await check_content(await clip(tmp_path, source), Ffmpeg())
    assert (report.is_black, report.is_frozen) == (is_black, is_frozen)


async def test_a_clip_that_cannot_be_decoded_to_its_end_fails_the_check(tmp_path: Path) -> None:
    path = await clip(tmp_path, "testsrc2=s=320x180:r=24:d=3")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = bytes(2000)
    path.write_bytes(data)
    with pytest.raises(FfmpegFailed):
        await check_content(path, Ffmpeg())


@pytest.mark.parametrize("stream", [0, 1], ids=["picture", "sound"])
async def test_a_packet_of_noise_in_the_middle_fails_the_check(tmp_path: Path, stream: int) -> None:
    whole, path = await clip(tmp_path, "testsrc2=s=320x180:r=24:d=3"), tmp_path / "noise.mp4"
    sound = ["-f", "lavfi", "-i", "sine=d=3", "-c:v", "copy", "-y", str(path)]
    await Ffmpeg().run(["-f", "mov", "-i", str(whole), *sound], time_limit=60)
    assert (await check_content(path, Ffmpeg())).frames == 72
    with av.open(str(path)) as media:
        packets = [(packet.pos, packet.size) for packet in media.demux(media.streams[stream]) if packet.size]
    position, size = packets[len(packets) // 2]
    data = bytearray(path.read_bytes())
    # The length of the first NAL unit and its type stay, so that only a decoder can tell.
    data[position + 8 : position + size] = random.Random(1).randbytes(size - 8)
    path.write_bytes(data)
    with pytest.raises(FfmpegFailed):
        await check_content(path, Ffmpeg())
