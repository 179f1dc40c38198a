"""The rule that selects the provider of a scene. No I/O."""

from collections.abc import Collection, Sequence


def choose(names: Sequence[str], tried: Collection[str], open_circuits: Sequence[str]) -> str | None:
    """Return the first untried provider with a closed circuit, else the untried one that is probed first.

    `open_circuits`: providers with an open circuit, in the order in which they are probed. None: all were tried.
    """
    left = [name for name in names if name not in tried]
    closed = (name for name in left if name not in open_circuits)
    return next(closed, None) or next((name for name in open_circuits if name in left), None)
