"""The lengths that a model delivers, and the price of each."""

import functools
import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from shared.contracts.media import FRAME_RATE, LONGEST_FREEZE_FRAMES

STANDS_STILL_SECONDS = LONGEST_FREEZE_FRAMES / FRAME_RATE
WORTH_A_FREEZE = Decimal("0.75")
"""Clips that cost at most this share of the others may end with a still frame."""


@dataclass(frozen=True)
class Tariff:
    """The lengths a model delivers, in whole seconds, and the price of each in USD."""

    usd: Mapping[int, Decimal]

    @classmethod
    def per_second(cls, usd: Decimal, lengths: Iterable[int]) -> "Tariff":
        """Return a tariff with one price per second."""
        return cls({seconds: usd * seconds for seconds in lengths})

    def price(self, seconds: int) -> Decimal:
        """Return the price of one clip of a length that the model delivers."""
        return self.usd[seconds]

    def split(self, seconds: float) -> tuple[int, ...]:
        """Return the lengths of the clips for a scene, longest first: the cheapest ones, then as few as possible.

        The last frame is repeated, at most for the longest transition, if that saves a clip or much money.
        """
        return _split(seconds, tuple(sorted(self.usd.items())))

    def cost(self, seconds: float) -> Decimal:
        """Return the price of a scene of this length in USD."""
        return sum((self.price(part) for part in self.split(seconds)), Decimal(0))


@functools.lru_cache(maxsize=4096)
def _split(seconds: float, prices: tuple[tuple[int, Decimal], ...]) -> tuple[int, ...]:
    full = _cheapest(seconds, prices)
    shorter = _cheapest(max(seconds - STANDS_STILL_SECONDS, 0), prices)
    usd = dict(prices)
    full_usd, shorter_usd = (sum(usd[part] for part in parts) for parts in (full, shorter))
    freezes = len(shorter) < len(full) or shorter_usd <= WORTH_A_FREEZE * full_usd
    return tuple(sorted(shorter if freezes and shorter_usd <= full_usd else full, reverse=True))


def _cheapest(seconds: float, prices: tuple[tuple[int, Decimal], ...]) -> tuple[int, ...]:
    """Return the lengths that cover `seconds`: cheapest, then fewest, then shortest, then most equal."""
    usd = dict(prices)
    longest = prices[-1][0]
    fewest = max(1, math.ceil(round(seconds, 6) / longest))
    choices = (
        choice
        for count in (fewest, fewest + 1)
        for choice in itertools.combinations_with_replacement(usd, count)
        if sum(choice) >= round(seconds, 6)
    )
    return min(choices, key=lambda c: (sum(usd[part] for part in c), len(c), sum(c), c[-1] - c[0]))
