"""Brings the colours of any clip to those of the film, BT.709 in limited range: rules, as ffmpeg filters.

Code points are those of ITU-T H.273. Matrix and range are always converted. Of primaries only wide gamuts are: those
of BT.601 differ so little from BT.709's that players leave them alone, and so do we. PQ and HLG are mapped to SDR.
"""

from collections.abc import Sequence
from typing import Any

from shared.media.probe import Colour, MediaFacts

BT709 = 1
UNSPECIFIED = 2
BT470BG, BT601 = 5, 6
RGB, BT2020 = 0, 9
PQ, LINEAR, HLG = 16, 8, 18
MATRICES = frozenset({1, 4, 5, 6, 7, 8, 9})
"""The matrices that zscale converts from."""
WIDE_GAMUTS = frozenset({BT2020, 11, 12})
"""BT.2020, and both P3."""

LEAST_HD_SIDE = 1280
MOST_SD_LINES = 576
"""Standard definition is smaller than the first, and has at most so many lines; PAL has the most."""

WHITE_NITS = 203
"""The luminance of diffuse white in HDR (ITU-R BT.2408), which becomes white in SDR."""
PEAK_NITS = 1000
STRAIGHT = 0.9
"""Linear light up to here keeps its brightness; what is brighter is compressed to what is left above it."""

Filter = tuple[str, dict[str, Any]]


def film_colours(facts: MediaFacts, size: tuple[int, int]) -> Sequence[Filter]:
    """Return the filters that scale a picture to `size` and give it the film's colours."""
    colour, (width, height) = facts.colour, size
    source = {
        "matrixin": matrix_of(facts),
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


def is_films(facts: MediaFacts) -> bool:
    """Whether a picture has the film's colours, or says nothing else."""
    colour = facts.colour
    return (
        not colour.full_range
        and colour.matrix in (BT709, UNSPECIFIED)
        and matrix_of(facts) == primaries_of(colour) == BT709
        and transfer_of(colour) == BT709
    )


def matrix_of(facts: MediaFacts) -> int:
    """Return the matrix; where it is not specified, the one that goes with the primaries.

    A picture that says nothing at all is BT.601 in standard definition, as DV is by its own norm, and BT.709 in any
    larger size: what players take it for.
    """
    colour = facts.colour
    if facts.is_rgb:
        return RGB
    if colour.matrix in MATRICES:
        return colour.matrix
    if colour.primaries == BT2020 or colour.transfer in (PQ, HLG):
        return BT2020
    if colour.primaries == UNSPECIFIED:
        return BT601 if _is_standard_definition(facts.width, facts.height) else BT709
    return BT601 if colour.primaries in (BT470BG, BT601) else BT709


def _is_standard_definition(width: int, height: int) -> bool:
    return max(width, height) < LEAST_HD_SIDE and min(width, height) <= MOST_SD_LINES


def primaries_of(colour: Colour) -> int:
    """Return the primaries to convert from."""
    if colour.primaries in WIDE_GAMUTS:
        return colour.primaries
    return BT2020 if colour.primaries == UNSPECIFIED and colour.transfer in (PQ, HLG) else BT709


def transfer_of(colour: Colour) -> int:
    """Return the transfer function to convert from. Those of SDR are shown alike, whatever they are called."""
    return colour.transfer if colour.transfer in (PQ, LINEAR, HLG) else BT709
