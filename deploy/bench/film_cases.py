"""The films that `composing.py` measures, and their clips."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.contracts.media import FRAME_RATE, FRAME_SIZE
from shared.contracts.story import Scene, Transition
from shared.contracts.timeline import Slot, timeline
from shared.media.encoding_profile import CLIP_VIDEO, COLOUR_TAGS
from shared.media.ffmpeg import Ffmpeg

SIZE = FRAME_SIZE["16:9"]
SOURCES = (
    "mandelbrot=s={size}:r={rate}",
    "testsrc2=s={size}:r={rate}",
    "life=s={size}:r={rate}:mold=10:ratio=0.1:seed=1",
)
GRAIN = "noise=alls=6:allf=t"
"""Camera footage has it: without it the pictures would be easier than real ones."""
FOREIGN = "open-gop=0:bframes=3:ref=3:sps-id=0:scenecut=0:min-keyint=1"
CLIP_EXTRA = 6
"""Frames by which a provider's clip is longer than ordered."""


@dataclass(frozen=True)
class Case:
    """A film. `form`: `ours`, or that of a provider, with an IDR picture every so many frames.

    `goals`: the largest ratios to naive.
    """

    name: str
    seconds: int
    transitions: tuple[Transition, ...]
    form: str = "ours"
    has_sound: bool = False
    goals: Mapping[str, float] | None = None

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Return its scenes."""
        count = len(self.transitions)
        what = {"description": "d", "camera_angle": "wide", "action": "a"}
        return timeline(
            [
                Scene(scene_number=n, duration=self.seconds / count, transition=transition, **what)
                for n, transition in enumerate(self.transitions, 1)
            ]
        )


FADES: tuple[Transition, ...] = ("fade", "dissolve", "cut")
CASES = (
    Case("30 s, 3 scenes, cuts", 30, ("cut", "cut", "cut"), goals={"ours wall": 0.01}),
    Case("30 s, 3, fade + dissolve", 30, FADES, goals={"ours cpu": 0.15, "last wall": 0.10}),
    Case("30 s, 3, wipes", 30, ("wipe", "wipe", "cut")),
    Case("30 s, 3, fade + dissolve, foreign, GOP 2 s", 30, FADES, "48"),
    Case("30 s, 3, fade + dissolve, single IDR (hold)", 30, FADES, "1000", goals={"ours cpu": 0.20}),
    Case("30 s, 3, fade + dissolve, mixed sizes and rates", 30, FADES, "mixed", goals={"ours cpu": 0.5}),
    Case("30 s, 3, fade + dissolve, with sound", 30, FADES, has_sound=True),
)
MORE_CASES = (
    Case("15 s, 2, dissolve", 15, ("dissolve", "cut")),
    Case("30 s, 3, cuts, foreign, GOP 1 s", 30, ("cut", "cut", "cut"), "24"),
    Case("30 s, 3, cuts, single IDR", 30, ("cut", "cut", "cut"), "1000"),
    Case("60 s, 5, fades and dissolves", 60, ("fade", "dissolve", "fade", "dissolve", "cut")),
    Case("60 s, 5, wipe, fade, cut, wipe", 60, ("wipe", "fade", "cut", "wipe", "cut")),
)


def draw(case: Case, folder: Path) -> list[Path]:
    """Draw the clips of a case as they arrive."""
    return [_draw(case, slot, folder) for slot in case.slots]


def _draw(case: Case, slot: Slot, folder: Path) -> Path:
    number = slot.scene.scene_number
    path = folder / f"clip-{number}.mp4"
    size, rate = SIZE, FRAME_RATE
    if case.form == "mixed":
        size, rate = ((1920, 1080), (1280, 768), SIZE)[(number - 1) % 3], (30, 24, 24)[(number - 1) % 3]
    frames = (slot.clip_frames + (0 if case.form == "ours" else CLIP_EXTRA)) * rate // FRAME_RATE
    tags = ":".join(f"{key}={value}" for key, value in COLOUR_TAGS.items())
    source = SOURCES[number % 3].format(size="x".join(map(str, size)), rate=rate)
    arguments = ["-f", "lavfi", "-i", f"{source},{GRAIN}"]
    if case.has_sound:
        arguments += ["-f", "lavfi", "-i", f"sine={300 * number}:r=48000:d={frames / rate}", "-c:a", "aac", "-ac", "2"]
    arguments += [
        "-frames:v",
        str(frames),
        "-vf",
        f"scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,setparams={tags}",
    ]
    form: dict[str, object] = {**CLIP_VIDEO, "preset": "veryfast", "crf": 20, "r": rate}
    if case.form == "ours":
        forced = "+".join(f"eq(n,{frame})" for frame in (slot.lead, slot.frames) if frame) or "0"
        form |= {"force_key_frames": f"expr:{forced}", "forced-idr": 1}
    else:
        gop = "250" if case.form == "mixed" else case.form
        form["x264-params"] = f"{FOREIGN}:keyint={gop}"
    options = [text for key, value in form.items() for text in (f"-{key}", str(value))]
    command = [Ffmpeg().binary, "-v", "error", "-y", *arguments, *options, "-movflags", "+faststart", str(path)]
    subprocess.run(command, check=True)
    return path
