"""Makes a harmless JPEG of an uploaded picture: its pixels are decoded and encoded again, and nothing else is kept."""

from pathlib import Path

from PIL import Image, ImageOps

from gateway.uploads.errors import UploadUnusable

FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP"}
"""Pillow's decoder for each content type; no other one is tried."""
MOST_MEGAPIXELS = 40
SHORTEST_SIDE, LONGEST_SIDE = 64, 12_000
STORED_SIDE = 2048
"""The longest side of the stored picture."""
JPEG_QUALITY = 92
WHITE = (255, 255, 255)


def clean_picture(source: Path, content_type: str, target: Path) -> tuple[int, int]:
    """Write the picture as a JPEG without metadata, upright, and return its width and height. Takes up to a second.

    Raises:
        UploadUnusable: it is no picture of this type, is damaged, or has an unsuitable size.
    """
    name = FORMATS[content_type]
    try:
        if name == "WEBP":
            _check_size(*webp_size(source))  # its decoder reserves memory for all pixels at once
        with Image.open(source, formats=(name,)) as image:
            _check_size(*image.size)
            # Also has JPEG decoded at a lower resolution.
            image.thumbnail((STORED_SIDE, STORED_SIDE))
            upright = ImageOps.exif_transpose(image)
            clean = _without_metadata(upright)
    except UploadUnusable:
        raise
    except Image.DecompressionBombError as error:
        raise UploadUnusable(f"The picture has more than {MOST_MEGAPIXELS} megapixels.") from error
    except Exception as error:  # decoders raise anything for hostile files
        raise UploadUnusable(f"The file is not a {name} picture, or it is damaged.") from error
    clean.save(target, "JPEG", quality=JPEG_QUALITY)
    return clean.size


def webp_size(path: Path) -> tuple[int, int]:
    """Return width and height of a WebP file by its header. Raises `UploadUnusable`."""
    with path.open("rb") as file:
        head = file.read(30)
    kind, data = head[12:16], head[20:30]
    if len(head) < 30 or head[:4] != b"RIFF" or head[8:12] != b"WEBP":
        raise UploadUnusable("The file is not a WEBP picture.")
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[4:7], "little"), 1 + int.from_bytes(data[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return int.from_bytes(data[6:8], "little") & 0x3FFF, int.from_bytes(data[8:10], "little") & 0x3FFF


def _check_size(width: int, height: int) -> None:
    if min(width, height) < SHORTEST_SIDE:
        raise UploadUnusable(f"The picture is {width} x {height} pixels; each side needs at least {SHORTEST_SIDE}.")
    if max(width, height) > LONGEST_SIDE or width * height > MOST_MEGAPIXELS * 1_000_000:
        raise UploadUnusable(
            f"The picture is {width} x {height} pixels; it may have {MOST_MEGAPIXELS} megapixels, "
            f"and {LONGEST_SIDE:,} on a side."
        )


def _without_metadata(image: Image.Image) -> Image.Image:
    """Return the pixels alone, in RGB, on white where they are transparent."""
    clean = Image.new("RGB", image.size, WHITE)
    if image.has_transparency_data:
        shown = image.convert("RGBA")
        clean.paste(shown, mask=shown.getchannel("A"))
    else:
        clean.paste(image.convert("RGB"))
    return clean
