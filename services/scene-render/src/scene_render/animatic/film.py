"""Sets the painted layers in motion: one ffmpeg run from still sheets to a clip in the film's form."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ffmpeg
from PIL import Image

from scene_render.animatic.captions import overlay
from scene_render.animatic.palette import palette_of
from scene_render.animatic.shots import ROOM, Layer, staged
from scene_render.animatic_order import AnimaticOrder
from scene_render.form import CONTAINER, PICTURE, SOUND, TAGS, silence
from shared.contracts.media import FRAME_RATE, FRAME_SIZE
from shared.ffmpeg import Ffmpeg

LIMIT_SECONDS = 120.0
LIMIT_SECONDS_PER_SECOND = 15.0


async def draw(
    order: AnimaticOrder,
    target: Path,
    runner: Ffmpeg,
    *,
    workspace: Path,
    on_progress: Callable[[float], None] | None = None,
) -> None:
    """Draw the clip of a scene as `target`; sheets are kept in `workspace` meanwhile. Progress is told in percent.

    Raises:
        FfmpegFailed, FfmpegTimedOut: ffmpeg did not do it.
    """
    size = FRAME_SIZE[order.aspect_ratio]
    layers, paths = await asyncio.to_thread(_paint, order, size, workspace)

    def told(frame: int) -> None:
        if on_progress:
            on_progress(min(100.0, 100 * frame / order.clip_frames))

    arguments = _arguments(layers, paths, target, size, order.clip_frames)
    limit = LIMIT_SECONDS + LIMIT_SECONDS_PER_SECOND * order.clip_frames / FRAME_RATE
    await runner.run(arguments, time_limit=limit, on_frame=told)


def _paint(order: AnimaticOrder, size: tuple[int, int], folder: Path) -> tuple[list[Layer], list[Path]]:
    palette = palette_of(order.niche, order.seed, order.scene.scene_number)
    layers = staged(order, size, palette)
    layers.append(Layer(overlay(size, order.scene, order.scene_count, palette)))
    paths = []
    for number, layer in enumerate(layers):
        path = folder / f"layer-{number}.png"
        sheet: Image.Image = layer.sheet.convert("RGB") if number == 0 else layer.sheet
        sheet.save(path, compress_level=1)
        paths.append(path)
    return layers, paths


def _arguments(
    layers: Sequence[Layer], paths: Sequence[Path], target: Path, size: tuple[int, int], frames: int
) -> list[str]:
    picture = _moving(layers[0], paths[0], size, frames, "yuv420p")
    if layers[0].zoom is None:
        x, y = _position(layers[0], size, frames)
        picture = picture.filter("crop", *size, x=f"-({x})", y=f"-({y})", exact=1)
    for layer, path in zip(layers[1:], paths[1:], strict=True):
        x, y = _position(layer, size, frames)
        upper = _moving(layer, path, size, frames, "yuva420p")
        picture = ffmpeg.overlay(picture, upper, x=x, y=y, eval="frame", format="yuv420", shortest=0)
    tags = dict(tag.split("=") for tag in TAGS.split(":"))
    picture = picture.filter("format", "yuv420p").filter("setparams", **tags)
    output = ffmpeg.output(
        picture,
        ffmpeg.input(silence(frames), f="lavfi").audio,
        str(target),
        **{"frames:v": frames, "preset": "veryfast", "crf": 20},
        **PICTURE,
        **SOUND,
        **CONTAINER,
    )
    return [str(argument) for argument in ffmpeg.compile(output, overwrite_output=True)[1:]]


def _moving(layer: Layer, path: Path, size: tuple[int, int], frames: int, pixels: str) -> Any:  # noqa: ANN401 - untyped
    """A sheet as an endless picture, zoomed if it zooms."""
    sheet = ffmpeg.input(str(path), f="image2", framerate=FRAME_RATE, pattern_type="none").video
    sheet = sheet.filter("scale", out_color_matrix="bt709", out_range="tv").filter("format", pixels)
    if layer.zoom is None:
        return sheet.filter("loop", loop=-1, size=1, start=0).filter("setpts", f"N/{FRAME_RATE}/TB")
    begin, end = layer.zoom
    return sheet.filter(
        "zoompan",
        z=f"{begin}+({end - begin})*on/{frames}",
        x="iw/2-iw/zoom/2",
        y="ih/2-ih/zoom/2",
        d=frames,
        s=f"{size[0]}x{size[1]}",
        fps=FRAME_RATE,
    )


def _position(layer: Layer, size: tuple[int, int], frames: int) -> tuple[str, str]:
    """Where a sliding sheet's top left corner is at frame n, as ffmpeg expressions in pixels."""
    if layer.zoom is not None or layer.sheet.size == size:
        return "0", "0"
    expressions = []
    for axis in (0, 1):
        spare = size[axis] * (ROOM - 1)
        slide, swing = layer.slide[axis] * size[axis], layer.sway[axis] * min(size)
        wave = f"{swing:.2f}*sin(2*PI*n/{layer.period * FRAME_RATE:.1f}+{axis * 1.6})"
        expressions.append(f"{-spare / 2 - slide / 2:.2f}+{slide:.2f}*n/{frames}+{wave}")
    return expressions[0], expressions[1]
