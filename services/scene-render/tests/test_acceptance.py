"""A clip that can be copied into its film stays as it is; others are conformed, with IDR pictures in their places."""

import asyncio
import hashlib
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest

from scene_render.clips.acceptance import WantedClip, accept
from scene_render.clips.conform import join
from scene_render.internal_messages import ClipReady
from shared.contracts.events import SceneRendered, SceneRequested
from shared.media.encoding_profile import PARAMETER_SET_ID
from shared.media.ffmpeg import Ffmpeg
from shared.media.h264_stream import cut_points
from shared.media.probe import probe
from shared_testing.due_times import CheckDue

pytestmark = pytest.mark.slow

SIZE, FRAMES, BOUNDARIES = (96, 64), 36, (7, 30)
WANTED = WantedClip(SIZE, FRAMES, FRAMES, boundaries=BOUNDARIES)
TAGS = "-pix_fmt yuv420p -colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range tv"
PICTURE = f"-f lavfi -i testsrc2=s={SIZE[0]}x{SIZE[1]}:r=24:d=1.5"
SOUND = "-f lavfi -i sine=r=48000:d=1.5"
X264 = f"-c:v libx264 {TAGS}"
AAC = "-c:a aac -ac 2"

KEPT = {
    "cavlc": f"{PICTURE} {SOUND} {X264} -coder 0 {AAC}",
    "no b-frames": f"{PICTURE} {SOUND} {X264} -bf 0 {AAC}",
    "6 references": f"{PICTURE} {SOUND} {X264} -refs 6 {AAC}",
    "main": f"{PICTURE} {SOUND} {X264} -profile:v main {AAC}",
    "a single idr": f"{PICTURE} {SOUND} {X264} -g 999 {AAC}",
    "open groups": f"{PICTURE} {SOUND} {X264} -x264-params open-gop=1:keyint=12:scenecut=0 {AAC}",
    "no sound": f"{PICTURE} {X264}",
    "sets repeated in the stream": f"{PICTURE} {X264} -tag:v avc3 -bsf:v dump_extra=freq=keyframe",
}
PICTURE_KEPT = {
    "sound at 44.1 kHz": f"{PICTURE} -f lavfi -i sine=r=44100:d=1.5 {X264} {AAC}",
    "sound in mono": f"{PICTURE} {SOUND} {X264} -c:a aac -ac 1",
    "mp3": f"{PICTURE} {SOUND} {X264} -c:a libmp3lame -ac 2",
    "a timecode track": f"{PICTURE} {SOUND} {X264} {AAC} -timecode 01:00:00:00",
}
CONFORMED = {
    "our number": f"{PICTURE} {SOUND} {X264} -x264-params sps-id=1 {AAC}",
    "a variable rate": f"{PICTURE} {X264} -vf select='not(eq(n,5))' -fps_mode vfr",
    "30 frames per second": f"-f lavfi -i testsrc2=s={SIZE[0]}x{SIZE[1]}:r=30:d=1.5 {X264}",
    "fragmented": f"{PICTURE} {SOUND} {X264} {AAC} -movflags frag_keyframe+empty_moov",
    "hevc": f"{PICTURE} -c:v libx265 -x265-params log-level=error {TAGS} -tag:v hvc1",
}


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], Path]:
    def run(options: str) -> Path:
        path = tmp_path / "clip.mp4"
        subprocess.run([Ffmpeg().binary, "-v", "error", "-nostdin", *options.split(), "-y", str(path)], check=True)
        return path

    return run


def packets(path: Path) -> list[str]:
    with av.open(str(path)) as media:
        return [hashlib.sha256(bytes(packet)).hexdigest() for packet in media.demux(video=0) if packet.size]


def frames_decoded(path: Path) -> int:
    with av.open(str(path)) as media:
        return sum(1 for _ in media.decode(video=0))


@pytest.mark.parametrize("options", KEPT.values(), ids=KEPT)
async def test_a_clip_that_can_be_copied_stays_as_it_is(make: Callable[[str], Path], options: str) -> None:
    path = make(options)
    accepted = await accept(path, WANTED, Ffmpeg())
    assert accepted.path == path
    assert accepted.cut_points == cut_points(path)


@pytest.mark.parametrize("options", PICTURE_KEPT.values(), ids=PICTURE_KEPT)
async def test_sound_and_other_tracks_never_cause_the_picture_to_be_encoded(
    make: Callable[[str], Path], options: str
) -> None:
    path = make(options)
    accepted = await accept(path, WANTED, Ffmpeg())
    assert packets(accepted.path) == packets(path)
    facts = accepted.facts
    assert (facts.audio_codec, facts.audio_rate, facts.audio_channels) == ("aac", 48_000, 2)
    assert (facts.others, facts.frames, facts.start) == (0, FRAMES, 0)
    assert accepted.cut_points == cut_points(accepted.path)


@pytest.mark.parametrize("options", CONFORMED.values(), ids=CONFORMED)
async def test_any_other_clip_is_conformed_with_idr_pictures_where_scenes_overlap(
    make: Callable[[str], Path], options: str
) -> None:
    accepted = await accept(make(options), WANTED, Ffmpeg())
    assert accepted.cut_points is not None
    assert accepted.cut_points.parameter_set_id == PARAMETER_SET_ID
    assert {0, *BOUNDARIES} <= set(accepted.cut_points.idr_frames)
    assert set(BOUNDARIES) <= set(accepted.cut_points.clean_ends)
    assert accepted.facts.frames == frames_decoded(accepted.path) == FRAMES


async def test_our_own_clips_keep_our_number(make: Callable[[str], Path]) -> None:
    path = make(CONFORMED["our number"])
    assert (await accept(path, replace(WANTED, is_own=True), Ffmpeg())).path == path


async def test_joined_parts_have_idr_pictures_where_scenes_overlap(make: Callable[[str], Path], tmp_path: Path) -> None:
    part, joined = make(KEPT["no sound"]), tmp_path / "joined.mp4"
    other = Path(shutil.copy(part, tmp_path / "other.mp4"))
    await join([(part, 36), (other, 24)], joined, (11, 50), Ffmpeg())
    assert {11, 50} <= set(cut_points(joined).idr_frames)
    assert (await probe(joined)).frames == 60


async def test_clips_of_one_film_have_one_set_of_parameters_of_a_number(
    sqlite_rig: Any, scene: Callable[..., SceneRequested], make: Callable[[str], Path]
) -> None:
    rig, clips = sqlite_rig, []
    picture = "-f lavfi -i testsrc2=s=1280x720:r=24:d=1"
    for number, crf in enumerate((30, 35, 30), start=1):
        rig.ledger.clip = make(f"{picture} {X264} -preset ultrafast -crf {crf}")
        await rig.deliver(scene(number))
        await rig.start()
        [check] = [due for due in await rig.published() if isinstance(due, CheckDue)]
        await rig.deliver(check)
        [ready] = [event for event in await rig.published() if isinstance(event, ClipReady)]
        await rig.deliver(ready)
        clips += [event.clip for event in await rig.published() if isinstance(event, SceneRendered)]
    first, second, third = (clip.cut_points for clip in clips)
    assert first == third
    assert (first.parameter_set_id, second.parameter_set_id) == (0, PARAMETER_SET_ID)
    assert await asyncio.to_thread(cut_points, rig.storage.path(clips[1].media.key)) == second
