"""Turns a provider's file into a clip of the film: download, check, conform where needed, join parts, store."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import structlog

from scene_render.clips import conform, content_checks
from scene_render.models import Attempt, Render
from scene_render.providers.base import ClipUnreadable, ClipUnusable, FirstFrame, Provider, Shot
from scene_render.scenes.order import frames_left, request_of
from shared.contracts.media import (
    FRAME_RATE,
    FRAME_SIZE,
    LONGEST_FREEZE_FRAMES,
    Clip,
    MediaReference,
    clip_key,
    clip_prefix,
)
from shared.contracts.story import Contract
from shared.media.ffmpeg import Ffmpeg, FfmpegFailed
from shared.media.probe import MediaDamaged, MediaFacts, MediaUnreadable, probe
from shared.storage.base import Storage
from shared.storage.work_folder import work_folder

log = structlog.get_logger()

LINK_SECONDS = 3600


class Part(Contract):
    """One of the clips of a long scene. The next part starts with `last_frame`."""

    media: MediaReference
    frames: int
    last_frame: MediaReference
    provider: str
    task_id: str


@dataclass(frozen=True)
class ClipIngest:
    """Takes clips from providers into the storage."""

    storage: Storage
    ffmpeg: Ffmpeg
    work_folder: Path | None

    @contextlib.asynccontextmanager
    async def shot_of(self, render: Render, attempt: Attempt) -> AsyncIterator[Shot]:
        """Yield the shot that an attempt orders, with its first frame as a file."""
        request = request_of(render)
        parts = [Part.model_validate(part) for part in render.parts]
        reference = parts[-1].last_frame if parts else request.first_frame
        if reference is None:
            yield Shot(request, attempt.seconds)
            return
        with work_folder(self.work_folder, "clip") as folder:
            path = folder / "first-frame"
            await self.storage.get(reference, path)
            link = await self.storage.link(reference, LINK_SECONDS)
            first = FirstFrame(
                path=path,
                content_type=reference.content_type,
                link=link if link.startswith("https://") else None,
                task_id=parts[-1].task_id if parts and parts[-1].provider == attempt.provider else None,
            )
            yield Shot(request, attempt.seconds, first)

    async def collect(self, provider: Provider, attempt: Attempt, render: Render) -> Clip | Part:
        """Download, check and store the clip of an attempt, and return it: the whole scene, or its next part.

        Raises:
            ClipUnusable: the clip cannot be used in the film.
            ClipOutOfReach, ProviderSilent: it could not be downloaded.
        """
        left = frames_left(render)
        with work_folder(self.work_folder, "clip") as folder:
            try:
                path, facts = await self._fetch(provider, attempt, render, folder)
            except ClipUnreadable as unreadable:
                log.info("clip.fetched_again", reason=str(unreadable), detail=unreadable.detail)
                path, facts = await self._fetch(provider, attempt, render, folder)
            if left - facts.frames > LONGEST_FREEZE_FRAMES:
                return await self._store_part(path, facts, attempt, render)
            if render.parts:
                path, facts = await self._join(path, facts, render, folder)
            key = clip_key(render.video_id, render.scene_number, attempt.number)
            media = await self.storage.put(key, path, "video/mp4")
        return clip_of(media, facts)

    async def _fetch(
        self, provider: Provider, attempt: Attempt, render: Render, folder: Path
    ) -> tuple[Path, MediaFacts]:
        ordered = attempt.seconds * FRAME_RATE
        fetched = folder / "fetched"
        await provider.fetch(str(attempt.task_id), fetched)
        size, wanted = FRAME_SIZE[request_of(render).aspect_ratio], min(frames_left(render), ordered)
        return await accept(fetched, size, wanted, ordered, self.ffmpeg, tail=bool(render.parts))

    async def remove(self, video_id: UUID) -> None:
        """Remove all stored clips of a video."""
        await self.storage.delete(clip_prefix(video_id))
        await self.remove_parts(video_id)

    async def remove_parts(self, video_id: UUID) -> None:
        """Remove the parts of all long scenes of a video."""
        await self.storage.delete(f"videos/{video_id}/parts/")

    async def remove_parts_of_scene(self, video_id: str, scene_number: int) -> None:
        """Remove the parts of one long scene."""
        await self.storage.delete(part_prefix(video_id, scene_number))

    async def _store_part(self, path: Path, facts: MediaFacts, attempt: Attempt, render: Render) -> Part:
        frame = path.with_name("last-frame.jpg")
        await conform.take_frame(path, facts.frames - 1, frame, self.ffmpeg)
        key = f"{part_prefix(render.video_id, render.scene_number)}{len(render.parts) + 1}-{attempt.number}"
        return Part(
            media=await self.storage.put(f"{key}.mp4", path, "video/mp4"),
            frames=facts.frames,
            last_frame=await self.storage.put(f"{key}.jpg", frame, "image/jpeg"),
            provider=attempt.provider,
            task_id=str(attempt.task_id),
        )

    async def _join(self, last: Path, facts: MediaFacts, render: Render, folder: Path) -> tuple[Path, MediaFacts]:
        """Join the parts of a scene into one clip."""
        pieces: list[tuple[Path, int]] = []
        for number, part in enumerate(Part.model_validate(part) for part in render.parts):
            path = folder / f"part-{number}.mp4"
            await self.storage.get(part.media, path)
            pieces.append((path, part.frames))
        pieces.append((last, min(facts.frames, frames_left(render))))
        joined = folder / "joined.mp4"
        await conform.join(pieces, joined, self.ffmpeg)
        return joined, await probe(joined)


def part_prefix(video_id: str, scene_number: int) -> str:
    """Return the common prefix of the keys of a scene's parts."""
    return f"videos/{video_id}/parts/scene-{scene_number}-"


async def accept(
    path: Path, size: tuple[int, int], wanted: int, ordered: int, ffmpeg: Ffmpeg, *, tail: bool = False
) -> tuple[Path, MediaFacts]:
    """Check a downloaded clip and return a file that matches the encoding profile, with its facts.

    The result has at least `wanted` frames less `LONGEST_FREEZE_FRAMES`, or more; joining cuts it. `tail`: the
    clip continues another one, which the provider may have put in front: only the last `ordered` frames count.

    Raises:
        ClipUnreadable: the file is no video that we read, or damaged.
        ClipUnusable: the clip is too short, or black or frozen throughout.
        FfmpegFailed, FfmpegTimedOut: this machine failed; a retry may succeed.
    """
    try:
        facts = await probe(path)
        # In frames of the film; the file may have another frame rate.
        delivered = round(facts.duration * FRAME_RATE)
        skip = delivered - ordered if tail and delivered > ordered + FRAME_RATE else 0
        if skip or not conform.matches_profile(facts, size):
            conformed = path.with_name("conformed.mp4")
            await conform.conform(path, conformed, facts, size, wanted, ffmpeg, skip / FRAME_RATE)
            path, facts = conformed, await probe(conformed)
        content = await content_checks.check_content(path, ffmpeg)
    except MediaUnreadable as error:
        again = isinstance(error, MediaDamaged)
        raise ClipUnreadable(f"The clip cannot be read: {error.reason}.", again=again, detail=error.detail) from error
    except FfmpegFailed as error:
        if error.blames_machine:
            raise
        raise ClipUnreadable("The clip cannot be read: it is incomplete or damaged.", detail=error.stderr) from error
    if facts.frames < wanted - LONGEST_FREEZE_FRAMES:
        raise ClipUnusable(f"The clip has {facts.frames} frames; {wanted} were asked for.")
    if content.is_black:
        raise ClipUnusable("The clip is black from beginning to end.")
    if content.is_frozen:
        raise ClipUnusable("The clip stands still from beginning to end.")
    return path, facts


def clip_of(media: MediaReference, facts: MediaFacts) -> Clip:
    """Return the clip as other services see it."""
    return Clip(
        media=media,
        width=facts.width,
        height=facts.height,
        frames=facts.frames,
        has_audio=facts.audio_codec is not None,
    )
