"""Turns a provider's file into a clip of the film: download, check, conform where needed, join parts, store."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import structlog

from scene_render.clips import conform
from scene_render.clips.acceptance import AcceptedClip, WantedClip, accept, read_cut_points
from scene_render.models import Attempt, Render
from scene_render.providers.animatic import AnimaticProvider
from scene_render.providers.base import ClipUnreadable, ClipUnusable, Provider
from scene_render.scenes.order import frames_left, request_of
from shared.contracts.base import Contract
from shared.contracts.events import SceneRequested
from shared.contracts.media import (
    FRAME_RATE,
    FRAME_SIZE,
    LONGEST_FREEZE_FRAMES,
    Clip,
    MediaReference,
    clip_key,
    clip_prefix,
    pictures_prefix,
)
from shared.contracts.timeline import boundaries
from shared.media.ffmpeg import Ffmpeg
from shared.media.probe import probe
from shared.storage.base import Storage
from shared.storage.work_folder import work_folder

log = structlog.get_logger()


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

    async def collect(
        self, provider: Provider, attempt: Attempt, render: Render, parameter_sets: Mapping[int, str]
    ) -> Clip | Part:
        """Download, check and store the clip of an attempt, and return it: the whole scene, or its next part.

        `parameter_sets`: see `WantedClip`.

        Raises:
            ClipUnusable: the clip cannot be used in the film.
            ClipOutOfReach, ProviderSilent: it could not be downloaded.
        """
        left, wanted = frames_left(render), _wanted(provider, attempt, render, parameter_sets)
        with work_folder(self.work_folder, "clip") as folder:
            try:
                accepted = await self._fetch(provider, attempt, wanted, folder)
            except ClipUnreadable as unreadable:
                log.info("clip.fetched_again", reason=str(unreadable), detail=unreadable.detail)
                accepted = await self._fetch(provider, attempt, wanted, folder)
            if left - accepted.facts.frames > LONGEST_FREEZE_FRAMES:
                return await self._store_part(accepted, attempt, render)
            if render.parts:
                accepted = await self._join(accepted, render, folder)
            key = clip_key(render.video_id, render.scene_number, attempt.number)
            media = await self.storage.put(key, accepted.path, "video/mp4")
        return clip_of(media, accepted)

    async def take_own(self, render: Render, parameter_sets: Mapping[int, str]) -> Clip:
        """Check and store the clip that a scene brings, and return it: its beginning, in the form of the film.

        Raises:
            ClipUnusable: the clip cannot be used in the film.
        """
        request = request_of(render)
        if request.own_clip is None:
            raise ClipUnusable("The scene brings no clip.", again=False)
        frames = request.clip_frames
        wanted = WantedClip(
            size=FRAME_SIZE[request.aspect_ratio],
            frames=frames,
            ordered=frames,
            boundaries=_boundaries(request),
            parameter_sets=parameter_sets,
        )
        with work_folder(self.work_folder, "clip") as folder:
            fetched = folder / "fetched"
            await self.storage.get(request.own_clip, fetched)
            accepted = await accept(fetched, wanted, self.ffmpeg)
            key = clip_key(render.video_id, render.scene_number, 0)
            media = await self.storage.put(key, accepted.path, "video/mp4")
        return clip_of(media, accepted)

    async def _fetch(self, provider: Provider, attempt: Attempt, wanted: WantedClip, folder: Path) -> AcceptedClip:
        fetched = folder / "fetched"
        await provider.fetch(str(attempt.task_id), fetched)
        return await accept(fetched, wanted, self.ffmpeg)

    async def remove(self, video_id: UUID) -> None:
        """Remove all stored clips and pictures of a video."""
        await self.storage.delete(clip_prefix(video_id))
        await self.storage.delete(pictures_prefix(video_id))
        await self.remove_parts(video_id)

    async def remove_parts(self, video_id: UUID) -> None:
        """Remove the parts of all long scenes of a video."""
        await self.storage.delete(f"videos/{video_id}/parts/")

    async def remove_parts_of_scene(self, video_id: str, scene_number: int) -> None:
        """Remove the parts of one long scene."""
        await self.storage.delete(part_prefix(video_id, scene_number))

    async def _store_part(self, accepted: AcceptedClip, attempt: Attempt, render: Render) -> Part:
        path, frames = accepted.path, accepted.facts.frames
        frame = path.with_name("last-frame.jpg")
        await conform.take_frame(path, frames - 1, frame, self.ffmpeg)
        key = f"{part_prefix(render.video_id, render.scene_number)}{len(render.parts) + 1}-{attempt.number}"
        return Part(
            media=await self.storage.put(f"{key}.mp4", path, "video/mp4"),
            frames=frames,
            last_frame=await self.storage.put(f"{key}.jpg", frame, "image/jpeg"),
            provider=attempt.provider,
            task_id=str(attempt.task_id),
        )

    async def _join(self, last: AcceptedClip, render: Render, folder: Path) -> AcceptedClip:
        """Join the parts of a scene into one clip."""
        pieces: list[tuple[Path, int]] = []
        for number, part in enumerate(Part.model_validate(part) for part in render.parts):
            path = folder / f"part-{number}.mp4"
            await self.storage.get(part.media, path)
            pieces.append((path, part.frames))
        pieces.append((last.path, min(last.facts.frames, frames_left(render))))
        joined = folder / "joined.mp4"
        await conform.join(pieces, joined, _boundaries(request_of(render)), self.ffmpeg)
        return AcceptedClip(joined, await probe(joined), await read_cut_points(joined))


def part_prefix(video_id: str, scene_number: int) -> str:
    """Return the common prefix of the keys of a scene's parts."""
    return f"videos/{video_id}/parts/scene-{scene_number}-"


def _wanted(provider: Provider, attempt: Attempt, render: Render, parameter_sets: Mapping[int, str]) -> WantedClip:
    request, ordered = request_of(render), attempt.seconds * FRAME_RATE
    return WantedClip(
        size=FRAME_SIZE[request.aspect_ratio],
        frames=min(frames_left(render), ordered),
        ordered=ordered,
        continues=bool(render.parts),
        boundaries=_boundaries(request),
        parameter_sets=parameter_sets,
        is_own=provider.name == AnimaticProvider.name,
    )


def _boundaries(request: SceneRequested) -> tuple[int, ...]:
    return boundaries(request.clip_frames, request.lead_frames, request.tail_frames)


def clip_of(media: MediaReference, accepted: AcceptedClip) -> Clip:
    """Return the clip as other services see it."""
    facts = accepted.facts
    return Clip(
        media=media,
        width=facts.width,
        height=facts.height,
        frames=facts.frames,
        has_audio=facts.audio_codec is not None,
        cut_points=accepted.cut_points,
    )
