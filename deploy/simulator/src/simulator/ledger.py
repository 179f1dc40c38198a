"""The tasks of the simulated providers, their states and costs. No I/O.

A provider runs a limited number of tasks at once and queues the others. States follow from the clock at each read.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from simulator.pictures import Given

State = Literal["queued", "running", "succeeded", "failed", "cancelled"]
Provider = Literal["runway", "luma", "luma-agents", "pika", "fal"]
PROVIDERS: tuple[Provider, ...] = ("runway", "luma", "luma-agents", "pika", "fal")
Kind = Literal["clip", "picture"]


@dataclass(frozen=True)
class Ending:
    """The failure that a fault prescribes for a task. `charged`: its price is charged nevertheless."""

    code: str = ""
    reason: str = "The simulated task failed."
    charged: bool = False


@dataclass
class Task:
    """One paid task. Times are seconds on the ledger's clock; `price`, `billed` and `charged` are USD.

    `billed`: what it really costs, if that is less than the price reserved for it. `pictures`: those in the order.
    """

    provider: Provider
    model: str
    prompt: str
    seconds: int
    size: tuple[int, int]
    price: Decimal
    work_seconds: float
    request: dict[str, object]
    callback_url: str | None = None
    first_frame: bool = False
    kind: Kind = "clip"
    pictures: tuple[Given, ...] = ()
    billed: Decimal | None = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    state: State = "queued"
    ending: Ending | None = None
    never_ends: bool = False
    clip_fault: str | None = None
    throttled_until: float = 0.0
    created_at: float = 0.0
    started_at: float | None = None
    ended_at: float | None = None
    charged: Decimal = Decimal(0)
    deleted: bool = False
    looks: list[float] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        """Whether its state is final."""
        return self.state in ("succeeded", "failed", "cancelled")

    def progress(self, now: float) -> float:
        """Return its progress, 0 to 1."""
        if self.started_at is None:
            return 0.0
        return min(1.0, (now - self.started_at) / self.work_seconds) if self.work_seconds else 1.0


class Ledger:
    """All tasks of all providers. `capacity`: how many tasks a provider runs at once for this account."""

    def __init__(self, clock: Callable[[], float], capacity: int) -> None:
        self.clock = clock
        self.capacity: dict[Provider, int] = dict.fromkeys(PROVIDERS, capacity)
        self.tasks: dict[str, Task] = {}
        self.peak: dict[Provider, int] = dict.fromkeys(PROVIDERS, 0)
        self.active: dict[Provider, list[Task]] = {provider: [] for provider in PROVIDERS}

    def add(self, task: Task) -> Task:
        """Add a task, which may be charged from now on."""
        self.advance()
        task.created_at = self.clock()
        self.tasks[task.id] = task
        active = self.active[task.provider]
        active.append(task)
        self.peak[task.provider] = max(self.peak[task.provider], len(active))
        self.advance()
        return task

    def find(self, provider: Provider, task_id: str) -> Task | None:
        """Return a task of this provider, unless it was deleted."""
        self.advance()
        task = self.tasks.get(task_id)
        return task if task is not None and task.provider == provider and not task.deleted else None

    def of(self, provider: Provider) -> list[Task]:
        """Return all tasks of a provider that were not deleted, newest first."""
        self.advance()
        return [task for task in reversed(self.tasks.values()) if task.provider == provider and not task.deleted]

    def advance(self) -> list[Task]:
        """Apply all due changes and return the tasks with a changed state."""
        now = self.clock()
        changed: list[Task] = []
        for provider, active in self.active.items():
            for task in [one for one in active if one.state == "running"]:
                if not task.never_ends and task.started_at is not None and task.started_at + task.work_seconds <= now:
                    self._end(task, "failed" if task.ending else "succeeded", now)
                    changed.append(task)
            free = self.capacity[provider] - sum(1 for task in active if task.state == "running")
            for task in [one for one in active if one.state == "queued" and one.throttled_until <= now][: max(free, 0)]:
                task.state, task.started_at = "running", now
                changed.append(task)
        return changed

    def cancel(self, task: Task) -> None:
        """Cancel a task unless it has ended. A running one costs its whole price."""
        if not task.ended:
            self._end(task, "cancelled", self.clock())

    def _end(self, task: Task, state: State, now: float) -> None:
        begun = task.state == "running"
        task.state, task.ended_at = state, now
        kept = task.ending.charged if state == "failed" and task.ending else begun
        cost = task.price if task.billed is None or state != "succeeded" else task.billed
        task.charged = cost if kept else Decimal(0)
        self.active[task.provider].remove(task)
