"""Ways to join clips to a film: ours, and others to compare it with."""

import asyncio
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import naive_graph
from film_cases import SIZE, Case

from composer.film.parts import Part, key_of, wanted_parts
from composer.film.plan import Rules
from composer.film.segments import Encoded
from composer.film.verification import verify_film
from composer.provenance.credentials import credentials_in
from composer.provenance.manifest import Origin, manifest
from composer.provenance.signing import sign
from composer.workflow.film_state import FilmInputs
from composer.workflow.rendering import FILE_TYPES, Renderer
from scene_render.clips import conform
from shared.contracts.events import StoryboardCreated
from shared.contracts.media import FRAME_RATE, Clip, film_part_key
from shared.media.ffmpeg import Ffmpeg
from shared.media.h264_stream import NotCopyable, cut_points
from shared.media.probe import probe
from shared.storage.folder import FolderStorage

VIDEO = "00000000-0000-0000-0000-000000000007"
CORES = os.cpu_count() or 1


class Ours:
    """The composer's own functions, with a folder as the storage."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case = case
        self.folder = folder
        self.ffmpeg = Ffmpeg()
        self.storage = FolderStorage(folder / "store")
        self.renderer = Renderer(self.storage, self.ffmpeg)
        self.clips: dict[int, Clip] = {}
        self.made: dict[str, Any] = {}
        self.slots_free = asyncio.Semaphore(CORES)

    async def arrive(self, number: int, path: Path) -> None:
        """Take a clip as scene-render does, which converts it where needed."""
        slot = self.case.slots[number - 1]
        facts = await probe(path)
        if not conform.matches_profile(facts, SIZE):
            boundaries = tuple(frame for frame in (slot.lead, slot.frames) if 0 < frame < slot.clip_frames)
            conformed = self.folder / f"conformed-{number}.mp4"
            conversion = conform.Conversion(facts, SIZE, slot.clip_frames, boundaries=boundaries)
            await conform.conform(path, conformed, conversion, self.ffmpeg)
            path, facts = conformed, await probe(conformed)
        try:
            points = cut_points(path)
        except NotCopyable:
            points = None
        media = await self.storage.put(f"videos/{VIDEO}/scene-{number}-1.mp4", path, "video/mp4")
        self.clips[number] = Clip(
            media=media, width=facts.width, height=facts.height, frames=facts.frames,
            has_audio=facts.audio_codec is not None, cut_points=points,
        )  # fmt: skip

    @property
    def rules(self) -> Rules:
        """Return the rules of the film."""
        points = [clip.cut_points for _, clip in sorted(self.clips.items()) if clip.cut_points]
        return Rules({one.parameter_set_id: one.parameter_sets for one in reversed(points)})

    async def make_parts(self) -> None:
        """Make all parts that can be made and are not yet."""
        parts = {key_of(part): part for part in wanted_parts(self.case.slots, self.clips, SIZE, self.rules)}
        await asyncio.gather(*(self._make(key, part) for key, part in parts.items() if key not in self.made))

    async def _make(self, key: str, part: Part) -> None:
        async with self.slots_free:
            with tempfile.TemporaryDirectory(dir=self.folder) as name:
                path = await self.renderer.make(part, Path(name))
                suffix, content_type = FILE_TYPES[part.kind]
                self.made[key] = await self.storage.put(film_part_key(VIDEO, key, suffix), path, content_type)

    async def join(self) -> Path:
        """Join and verify the film."""
        inputs = self.inputs()
        segments = inputs.segments()
        folder = self.folder / "film"
        folder.mkdir(exist_ok=True)
        sound = inputs.sound()
        files = await self.renderer.fetch([sound], folder)
        film = folder / "film.mp4"
        await self.renderer.join(segments, inputs.encoded_media(), files[sound.key], film)
        await asyncio.to_thread(verify_film, film, segments, SIZE, "encoded")
        return film

    def inputs(self) -> FilmInputs:
        """Return what the film is planned from."""
        origins = {number: Origin("bench", None) for number in self.clips}
        return FilmInputs(storyboard(self.case), self.clips, origins, self.made, self.rules)

    def encoded_frames(self) -> int:
        """Return how many frames of the film are encoded."""
        return sum(segment.frames for segment in self.inputs().segments() if isinstance(segment, Encoded))


def storyboard(case: Case) -> StoryboardCreated:
    """Return the storyboard of a case."""
    return StoryboardCreated(
        video_id=VIDEO, title="Bench", niche="n", overall_prompt="p", total_duration=case.seconds,
        scenes=tuple(slot.scene for slot in case.slots), story_script="s", aspect_ratio="16:9",
    )  # fmt: skip


async def ours(case: Case, clips: Sequence[Path], folder: Path) -> dict[str, float]:
    """Make a film of which nothing is prepared."""
    maker = Ours(case, folder)
    with Measured() as measured:
        await asyncio.gather(*(maker.arrive(number, path) for number, path in enumerate(clips, 1)))
        await maker.make_parts()
        film = await maker.join()
    start = time.perf_counter()
    what = manifest(storyboard(case), maker.inputs().origins)
    sign(film, folder / "signed.mp4", what, credentials_in(folder / "key"))
    signing = time.perf_counter() - start
    return measured.figures | {"sign wall": signing, "encoded frames": maker.encoded_frames(), "film": str(film)}


async def last(case: Case, clips: Sequence[Path], folder: Path, number: int = 0) -> dict[str, float]:
    """Make a film whose other clips arrived before the last one, or before scene `number`."""
    maker = Ours(case, folder)
    latest = number or len(clips)
    for other, path in enumerate(clips, 1):
        if other != latest:
            await maker.arrive(other, path)
    await maker.make_parts()
    with Measured() as measured:
        await maker.arrive(latest, clips[latest - 1])
        await maker.make_parts()
        await maker.join()
    return measured.figures


async def middle(case: Case, clips: Sequence[Path], folder: Path) -> dict[str, float]:
    """Make a film whose second clip arrives last, between two others."""
    return await last(case, clips, folder, 2)


async def naive(case: Case, clips: Sequence[Path], folder: Path, preset: str = "veryfast") -> dict[str, float]:
    """Encode the whole film with one ffmpeg graph."""
    files = [naive_graph.ClipFile(path, 10_000, case.has_sound) for path in clips]
    film = folder / "film.mp4"
    arguments = naive_graph.film_arguments(case.slots, files, film, SIZE, preset=preset)
    with Measured() as measured:
        await Ffmpeg().run(arguments, time_limit=3600)
    return measured.figures | {"film": str(film)}


async def medium(case: Case, clips: Sequence[Path], folder: Path) -> dict[str, float]:
    """Encode the whole film as x264 does by default."""
    return await naive(case, clips, folder, "medium")


async def remux(case: Case, clips: Sequence[Path], folder: Path) -> dict[str, float]:
    """Concatenate the clips without looking at them: no transition, and not exactly the planned frames."""
    names = folder / "clips.txt"
    names.write_text("".join(f"file '{path}'\n" for path in clips))
    form = ["-f", "concat", "-safe", "0", "-i", str(names), "-c", "copy", "-movflags", "+faststart"]
    command = [Ffmpeg().binary, "-v", "error", "-y", *form, str(folder / "film.mp4")]
    with Measured() as measured:
        subprocess.run(command, check=True)
    return measured.figures


async def moviepy(case: Case, clips: Sequence[Path], folder: Path) -> dict[str, float]:
    """Make a film with MoviePy, by its own cross fades and default encoder."""
    from moviepy.editor import CompositeVideoClip, VideoFileClip

    with Measured() as measured:
        shown = []
        for slot, path in zip(case.slots, clips, strict=True):
            clip = VideoFileClip(str(path)).subclip(0, slot.clip_frames / FRAME_RATE)
            clip = clip.crossfadein(slot.lead / FRAME_RATE) if slot.lead else clip
            shown.append(clip.set_start(slot.start / FRAME_RATE))
        film = CompositeVideoClip(shown)
        film.write_videofile(str(folder / "film.mp4"), fps=FRAME_RATE, audio=case.has_sound, logger=None)
    return measured.figures


CONTENDERS = {one.__name__: one for one in (naive, ours, last, middle, remux, medium, moviepy)}


class Measured:
    """Measures the wall and CPU seconds of a block."""

    figures: dict[str, Any]

    def __enter__(self) -> Self:
        """Begin."""
        self.cpu, self.wall = _cpu_seconds(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self.figures = {"wall": time.perf_counter() - self.wall, "cpu": _cpu_seconds() - self.cpu}


def _cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
