"""When a call is retried, and after which delay.

A library's retry loop does not fit: the time limit counts from the first failure, not from the first attempt, and every
event that arrives on a stream resets it.
"""

import asyncio
import random
import time

import httpx

from multishot.errors import NotReachable, refused

FIRST_DELAY, LONGEST_DELAY = 0.25, 10.0
RETRIED = (429, 503)
PROXY_ERRORS = (502, 504)
"""Retried when a proxy sends them; a problem document shows that Multishot itself did."""


class Interrupted(Exception):
    """A call had no answer, or one that asks for a retry."""

    def __init__(self, reason: str, answer: httpx.Response | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.answer = answer

    @classmethod
    def by(cls, error: httpx.TransportError) -> "Interrupted":
        """Return the interruption that a connection error is."""
        return cls(str(error) or type(error).__name__)

    @property
    def retry_after(self) -> float | None:
        """The delay that the answer asks for, in seconds."""
        return None if self.answer is None else retry_after(self.answer)

    def final(self, url: str) -> Exception:
        """Return the exception for the caller once there are no more retries."""
        if self.answer is not None and self.answer.is_client_error:
            return refused(self.answer)
        return NotReachable(url, self.reason)


class Retries:
    """The delays between attempts, growing and with jitter, for at most `patience` seconds after the first failure."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.reset()

    def reset(self) -> None:
        """Start again after a success."""
        self.delay = FIRST_DELAY
        self.failing_since: float | None = None

    async def wait(self, interrupted: Interrupted, url: str) -> None:
        """Wait before the next attempt.

        Raises:
            Refused, NotReachable: the patience is over.
        """
        clock = time.monotonic()
        self.failing_since = clock if self.failing_since is None else self.failing_since
        jittered = self.delay * random.uniform(0.75, 1.25)  # noqa: S311 - spreads clients
        delay = max(jittered, interrupted.retry_after or 0.0)
        if clock + delay > self.failing_since + self.patience:
            raise interrupted.final(url) from interrupted
        self.delay = min(2 * self.delay, LONGEST_DELAY)
        await asyncio.sleep(delay)


def raise_if_busy(answer: httpx.Response) -> None:
    """Raise `Interrupted` if the answer asks for a retry."""
    if answer.is_success:
        return
    problem = refused(answer)
    from_proxy = answer.status_code in PROXY_ERRORS and not problem.kind
    if from_proxy or answer.status_code in RETRIED or problem.kind == "still-running":
        raise Interrupted(f"{problem.title} ({answer.status_code})", answer)


def retry_after(answer: httpx.Response) -> float | None:
    """Return the value of `Retry-After` in seconds."""
    value = answer.headers.get("retry-after", "")
    return float(value) if value.isdigit() else None
