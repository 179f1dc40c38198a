"""Turns a provider's picture into one of the video: download, check, encode again, store."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from scene_render.models import Attempt
from scene_render.providers.base import ClipUnreadable, ClipUnusable, Provider
from scene_render.scenes.cast import StoredPicture
from shared.contracts.media import FRAME_SIZE, first_frame_key, reference_key
from shared.storage.base import Storage
from shared.storage.work_folder import work_folder

FORMATS = ("JPEG", "PNG", "WEBP")
LARGEST_PIXELS = 40_000_000
LARGEST_SIDE = 2048
"""Providers take pictures of at most 5 MB, with the overhead of a data URI."""
SMALLEST_SIDE = min(min(size) for size in FRAME_SIZE.values()) // 4
JPEG_QUALITY = 92


@dataclass(frozen=True)
class PictureIngest:
    """Takes pictures from providers into the storage."""

    storage: Storage
    work_folder: Path | None

    async def collect(self, provider: Provider, attempt: Attempt) -> StoredPicture:
        """Download, check and store the picture of an attempt, and return it.

        Raises:
            ClipUnusable: it is no picture that can be used.
            ClipOutOfReach, ProviderSilent: it could not be downloaded.
        """
        with work_folder(self.work_folder, "picture") as folder:
            fetched, encoded = folder / "fetched", folder / "picture.jpg"
            await provider.fetch(str(attempt.task_id), fetched)
            await asyncio.to_thread(encode_again, fetched, encoded)
            key_of = reference_key if attempt.product == "reference" else first_frame_key
            key = key_of(attempt.video_id, attempt.scene_number, attempt.number)
            media = await self.storage.put(key, encoded, "image/jpeg")
        return StoredPicture(media=media, provider=attempt.provider, task_id=attempt.task_id)


def encode_again(source: Path, target: Path) -> None:
    """Check a picture and write it as a JPEG without metadata, its longer side at most `LARGEST_SIDE`.

    Raises:
        ClipUnreadable: it is damaged, or in no format that we read.
        ClipUnusable: it is too large or too small, or one colour throughout.
    """
    try:
        with Image.open(source, formats=FORMATS) as picture:
            width, height = picture.size
            if width * height > LARGEST_PIXELS or min(width, height) < SMALLEST_SIDE:
                raise ClipUnusable(f"The picture has {width} x {height} pixels.")
            plain = picture.convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ClipUnreadable("The picture cannot be read.", detail=repr(error)) from error
    if len(plain.resize((64, 64)).getcolors(64 * 64) or ()) == 1:
        raise ClipUnusable("The picture has one colour throughout.")
    plain.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    plain.save(target, "JPEG", quality=JPEG_QUALITY)
