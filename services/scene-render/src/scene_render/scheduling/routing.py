"""Which provider a scene goes to: rules, without any I/O."""

from collections.abc import Collection, Sequence

ALWAYS_THERE = frozenset({"animatic"})
"""Who renders for nothing and needs no setting: whoever wishes for it gets it, though others do not come to it."""


def candidates(wished: Sequence[str], configured: Sequence[str]) -> tuple[str, ...]:
    """Who may render a scene, the preferred one first: those it wishes for, as far as they are there, else all."""
    return tuple(name for name in wished if name in ALWAYS_THERE or name in configured) or tuple(configured)


def choose(names: Sequence[str], tried: Collection[str], parked: Sequence[str]) -> str | None:
    """The first who was not tried yet and takes tasks; if none takes any, the first of `parked`; None: all were tried.

    `parked`: those who take none, in the order in which they will.
    """
    left = [name for name in names if name not in tried]
    free = (name for name in left if name not in parked)
    return next(free, None) or next((name for name in parked if name in left), None)
