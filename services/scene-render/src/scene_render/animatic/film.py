"""Animates the painted layers: one run of ffmpeg from still pictures to a clip."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ffmpeg
from PIL import Image

from scene_render.animatic.camera_motion import Move, corners
from scene_render.animatic.palette import palette_of
from scene_render.animatic.shots import Layer, shown, staged
from scene_render.providers.animatic_order import AnimaticOrder
from shared.contracts.media import FRAME_RATE, FRAME_SIZE
from shared.contracts.timeline import boundaries
from shared.media.encoding_profile import (
    CLIP_VIDEO,
    COLOUR_RANGE,
    COLOUR_SPACE,
    COLOUR_TAGS,
    CONTAINER,
    PIXEL_FORMAT,
    forced_idr,
)
from shared.media.ffmpeg import Ffmpeg

LIMIT_SECONDS = 120.0
LIMIT_SECONDS_PER_SECOND = 15.0
QUALITY = {"preset": "superfast", "crf": 20}
"""These frames are copied into the film. Compared with `veryfast` at the same `crf`, they take less CPU time and have a
higher SSIM (0.995 on average), in two to three times the bytes (2 to 4 Mbit/s)."""
RAW_PIXELS = {"RGB": "rgb24", "RGBA": "rgba"}
"""ffmpeg's names for Pillow's."""


async def draw(
    order: AnimaticOrder,
    target: Path,
    runner: Ffmpeg,
    *,
    workspace: Path,
    picture: Path | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> None:
    """Draw the clip of a scene to `target`, with temporary files in `workspace`. Progress is 0-100.

    `picture`: a file that is shown instead of a drawing.

    Raises:
        FfmpegFailed, FfmpegTimedOut: ffmpeg could not encode it.
    """
    size = FRAME_SIZE[order.aspect_ratio]
    sheets, move = await asyncio.to_thread(_paint, order, size, workspace, picture)

    def report_frame(frame: int) -> None:
        if on_progress:
            on_progress(min(100.0, 100 * frame / order.clip_frames))

    arguments = _arguments(sheets, move, target, size, order)
    limit = LIMIT_SECONDS + LIMIT_SECONDS_PER_SECOND * order.clip_frames / FRAME_RATE
    await runner.run(arguments, time_limit=limit, on_frame=report_frame)


@dataclass(frozen=True)
class Sheet:
    """A file with the pictures of a layer, one after the other, at `left` and `top` of the layer."""

    path: Path
    layer: Layer
    count: int
    mode: str
    width: int
    height: int
    left: int = 0
    top: int = 0


def _paint(
    order: AnimaticOrder, size: tuple[int, int], folder: Path, picture: Path | None
) -> tuple[list[Sheet], Move | None]:
    """Paint all layers; the last sheet is not moved by the camera."""
    # Importing Skia is slow; only processes that draw need it.
    from scene_render.animatic.captions import overlay

    palette = palette_of(order.niche, order.seed, order.scene.scene_number)
    shot = staged(order, size, palette) if picture is None else shown(picture, size)
    still = Layer([overlay(size, order.scene, order.scene_count, palette)])
    layers = [*shot.layers, still]
    return [_kept(layer, folder / f"layer-{n}.raw", opaque=n == 0) for n, layer in enumerate(layers)], shot.move


def _kept(layer: Layer, path: Path, *, opaque: bool) -> Sheet:
    """Write the pictures of a layer to a file, without empty margins."""
    pictures = layer.pictures
    whole = (0, 0, *pictures[0].size)
    boxes = [whole] if opaque else [box for picture in _different(pictures) if (box := picture.getbbox())]
    left, top = (min(box[k] for box in boxes or [whole]) // 2 * 2 for k in (0, 1))
    right, bottom = (max(box[k] for box in boxes or [whole]) for k in (2, 3))
    mode = "RGB" if opaque else "RGBA"
    with path.open("wb") as file:
        for picture in pictures:
            file.write(picture.crop((left, top, right, bottom)).convert(mode).tobytes())
    return Sheet(path, layer, len(pictures), mode, right - left, bottom - top, left, top)


def _different(pictures: Sequence[Image.Image]) -> list[Image.Image]:
    return list({id(picture): picture for picture in pictures}.values())


def _arguments(
    sheets: Sequence[Sheet], move: Move | None, target: Path, size: tuple[int, int], order: AnimaticOrder
) -> list[str]:
    frames = order.clip_frames
    lowest, *others, still = sheets
    picture = _endless(lowest, PIXEL_FORMAT).filter("fps", FRAME_RATE)
    if lowest.layer.pictures[0].size != size:
        x, y = _position(lowest, size, frames)
        picture = picture.filter("crop", *size, x=f"-({x})", y=f"-({y})", exact=1)
    for sheet in others:
        picture = _laid(picture, sheet, size, frames)
    if move:
        picture = picture.filter(
            "perspective", **corners(move, frames), sense="source", eval="frame", interpolation="linear"
        )
    picture = _laid(picture, still, size, frames)
    picture = picture.filter("format", PIXEL_FORMAT).filter("setsar", 1).filter("setparams", **COLOUR_TAGS)
    output = ffmpeg.output(
        picture,
        str(target),
        **{"frames:v": frames},
        **QUALITY,
        **CLIP_VIDEO,
        **forced_idr(boundaries(frames, order.lead_frames, order.tail_frames)),
        **CONTAINER,
    )
    return [str(argument) for argument in ffmpeg.compile(output, overwrite_output=True)[1:]]


def _endless(sheet: Sheet, pixels: str) -> Any:  # noqa: ANN401 - ffmpeg-python has no types
    """Return the pictures of a sheet as an endless stream."""
    stream = ffmpeg.input(
        str(sheet.path),
        f="rawvideo",
        pixel_format=RAW_PIXELS[sheet.mode],
        video_size=(sheet.width, sheet.height),
        framerate=sheet.layer.rate,
    ).video
    stream = stream.filter("scale", out_color_matrix=COLOUR_SPACE, out_range=COLOUR_RANGE).filter("format", pixels)
    stream = stream.filter("loop", loop=-1, size=sheet.count, start=0)
    return stream.filter("setpts", f"N/{sheet.layer.rate}/TB")


def _laid(picture: Any, sheet: Sheet, size: tuple[int, int], frames: int) -> Any:  # noqa: ANN401 - the same
    x, y = _position(sheet, size, frames)
    upper = _endless(sheet, "yuva420p")
    return ffmpeg.overlay(picture, upper, x=x, y=y, eval="frame", format="yuv420")


def _position(sheet: Sheet, size: tuple[int, int], frames: int) -> tuple[str, str]:
    """Return a sheet's top left corner at frame n, as ffmpeg expressions in pixels."""
    layer, offset = sheet.layer, (sheet.left, sheet.top)
    if layer.pictures[0].size == size:
        return str(offset[0]), str(offset[1])
    expressions = []
    for axis in (0, 1):
        spare = layer.pictures[0].size[axis] - size[axis]
        slide, swing = layer.slide[axis] * size[axis], layer.sway[axis] * min(size)
        wave = f"{swing:.2f}*sin(2*PI*n/{layer.period * FRAME_RATE:.1f}+{axis * 1.6})"
        begin = offset[axis] - spare / 2 - slide / 2
        expressions.append(f"{begin:.2f}+{slide:.2f}*n/{frames}+{wave}")
    if layer.glide:
        round_frames = len(layer.pictures) * FRAME_RATE // layer.rate
        begin = offset[0] - (layer.pictures[0].width - size[0] + layer.glide * frames // round_frames) // 2
        # By time: ffmpeg's filters disagree on the number of the first frame.
        expressions[0] = f"{begin}+{layer.glide}*floor((t*{FRAME_RATE}+0.1)/{round_frames})"
    return expressions[0], expressions[1]
