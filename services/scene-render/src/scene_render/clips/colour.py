"""Converts the colours of any clip to BT.709 in limited range, as ffmpeg filters.

Code points are those of ITU-T H.273. Matrix and range are always converted, primaries only from wide gamuts: BT.601's
differ so little from BT.709's that players ignore them. PQ and HLG are mapped to SDR.
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
"""The matrices that zscale supports."""
WIDE_GAMUTS = frozenset({BT2020, 11, 12})
"""BT.2020 and both variants of P3."""

HD_WIDTH = 1280
SD_LINES = 576
"""Standard definition is narrower than HD and has at most as many lines as PAL."""

WHITE_NITS = 203
"""Diffuse white in HDR (ITU-R BT.2408), mapped to white in SDR."""
PEAK_NITS = 1000
LINEAR_SHARE = 0.9
"""Tone mapping keeps linear light up to here and compresses what is brighter."""

Filter = tuple[str, dict[str, Any]]


def film_colours(facts: MediaFacts, size: tuple[int, int]) -> Sequence[Filter]:
    """Return the filters that scale a picture to `size` and convert its colours."""
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
        ("tonemap", {"tonemap": "mobius", "param": LINEAR_SHARE, "peak": f"{PEAK_NITS / WHITE_NITS:.3f}"}),
        ("zscale", {**film, "transfer": "709"}),
    )


def has_film_colours(facts: MediaFacts) -> bool:
    """Return whether a picture has the film's colours, or is untagged and taken for it."""
    colour = facts.colour
    return (
        not colour.full_range
        and colour.matrix in (BT709, UNSPECIFIED)
        and matrix_of(facts) == primaries_of(colour) == BT709
        and transfer_of(colour) == BT709
    )


def matrix_of(facts: MediaFacts) -> int:
    """Return the matrix; if it is unspecified, the one that belongs to the primaries.

    An untagged picture is BT.601 in standard definition (as DV is by its standard) and BT.709 in larger sizes, as in
    players.
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
    return max(width, height) < HD_WIDTH and min(width, height) <= SD_LINES


def primaries_of(colour: Colour) -> int:
    """Return the primaries to convert from."""
    if colour.primaries in WIDE_GAMUTS:
        return colour.primaries
    return BT2020 if colour.primaries == UNSPECIFIED and colour.transfer in (PQ, HLG) else BT709


def transfer_of(colour: Colour) -> int:
    """Return the transfer function to convert from. All SDR functions are displayed the same way."""
    return colour.transfer if colour.transfer in (PQ, LINEAR, HLG) else BT709
