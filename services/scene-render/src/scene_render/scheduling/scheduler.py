"""Starts waiting scenes and checks attempts when they are due. It claims rows; no messages are involved.

One task queries what is due: at once after a commit of this process, else about every second, to find the changes of
other processes. It wakes the tasks that act: per provider one that starts scenes and one that checks attempts, so that
providers do not delay each other; and one for time limits. None of them waits for a provider's answer: submissions and
checks run in their own tasks, a limited number per provider.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from functools import partial

import structlog
from sqlalchemy import select

from scene_render.attempts import lease, polling, submission
from scene_render.attempts.lease import Lease
from scene_render.dependencies import Dependencies
from scene_render.models import Render
from scene_render.providers.base import Provider
from scene_render.scheduling import due, time_limits
from scene_render.scheduling.claim import Claim, ClaimFailed, NoClaim, claim_next, defer
from shared.persistence.database import is_outage, now
from shared.persistence.unit_of_work import transaction
from shared.process.supervisor import Background, every

log = structlog.get_logger()

SUBMISSIONS_AT_ONCE = 16
LOOKS_AT_ONCE = 8
"""Per provider and process."""
LOOK_SECONDS = 1.0
LEAST_PAUSE_SECONDS = 0.02
"""The least pause between two queries, even if commits are more frequent."""
MOVE_EVERY_SECONDS = 60.0
LOCKED_SECONDS = 0.1
LOCKED_TRIES = 3
OUTAGE_SECONDS = 1.0
NOT_CONFIGURED = ""
"""The key for all providers that are not configured here; their attempts are checked as well."""


class Scheduler:
    """The schedulers of one process."""

    def __init__(self, deps: Dependencies) -> None:
        self.deps = deps
        names = (*deps.providers, NOT_CONFIGURED)
        self.start = {name: asyncio.Event() for name in deps.providers}
        self.check = {name: asyncio.Event() for name in names}
        self.time_limits = asyncio.Event()
        self.strays: set[str] = set()
        """Unconfigured providers with due attempts."""
        self.submissions = {name: asyncio.Semaphore(SUBMISSIONS_AT_ONCE) for name in deps.providers}

    @property
    def background(self) -> tuple[Background, ...]:
        """The tasks to keep running."""
        providers = self.deps.providers.values()
        return (
            Background("schedule", self._poll_due),
            Background("time limits", partial(self._act, self.time_limits, self.carry_out_time_limits)),
            every(MOVE_EVERY_SECONDS, self.move_strays, "move scenes"),
            *(self._starting(provider) for provider in providers),
            *(Background(f"look at {name or 'others'}", partial(self._look_at_due, name)) for name in self.check),
        )

    def _starting(self, provider: Provider) -> Background:
        start = partial(self.start_waiting, provider)
        return Background(f"start {provider.name}", partial(self._act, self.start[provider.name], start))

    # --- what is due

    async def _poll_due(self) -> None:
        changed = self.deps.database.changed
        while True:
            changed.clear()
            soon = None
            try:
                soon = await self.wake_due()
            except Exception as error:
                if not is_outage(error):
                    raise
                log.warning("schedule.outage", error=str(error))
            await asyncio.sleep(LEAST_PAUSE_SECONDS)
            # Random, so that processes do not query at the same moment.
            usual = random.uniform(LOOK_SECONDS, due.SOON_SECONDS)  # noqa: S311
            pause = usual if soon is None else min(soon, usual)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await changed.wait()

    async def wake_due(self) -> float | None:
        """Query what is due and wake the tasks that act on it. Returns the seconds until more is due, if soon."""
        found = await due.look(self.deps.database, self.deps.providers)
        self.strays = found.check - self.deps.providers.keys()
        for name in found.start:
            self.start[name].set()
        for name in found.check:
            self.check[NOT_CONFIGURED if name in self.strays else name].set()
        if found.time_limits:
            self.time_limits.set()
        return found.next_in

    async def _act(self, wake: asyncio.Event, act: Callable[[], Awaitable[None]]) -> None:
        while True:
            await wake.wait()
            wake.clear()
            try:
                await act()
            except Exception as error:
                if not is_outage(error):
                    raise
                log.warning("schedule.outage", error=repr(error))
                await asyncio.sleep(OUTAGE_SECONDS)

    async def carry_out_time_limits(self) -> None:
        """Apply the time limits that have passed."""
        await time_limits.carry_out(self.deps.database, self.deps.attempts)

    async def move_strays(self) -> None:
        """Move scenes away from providers that take no new scenes or are not configured any more."""
        selection = self.deps.attempts.selection
        waiting = select(Render.provider).where(Render.state == "waiting", Render.available_at <= now()).distinct()
        async with self.deps.database.reading() as session:
            names = (await session.execute(waiting)).scalars().all()
        for name in names:
            if not selection.takes_new(name):
                async with transaction(self.deps.database) as work:
                    await selection.move_waiting(work, name)

    # --- scenes that wait

    async def start_waiting(self, provider: Provider) -> None:
        """Start scenes while a slot is free and a scene waits."""
        if not self.deps.attempts.selection.takes_new(provider.name):
            await self.move_strays()
            return
        locked = 0
        while locked < LOCKED_TRIES:
            match await self.start_next(provider):
                case NoClaim.NOTHING_DUE:
                    return
                case NoClaim.LOCKED:
                    # The lock may be released soon. If not, the next query finds the scene again.
                    locked += 1
                    await asyncio.sleep(LOCKED_SECONDS)
                case _:
                    locked = 0

    async def start_next(self, provider: Provider) -> Claim | NoClaim:
        """Claim the next scene. Returns once its INTENT is committed; the submission continues in its own task."""
        claimed: asyncio.Future[Claim | NoClaim] = asyncio.get_running_loop().create_future()
        permit = self.submissions[provider.name]
        await permit.acquire()
        # Shielded: it runs from INTENT to the answer even if this task is cancelled.
        starting = self.deps.shielded.start(self._start(provider, claimed))
        starting.add_done_callback(lambda _: permit.release())
        return await claimed

    async def _start(self, provider: Provider, claimed: "asyncio.Future[Claim | NoClaim]") -> None:
        # Counted from before INTENT: a process that was frozen in between must not submit.
        deadline = asyncio.get_running_loop().time() + provider.submit_seconds
        try:
            claim = await self._claim(provider)
        except BaseException as error:
            if claimed.cancelled():
                raise
            claimed.set_exception(error)
            return
        if not claimed.cancelled():
            claimed.set_result(claim)
        if isinstance(claim, NoClaim):
            return
        with structlog.contextvars.bound_contextvars(service="scene-render", video_id=claim.attempt.video_id):
            try:
                await submission.submit(claim.attempt, claim.render, provider, deadline, self.deps)
            except Exception:
                # It stays at INTENT and is reconciled after its time limit.
                log.exception("submission.failed", attempt_id=claim.attempt.id, provider=provider.name)

    async def _claim(self, provider: Provider) -> Claim | NoClaim:
        try:
            async with transaction(self.deps.database) as work:
                return await claim_next(work, provider, self.deps.attempts)
        except ClaimFailed as failure:
            log.exception("scene.not_started", video_id=failure.video_id, scene=failure.scene_number)
            async with transaction(self.deps.database) as work:
                await defer(work, failure, self.deps.attempts.selection.scene_wait_seconds)
            return NoClaim.SKIPPED

    # --- attempts that are due

    async def _look_at_due(self, name: str) -> None:
        running: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as group:

            async def take() -> None:
                providers = self.strays if name == NOT_CONFIGURED else {name}
                for provider in providers:
                    async with self.deps.database.sessions.begin() as session:
                        taken = await lease.take(session, provider, LOOKS_AT_ONCE - len(running))
                    for one in taken:
                        task = group.create_task(self.look_at(one))
                        running.add(task)
                        task.add_done_callback(ended)

            def ended(task: "asyncio.Task[None]") -> None:
                if len(running) >= LOOKS_AT_ONCE:
                    self.check[name].set()
                running.discard(task)

            await self._act(self.check[name], take)

    async def look_at(self, one: Lease) -> None:
        """Check an attempt. If that fails, it is checked again after the lease has expired."""
        try:
            await polling.look_at(one, self.deps)
        except Exception as error:
            if is_outage(error):
                log.warning("attempt.outage", attempt_id=one.attempt_id, error=repr(error))
            else:
                log.exception("attempt.look_failed", attempt_id=one.attempt_id)
