"""Runs one handler for one message and decides what becomes of the message. Both ways of running share it."""

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Generic
from uuid import UUID

import structlog
from opentelemetry.trace import SpanKind, Status, StatusCode
from pydantic import ValidationError
from pydantic_core import from_json
from sqlalchemy.ext.asyncio import AsyncSession

from shared import telemetry
from shared.consistency import Check
from shared.contracts.events import Stage, VideoDeleted, VideoFailed
from shared.contracts.messages import Message
from shared.contracts.story import Belonging
from shared.http.json_bounds import JsonTooDeep, JsonTooLong, check_json
from shared.messaging.errors import MessageMalformed, StepFailed, TryAgainLater
from shared.messaging.event_router import Delivery, Dependencies, EventRouter, Subscription
from shared.messaging.message_checks import checked
from shared.persistence.database import Database, is_outage
from shared.persistence.inbox import AlreadyHandled
from shared.persistence.unit_of_work import has_handled, transaction
from shared.process.retention import Policy, Retention
from shared.process.supervisor import Background
from shared.storage.base import Storage

log = structlog.get_logger()

RETRY_DELAYS_SECONDS = (1, 5, 30, 120, 600)
"""How long a message waits before each new attempt."""

OUTAGE_DELAY = 1
"""The delay while a database or a storage is unreachable; such attempts do not count."""

REDRIVEN = "x-redriven"
"""The header that says when a dead letter was put back."""

EPOCH = "x-epoch"
"""The header of a dead letter that says in which epoch its video failed by it, and of a redriven one, which began."""

MOST_LEVELS = 32
"""What a request may hold comes a few levels further down in a message."""
MOST_FAULTS = 50
LONGEST_PLACE = 200
MOST_RETURNS = 15
"""After this many crashed deliveries we dead-letter the message ourselves, so the failure is reported."""

HANDLER_SECONDS = 20 * 60
"""RabbitMQ takes a message away after 30 minutes."""


Whose = Callable[[AsyncSession, UUID], Awaitable[Belonging]]
"""Looks up whom a video belongs to, in the rows of a service."""


@dataclass(frozen=True)
class DeadLetter:
    """A message that goes to the dead letters. `video_id` is None where it could not be read.

    `epoch`: the video's present one.
    """

    event: type[Message]
    delivery: Delivery
    video_id: UUID | None
    failure: StepFailed
    epoch: int = 0
    body: bytes = b""

    @property
    def belonging(self) -> Belonging:
        """Whose video it is, as far as the message says so; its owner is its publisher, where that is verified."""
        told = Belonging.read(_read(self.body))
        return told.model_copy(update={"owner": self.delivery.user}) if self.delivery.user else told

    def note_id(self) -> str:
        """The id of the message that tells of this death.

        Derived: a death may be handled twice and is one all the same; that of a redriven message is another.
        """
        name = f"{self.delivery.message_id} {self.delivery.headers.get(REDRIVEN, '')}"
        return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


async def _first_epoch(_session: AsyncSession, _video_id: UUID) -> int:
    return 0


@dataclass(frozen=True)
class Service(Generic[Dependencies]):
    """A service, put together: its part of the story, its tools, and what must be open while it runs.

    `on_death` is what it does about the video of a message that died; `epoch_of` says in which epoch it knows a video
    to be; `background` is what it does besides messages; without a `storage` it works on no media; `policies` say how
    long it keeps what; `checks` are what `doctor` looks for.
    """

    router: EventRouter[Dependencies]
    deps: Dependencies
    database: Database
    on_dead_letter: Callable[[DeadLetter, Database], Awaitable[None]]
    resources: tuple[AbstractAsyncContextManager[Any], ...] = ()
    epoch_of: Callable[[AsyncSession, UUID], Awaitable[int]] = _first_epoch
    background: tuple[Background, ...] = ()
    storage: Storage | None = None
    policies: tuple[Policy, ...] = ()
    checks: tuple[Check, ...] = ()

    @property
    def retention(self) -> Retention:
        """What removes what is too old."""
        return Retention(self.router.service, self.database, self.policies)


@dataclass(frozen=True)
class Handled:
    """The message is done with."""


@dataclass(frozen=True)
class Retry:
    """Deliver the message again, after `RETRY_DELAYS_SECONDS[delay_index]`, as this attempt."""

    delay_index: int
    attempt: int
    reason: str


@dataclass(frozen=True)
class DeadLettered:
    """The message goes to the dead letters. `epoch`: the one its video is in."""

    kind: str
    reason: str
    attempt: int
    epoch: int = 0


Outcome = Handled | Retry | DeadLettered


async def process(
    service: Service[Dependencies], subscription: Subscription[Dependencies], delivery: Delivery, body: bytes
) -> Outcome:
    """Have a message handled. Where it dies and its video can be read, the video is said to have failed."""
    labels = (service.router.service, subscription.event.name)
    started = time.monotonic()
    with (
        telemetry.following(delivery.headers, f"{subscription.consumer} handle", SpanKind.CONSUMER) as span,
        structlog.contextvars.bound_contextvars(
            service=service.router.service,
            consumer=subscription.consumer,
            event_id=delivery.message_id,
            video_id=str(video_id_of(body)),
        ),
    ):
        outcome = await _attempt(service, subscription, delivery, body)
        if not isinstance(outcome, Handled):
            span.set_status(Status(StatusCode.ERROR, outcome.reason))
        telemetry.HANDLING_SECONDS.labels(*labels).observe(time.monotonic() - started)
        telemetry.HANDLED.labels(*labels, type(outcome).__name__.lower()).inc()
        return outcome


async def _attempt(
    service: Service[Dependencies], subscription: Subscription[Dependencies], delivery: Delivery, body: bytes
) -> Outcome:
    if delivery.returns >= MOST_RETURNS:
        reason = f"Whoever worked on it was gone {delivery.returns} times before it was done."
        return await _dead_letter(service, subscription, delivery, StepFailed("crashed", reason), body)
    try:
        event = checked(_parse(subscription.event, body), delivery.user)
        if subscription.counts_once and await has_handled(service.database, delivery):
            return Handled()
        async with asyncio.timeout(HANDLER_SECONDS):
            await subscription.handler(event, delivery, service.deps)
        return Handled()
    except AlreadyHandled:
        return Handled()
    except StepFailed as failure:
        return await _dead_letter(service, subscription, delivery, failure, body)
    except Exception as error:  # noqa: BLE001 - the frame is where the unexpected ends
        outcome = _again(delivery, error)
        if isinstance(outcome, StepFailed):
            return await _dead_letter(service, subscription, delivery, outcome, body)
        return outcome


def _parse(event: type[Message], body: bytes) -> Message:
    try:
        check_json(body, MOST_LEVELS)
        return event.model_validate_json(body)
    except (JsonTooDeep, JsonTooLong) as error:
        raise MessageMalformed(str(error)) from error
    except ValidationError as error:
        faults = error.errors()
        problems = [f"{_place(fault['loc'])}: {fault['msg']}" for fault in faults[:MOST_FAULTS]]
        more = [f"and {len(faults) - MOST_FAULTS} more faults"] if len(faults) > MOST_FAULTS else []
        raise MessageMalformed("; ".join(problems + more)) from error


def _place(path: tuple[int | str, ...]) -> str:
    return ".".join(map(str, path))[:LONGEST_PLACE] or "message"


def _again(delivery: Delivery, error: Exception) -> Retry | StepFailed:
    """Return the next retry, or why there is none."""
    reason = f"{type(error).__name__}: {error}"
    if is_outage(error):
        log.warning("message.waits", reason=reason, outage=True)
        return Retry(OUTAGE_DELAY, delivery.attempt, reason)
    if delivery.attempt > len(RETRY_DELAYS_SECONDS):
        log.error("message.exhausted", reason=reason, attempts=delivery.attempt, exc_info=error)
        tried = f"It was tried {delivery.attempt} times without success"
        told = f"{tried}: {error}." if isinstance(error, TryAgainLater) else f"{tried}."
        return StepFailed("exhausted", told, f"{tried}; the last time: {reason}")
    log.warning("message.comes_back", reason=reason, attempt=delivery.attempt, exc_info=error)
    # Jitter: neighbours of one failure do not all come back at the same moment.
    delay_index = max(0, delivery.attempt - 1 - (random.random() < 0.25))  # noqa: S311 - not a secret
    return Retry(delay_index, delivery.attempt + 1, reason)


def fails_video(stage: Stage, whose: Whose | None = None) -> Callable[[DeadLetter, Database], Awaitable[None]]:
    """What most services do about a death: say that the video has failed, at their stage.

    `whose`: looks up whom the video belongs to, where the message does not say.
    """

    async def say(dead_letter: DeadLetter, database: Database) -> None:
        failure = dead_letter.failure
        if not failure.fails_video or dead_letter.video_id is None or dead_letter.event is VideoDeleted:
            return  # a deleted video cannot fail; news of it would have it deleted again
        async with transaction(database) as work:
            belonging = dead_letter.belonging
            if whose is not None and belonging.owner is None:
                belonging = await whose(work.session, dead_letter.video_id)
            failed = VideoFailed(
                video_id=dead_letter.video_id,
                stage=stage,
                kind=failure.kind,
                reason=failure.reason,
                epoch=dead_letter.epoch,
                **dict(belonging),
            )
            await work.emit(failed, message_id=dead_letter.note_id())

    return say


async def _dead_letter(
    service: Service[Dependencies],
    subscription: Subscription[Dependencies],
    delivery: Delivery,
    failure: StepFailed,
    body: bytes,
) -> Outcome:
    """Tell about a death before it is final: the message must not be lost with the note of it."""
    video_id, epoch = video_id_of(body), 0
    try:
        if video_id is not None:
            async with service.database.reading() as session:
                epoch = max(epoch_in(delivery.headers), await service.epoch_of(session, video_id))
        await service.on_dead_letter(
            DeadLetter(subscription.event, delivery, video_id, failure, epoch, body), service.database
        )
    except Exception as error:  # noqa: BLE001 - it comes back until the note is saved
        return Retry(OUTAGE_DELAY, delivery.attempt, repr(error))
    log.error("message.dead", kind=failure.kind, reason=failure.detail)
    return DeadLettered(failure.kind, failure.detail, delivery.attempt, epoch)


def epoch_in(headers: Mapping[str, Any]) -> int:
    """The epoch that a message's headers name."""
    told = str(headers.get(EPOCH, ""))
    return int(told) if told.isdecimal() else 0


def video_id_of(body: bytes) -> UUID | None:
    """The video a message is about, read without trusting it; None where it cannot be read."""
    message = _read(body)
    try:
        return UUID(message["videoId"]) if isinstance(message, Mapping) else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _read(body: bytes) -> object:
    try:
        return from_json(body)
    except ValueError:
        return None
