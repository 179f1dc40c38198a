"""How long a video still takes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Eta:
    """How long a video still takes, in whole seconds: the middle and the range, and how much later than promised."""

    seconds: int
    low: int
    high: int
    slipped: int = 0

    @property
    def notice(self) -> str | None:
        """Return a sentence if it takes longer than promised, else None."""
        if not self.slipped:
            return None
        # From 20 seconds on, a multiple of five is exact enough.
        rounded = self.slipped if self.slipped < 20 else 5 * round(self.slipped / 5)
        return f"It takes longer than usual: about {rounded} s more."
