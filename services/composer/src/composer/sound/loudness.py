"""How much louder or quieter a mix has to be, by EBU R 128. Rules without I/O."""

import math
from dataclasses import dataclass

TARGET_LUFS = -14.0
"""What the large video platforms play at."""
HIGHEST_PEAK_DB = -1.0
"""True peak, in dBTP (EBU R 128, section 4)."""
SILENCE_LUFS = -60.0
"""A quieter mix is silence or noise, which nobody wants to hear louder."""
MOST_AMPLIFIED_DB = 20.0
"""Amplifying more would make noise audible."""
MOST_LIMITED_DB = 6.0
"""Cutting off more of the peaks is audible; such a mix stays quieter instead."""


@dataclass(frozen=True)
class Loudness:
    """The integrated loudness of a mix in LUFS, and its highest true peak in dBTP."""

    integrated: float
    peak: float


@dataclass(frozen=True)
class Correction:
    """The gain in dB, and whether peaks have to be limited after it."""

    gain_db: float
    is_limited: bool


def correction(measured: Loudness, target: float = TARGET_LUFS) -> Correction:
    """Return how a mix gets to its target loudness in LUFS."""
    if not math.isfinite(measured.integrated) or measured.integrated < SILENCE_LUFS:
        return Correction(0.0, is_limited=False)
    room = HIGHEST_PEAK_DB - measured.peak
    gain = min(target - measured.integrated, room + MOST_LIMITED_DB, MOST_AMPLIFIED_DB)
    return Correction(gain, is_limited=gain > room)
