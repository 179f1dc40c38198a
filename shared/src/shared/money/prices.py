"""The clip lengths and prices of the paid providers' models, as of `AS_OF`, and estimates based on them.

Sources: Runway's own `runwayml/skills` (credits per second; a credit is $0.01), Luma's price table as published in
Comfy-Org/docs, fal.ai's page of Pika 2.2.
"""

import functools
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_UP, Decimal

from shared.contracts.media import FRAME_RATE, LONGEST_FREEZE_FRAMES
from shared.contracts.provider_selection import FREE_PROVIDER
from shared.contracts.story import Scene
from shared.contracts.timeline import OVERLAP_SECONDS, timeline

AS_OF = date(2026, 11, 23)
FREE = Decimal(0)
UNIT = Decimal("0.0001")
"""Budgets and charges are kept as whole numbers of this many USD."""
STORYBOARD_TOKENS = 4000
"""About how many tokens a model reads for a storyboard, and the most that it writes."""
STANDS_STILL_SECONDS = LONGEST_FREEZE_FRAMES / FRAME_RATE


@dataclass(frozen=True)
class TokenPrices:
    """The prices of a language model, in USD per million tokens."""

    input_usd: Decimal = FREE
    output_usd: Decimal = FREE

    def of(self, input_tokens: int, output_tokens: int) -> Decimal:
        """Return the cost of so many tokens in USD, with six decimals."""
        cost = (self.input_usd * input_tokens + self.output_usd * output_tokens) / 1_000_000
        return cost.quantize(Decimal("0.000001"))

    @property
    def storyboard(self) -> Decimal:
        """The expected cost of one storyboard in USD, rounded up to whole `UNIT`s."""
        return self.of(STORYBOARD_TOKENS, STORYBOARD_TOKENS).quantize(UNIT, ROUND_UP)


@dataclass(frozen=True)
class Tariff:
    """The lengths a model delivers, in whole seconds, and the price of each in USD."""

    usd: Mapping[int, Decimal]

    def price(self, seconds: int) -> Decimal:
        """Return the price of one clip of a length that the model delivers."""
        return self.usd[seconds]

    def split(self, seconds: float) -> tuple[int, ...]:
        """Return the lengths of the clips, longest first, for a scene: as few clips as possible, then the shortest.

        If that saves a clip, the last frame is repeated, at most for the longest transition.
        """
        return _split(seconds, tuple(sorted(self.usd)))

    def cost(self, seconds: float) -> Decimal:
        """Return the price of a scene of this length in USD."""
        return sum((self.price(part) for part in self.split(seconds)), FREE)


def _per_second(usd: str, lengths: Iterable[int]) -> Tariff:
    return Tariff({seconds: Decimal(usd) * seconds for seconds in lengths})


def _table(**usd: str) -> Tariff:
    return Tariff({int(length.lstrip("s")): Decimal(price) for length, price in usd.items()})


TARIFFS: dict[str, Tariff] = {
    "runway/gen4.5": _per_second("0.12", range(2, 11)),
    "luma/ray-2/540p": _table(s5="0.40", s9="0.72"),
    "luma/ray-2/720p": _table(s5="0.71", s9="1.27"),
    "luma/ray-2/1080p": _table(s5="1.59", s9="2.87"),
    "luma/ray-flash-2/720p": _table(s5="0.24", s9="0.43"),
    "pika/v2.2/720p": _table(s5="0.20", s10="0.40"),
    "pika/v2.2/1080p": _table(s5="0.45", s10="0.90"),
}
"""By `provider/model`, with the resolution where the price depends on it."""


class PriceUnknown(Exception):
    """The clip lengths and prices of this model are not known."""

    def __init__(self, model: str) -> None:
        super().__init__(f"There is no price for {model}; name one in VIDEO_PRICES (known: {', '.join(TARIFFS)})")
        self.model = model


Override = Decimal | Mapping[int, Decimal]
"""USD per second of the known lengths, or USD by length in seconds."""


def tariff_of(model: str, overrides: Mapping[str, Override]) -> Tariff | None:
    """Return the tariff of a model named as in `TARIFFS`; None for the free renderer. Raises `PriceUnknown`."""
    if model == FREE_PROVIDER:
        return None
    known, override = TARIFFS.get(model), overrides.get(model)
    if isinstance(override, Mapping):
        return Tariff(dict(override))
    if known is None:
        raise PriceUnknown(model)
    return known if override is None else Tariff({seconds: override * seconds for seconds in known.usd})


def estimate_request(tariff: Tariff | None, seconds: float, scene_count: int) -> Decimal:
    """Estimate a film's cost before its story is written: scenes of equal length with the longest overlaps."""
    overlap = max(OVERLAP_SECONDS.values())
    each = seconds / scene_count
    return _cost_of_clips(tariff, [each + overlap] * (scene_count - 1) + [each])


def estimate_story(tariff: Tariff | None, scenes: Sequence[Scene]) -> Decimal:
    """Estimate the cost of a film of these scenes in USD."""
    return _cost_of_clips(tariff, [slot.clip_frames / FRAME_RATE for slot in timeline(scenes)])


def _cost_of_clips(tariff: Tariff | None, clips: Sequence[float]) -> Decimal:
    return FREE if tariff is None else sum((tariff.cost(seconds) for seconds in clips), FREE)


@functools.lru_cache(maxsize=1024)
def _split(seconds: float, lengths: tuple[int, ...]) -> tuple[int, ...]:
    least = max(seconds - STANDS_STILL_SECONDS, 0)
    count = max(1, math.ceil(round(least, 6) / lengths[-1]))
    choices = list(itertools.combinations_with_replacement(lengths, count))
    enough = [choice for choice in choices if sum(choice) >= seconds] or [max(choices, key=sum)]
    best = min(enough, key=lambda choice: (sum(choice), choice[-1] - choice[0]))
    return tuple(sorted(best, reverse=True))
