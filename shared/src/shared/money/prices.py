"""Units of money, and the prices of language models."""

from dataclasses import dataclass
from decimal import ROUND_UP, Decimal

FREE = Decimal(0)
UNIT = Decimal("0.0001")
"""Budgets and charges are kept as whole numbers of this many USD."""
STORYBOARD_TOKENS = 4000
"""About how many tokens a model reads for a storyboard, and the most that it writes."""


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
