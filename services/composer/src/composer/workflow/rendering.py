"""Makes the parts of films from stored clips, and joins films from stored clips and parts."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from composer.film.encode import encode
from composer.film.join import Description, Run, join
from composer.film.parts import EncodedPart, Part, SoundPart, ThumbnailPart
from composer.film.segments import Copied, Encoded, Segment
from composer.film.verification import verify_frames
from composer.previews.thumbnail import take_thumbnail
from composer.sound.mix import mix_sound
from shared.contracts.media import MediaReference
from shared.media.ffmpeg import Ffmpeg
from shared.storage.base import Storage

FILE_TYPES = {
    "encoded": (".mp4", "video/mp4"),
    "sound": (".m4a", "audio/mp4"),
    "thumbnail": (".jpg", "image/jpeg"),
}
"""The suffix and the content type of each kind of part."""


@dataclass(frozen=True)
class Renderer:
    """Makes parts and joins runs, with files in a folder."""

    storage: Storage
    ffmpeg: Ffmpeg

    async def make(self, part: Part, folder: Path) -> Path:
        """Make a part in this folder, and return its file.

        Raises:
            FfmpegFailed, FfmpegTimedOut: ffmpeg cannot make it.
            FilmWrong: what ffmpeg made is not what was wanted.
        """
        target = folder / f"part{FILE_TYPES[part.kind][0]}"
        match part:
            case EncodedPart():
                await self._encode(part, folder, target)
            case SoundPart():
                files = await self.fetch([sound.media for sound in part.sounds], folder)
                tracks = [(sound.track, files[sound.media.key]) for sound in part.sounds]
                await mix_sound(tracks, part.frames, target, self.ffmpeg)
            case ThumbnailPart():
                files = await self.fetch([part.media], folder)
                await take_thumbnail(files[part.media.key], target, part.first, part.end, self.ffmpeg)
            case _:
                assert_never(part)
        return target

    async def join(
        self,
        segments: Sequence[Segment],
        encoded: Mapping[str, MediaReference],
        sound: Path | None,
        target: Path,
        description: Description | None = None,
    ) -> None:
        """Join segments, of which the encoded ones are stored by their keys, into `target`, beside its other files.

        Raises:
            JoinFailed: they cannot be in one film.
        """
        media = [segment.media if isinstance(segment, Copied) else encoded[segment.key] for segment in segments]
        files = await self.fetch(media, target.parent)
        runs = [_run(segment, files[one.key]) for segment, one in zip(segments, media, strict=True)]
        await asyncio.to_thread(join, runs, sound, target, description)

    async def fetch(self, media: Sequence[MediaReference], folder: Path) -> Mapping[str, Path]:
        """Download objects to a folder, and return their files by key."""
        files = {one.key: (one, folder / f"{number}-{Path(one.key).name}") for number, one in enumerate(media)}
        missing = [(one, path) for one, path in files.values() if not path.exists()]
        try:
            async with asyncio.TaskGroup() as downloads:
                for one, path in missing:
                    downloads.create_task(self.storage.get(one, path))
        except ExceptionGroup as failures:  # what happens to the message depends on the type of the error
            raise failures.exceptions[0] from failures
        return {key: path for key, (_, path) in files.items()}

    async def _encode(self, part: EncodedPart, folder: Path, target: Path) -> None:
        files = await self.fetch(list(part.media.values()), folder)
        clips = {number: files[media.key] for number, media in part.media.items()}
        await encode(part.encoded, clips, target, (part.width, part.height), self.ffmpeg)
        wanted = [one for one in (part.encoded.before, part.encoded, part.encoded.after) if one]
        runs = [_run(one, target if isinstance(one, Encoded) else clips[one.scene_number]) for one in wanted]
        sample = folder / "sample.mp4"
        await asyncio.to_thread(join, runs, None, sample)
        await asyncio.to_thread(verify_frames, sample, sum(run.frames for run in runs))


def _run(segment: Segment, path: Path) -> Run:
    return Run(path, 0 if isinstance(segment, Encoded) else segment.first, segment.frames)
