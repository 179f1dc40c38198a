"""Simulated clips, and films made of them, are visibly marked as simulated."""

from decimal import Decimal
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import ImageFont

from simulator.clip_store import ClipStore, _drawable
from simulator.ledger import Task


def a_task(size: tuple[int, int], fault: str | None = None) -> Task:
    return Task("runway", "gen4.5", "a fox", 2, size, Decimal(1), 1.0, {}, clip_fault=fault)


@pytest.mark.parametrize("captions", [True, False])
@pytest.mark.parametrize("size", [(1280, 720), (720, 1280), (960, 960)])
async def test_every_clip_is_marked_as_simulated(tmp_path: Path, size: tuple[int, int], captions: bool) -> None:
    width, height = size
    path = await ClipStore(tmp_path, captions=captions).clip(a_task(size))
    with av.open(path) as clip:
        pictures = [frame.to_ndarray(format="gray") for frame in clip.decode(video=0)]
    for picture in (pictures[0], pictures[-1]):
        white = picture > 225
        # Large letters in the middle of the upper edge, and nowhere beside them.
        label = white[round(height * 0.04) : round(height * 0.15)]
        columns = np.flatnonzero(label.any(axis=0))
        assert label.sum() > 1000
        assert width * 0.2 < columns[0] < width * 0.45
        assert width * 0.55 < columns[-1] < width * 0.8
        assert white[round(height * 0.16) :].any() == captions


async def test_a_black_clip_is_black(tmp_path: Path) -> None:
    path = await ClipStore(tmp_path, captions=True).clip(a_task((640, 360), "black"))
    with av.open(path) as clip:
        assert all(frame.to_ndarray(format="gray").max() < 32 for frame in clip.decode(video=0))


def test_characters_without_a_glyph_are_omitted_from_the_caption() -> None:
    font = ImageFont.load_default(20)
    assert isinstance(font, ImageFont.FreeTypeFont)
    assert _drawable("Ein Müller 猫 träumt\nស្ត្រី 🐟 von fish", font) == "Ein Muller traumt von fish"
