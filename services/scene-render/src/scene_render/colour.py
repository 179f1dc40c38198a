"""Brings the colours of any clip to those of the film, BT.709 in limited range: rules, as ffmpeg filters.

Code points are those of ITU-T H.273. Matrix and range are always converted. Of primaries only wide gamuts are: those
of BT.601 differ so little from BT.709's that players leave them alone, and so do we. PQ and HLG are mapped to SDR.
"""

from collections.abc import Sequence
from typing import Any

from shared.probe import Colour

BT709 = 1
UNSPECIFIED = 2
BT470BG, BT601 = 5, 6
RGB, BT2020 = 0, 9
PQ, LINEAR, HLG = 16, 8, 18
MATRICES = frozenset({1, 4, 5, 6, 7, 8, 9})
"""The matrices that zscale converts from."""
WIDE_GAMUTS = frozenset({BT2020, 11, 12})
"""BT.2020, and both P3."""

WHITE_NITS = 203
"""The luminance of diffuse white in HDR (ITU-R BT.2408), which becomes white in SDR."""
PEAK_NITS = 1000
STRAIGHT = 0.9
"""Linear light up to here keeps its brightness; what is brighter is compressed to what is left above it."""

Filter = tuple[str, dict[str, Any]]


def film_colours(colour: Colour, size: tuple[int, int], *, is_rgb: bool) -> Sequence[Filter]:
    """Return the filters that scale a picture to `size` and give it the film's colours."""
    width, height = size
    source = {
        "matrixin": matrix_of(colour, is_rgb=is_rgb),
        "rangein": "full" if colour.full_range else "limited",
        "primariesin": primaries_of(colour),
        "transferin": transfer_of(colour),
    }
    scale: dict[str, Any] = {"w": width, "h": height, "filter": "bicubic"}
    film = {"matrix": "709", "range": "limited"}
    if colour.transfer not in (PQ, HLG):
        return (("zscale", {**scale, **source, **film, "primaries": "709", "transfer": "709"}),)
    return (
        ("zscale", {**scale, **source, "primaries": "709", "transfer": "linear", "npl": WHITE_NITS}),
        ("format", {"pix_fmts": "gbrpf32le"}),
        ("tonemap", {"tonemap": "mobius", "param": STRAIGHT, "peak": f"{PEAK_NITS / WHITE_NITS:.3f}"}),
        ("zscale", {**film, "transfer": "709"}),
    )


def is_films(colour: Colour) -> bool:
    """Whether a picture has the film's colours, or says nothing else: what is untagged is taken for BT.709."""
    return (
        not colour.full_range
        and colour.matrix in (BT709, UNSPECIFIED)
        and matrix_of(colour, is_rgb=False) == primaries_of(colour) == BT709
        and transfer_of(colour) == BT709
    )


def matrix_of(colour: Colour, *, is_rgb: bool) -> int:
    """Return the matrix; where it is not specified, the one that goes with the primaries."""
    if is_rgb:
        return RGB
    if colour.matrix in MATRICES:
        return colour.matrix
    if colour.primaries == BT2020 or colour.transfer in (PQ, HLG):
        return BT2020
    return BT601 if colour.primaries in (BT470BG, BT601) else BT709


def primaries_of(colour: Colour) -> int:
    """Return the primaries to convert from."""
    if colour.primaries in WIDE_GAMUTS:
        return colour.primaries
    return BT2020 if colour.primaries == UNSPECIFIED and colour.transfer in (PQ, HLG) else BT709


def transfer_of(colour: Colour) -> int:
    """Return the transfer function to convert from. Those of SDR are shown alike, whatever they are called."""
    return colour.transfer if colour.transfer in (PQ, LINEAR, HLG) else BT709
