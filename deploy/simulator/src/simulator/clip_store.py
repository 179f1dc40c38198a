"""The clips and pictures of the simulated providers: real files of the requested size and duration."""

import asyncio
import colorsys
import hashlib
import io
import textwrap
import unicodedata
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from shared.media.ffmpeg import Ffmpeg
from simulator.ledger import Task
from simulator.pictures import Given

FRAME_RATE = 24
DRAWING_SECONDS = 120.0
HUGE_BYTES = 3 * 2**30
LABEL = "SIMULATED"
NO_CHARACTER = "\U0010fffe"
JPEG_QUALITY = 88
COPY_SHARE = 0.22
"""The height of the small copies of an order's pictures, as a share of the picture."""


class ClipStore:
    """Draws clips and pictures and keeps them. All are marked as simulated.

    Pictures show their prompt and small copies of their references; with captions, clips show theirs too. Without
    captions, clips of one size and duration are one file.
    """

    def __init__(self, folder: Path, *, captions: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.captions = captions
        self.ffmpeg = Ffmpeg()
        self.drawing: dict[Path, asyncio.Task[None]] = {}

    async def clip(self, task: Task) -> Path:
        """Return the clip of a task, with its fault if that concerns the picture."""
        seconds = 0.5 if task.clip_fault == "short" else float(task.seconds)
        look = task.clip_fault if task.clip_fault in ("black", "frozen") else "moving"
        caption = _caption_of(task) if self.captions else ""
        pictures = task.pictures if self.captions else ()
        what = f"{task.size} {seconds} {look} {caption} {[picture.shown() for picture in pictures]}"
        target = self.folder / f"{hashlib.sha256(what.encode()).hexdigest()[:24]}.mp4"
        if not target.exists():
            if target not in self.drawing:  # by another request
                self.drawing[target] = asyncio.create_task(
                    self._draw(target, task.size, seconds, look, caption, pictures)
                )
            try:
                await asyncio.shield(self.drawing[target])
            finally:
                self.drawing.pop(target, None)
        return target

    async def picture(self, task: Task) -> Path:
        """Return the picture of a task, with its fault if that concerns the picture."""
        what = f"{task.size} {task.clip_fault} {_caption_of(task)} {[picture.shown() for picture in task.pictures]}"
        target = self.folder / f"{hashlib.sha256(what.encode()).hexdigest()[:24]}.jpg"
        if not target.exists():
            await asyncio.to_thread(_draw_picture, target, task)
        return target

    async def _draw(
        self,
        target: Path,
        size: tuple[int, int],
        seconds: float,
        look: str,
        caption: str,
        pictures: tuple[Given, ...],
    ) -> None:
        width, height = size
        form = f"s={width}x{height}:r={FRAME_RATE}:d={seconds}"
        first, second = _colours(caption)
        sources = {
            "black": f"color=c=black:{form}",
            "frozen": f"color=c={first}:{form}",
            # Drawn small, because it is slow, and enlarged.
            "moving": f"gradients=s={width // 4}x{height // 4}:r={FRAME_RATE}:d={seconds}:c0={first}:c1={second}"
            f":n=2:speed=0.02,scale={width}:{height}:flags=fast_bilinear",
        }
        part, picture = target.with_suffix(".part"), target.with_suffix(".png")
        arguments = ["-f", "lavfi", "-i", sources[look]]
        filters = ["-vf", "format=yuv420p"]
        # Black and frozen clips have no text.
        if look == "moving":
            overlay = _letter(caption, size)
            _add_copies(overlay, pictures)
            overlay.save(picture)
            arguments += ["-f", "png_pipe", "-i", str(picture)]
            filters = ["-filter_complex", "overlay=0:0,format=yuv420p"]
        form_of_file = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "24", "-movflags", "+faststart", "-f", "mp4"]
        await self.ffmpeg.run([*arguments, *filters, *form_of_file, "-y", str(part)], time_limit=DRAWING_SECONDS)
        part.rename(target)
        picture.unlink(missing_ok=True)


def _caption_of(task: Task) -> str:
    return f"{task.provider} {task.model}\n{task.prompt}"


def _draw_picture(target: Path, task: Task) -> None:
    caption = _caption_of(task)
    if task.clip_fault == "black":
        picture = Image.new("RGB", task.size)
    else:
        # A gradient: a picture of one colour would look like a failure.
        first, second = (Image.new("RGB", task.size, f"#{colour[2:]}") for colour in _colours(caption))
        picture = Image.composite(first, second, Image.linear_gradient("L").resize(task.size))
        overlay = _letter(caption, task.size)
        _add_copies(overlay, task.pictures)
        picture.paste(overlay, mask=overlay)
    part = target.with_suffix(f".{task.id}.part")
    picture.save(part, "JPEG", quality=JPEG_QUALITY)
    part.rename(target)


def _add_copies(overlay: Image.Image, pictures: tuple[Given, ...]) -> None:
    """Draw small copies of an order's pictures along the lower edge. Those that cannot be read are grey."""
    height = int(overlay.height * COPY_SHARE)
    left = gap = overlay.width // 40
    for given in pictures:
        try:
            with Image.open(io.BytesIO(given.data or b"")) as original:
                copy = original.convert("RGB")
        except (OSError, ValueError):
            copy = Image.new("RGB", (height, height), "grey")
        copy.thumbnail((overlay.width, height))
        overlay.paste(copy, (left, overlay.height - copy.height - gap))
        left += copy.width + gap


def _colours(caption: str) -> tuple[str, str]:
    hue = hashlib.sha256(caption.encode()).digest()[0] / 256
    pair = (colorsys.hls_to_rgb(hue, 0.35, 0.6), colorsys.hls_to_rgb((hue + 0.3) % 1, 0.6, 0.6))
    first, second = ("0x" + "".join(f"{round(part * 255):02x}" for part in colour) for colour in pair)
    return first, second


def _letter(caption: str, size: tuple[int, int]) -> Image.Image:
    """Return the overlay of a clip: the mark "simulated", and the caption in lines."""
    width, height = size
    letters = max(18, min(size) // 26)
    picture = Image.new("RGBA", size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(picture)

    def write(text: str, font: ImageFont.FreeTypeFont, place: tuple[float, float], anchor: str) -> None:
        draw.text(place, text, fill="white", font=font, anchor=anchor, stroke_width=2, stroke_fill="#0008")

    # In the middle, where it survives cropping to another aspect ratio.
    write(LABEL, _font(letters * 2), (width / 2, height * 0.06), "mt")
    font = _font(letters)
    head, _, prompt = caption.partition("\n")
    lines = [head, "", *textwrap.wrap(_drawable(prompt, font), int(width * 0.86 / (letters * 0.55)))]
    for number, line in enumerate(lines[: int(height * 0.7 / letters / 1.5)]):
        write(line, font, (width * 0.07, height * 0.18 + number * letters * 1.5), "la")
    return picture


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # noqa: S101 - Pillow's wheels have FreeType
    return font


def _drawable(text: str, font: ImageFont.FreeTypeFont) -> str:
    """Return a text without the characters that Pillow's font lacks, and without accents."""
    missing = bytes(font.getmask(NO_CHARACTER))
    letters = unicodedata.normalize("NFKD", text)
    kept = "".join(c if c.isspace() or bytes(font.getmask(c)) != missing else "" for c in letters)
    return " ".join(kept.split())


DAMAGED: dict[str, bytes] = {
    "html": b"<!doctype html><title>Bad gateway</title><h1>502 Bad gateway</h1>",
    "garbage": hashlib.shake_256(b"garbage").digest(200_000),
    "playlist": b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
}
"""Contents of files that are not clips."""
