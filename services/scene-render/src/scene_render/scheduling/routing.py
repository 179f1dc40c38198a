"""Which provider a scene goes to: rules, without any I/O."""

from collections.abc import Collection, Sequence


def choose(names: Sequence[str], tried: Collection[str], parked: Sequence[str]) -> str | None:
    """The first who was not tried yet and takes tasks; if none takes any, the first of `parked`; None: all were tried.

    `parked`: those who take none, in the order in which they will.
    """
    left = [name for name in names if name not in tried]
    free = (name for name in left if name not in parked)
    return next(free, None) or next((name for name in parked if name in left), None)
