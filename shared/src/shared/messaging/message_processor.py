"""Runs the handler of one message and decides what happens to the message, in both ways of running."""

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
from shared.contracts.events import Stage, VideoFailed
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
"""How long a message waits before each retry."""

OUTAGE_DELAY = 1
"""The delay while a database or a storage is unreachable; such attempts do not count."""

REDRIVEN = "x-redriven"
"""The header with the time at which a dead letter was requeued."""

EPOCH = "x-epoch"
"""The header with the epoch in which a dead letter failed its video, or which began when it was requeued."""

MOST_LEVELS = 32
"""JSON levels of a message: a few more than those of a request, which it contains."""
MOST_FAULTS = 50
LONGEST_PLACE = 200
MOST_RETURNS = 15
"""After this many crashed deliveries we dead-letter the message ourselves, so the failure is reported."""

HANDLER_SECONDS = 20 * 60
"""RabbitMQ redelivers a message that is not acknowledged within 30 minutes."""

OwnerLookup = Callable[[AsyncSession, UUID], Awaitable[Belonging]]
"""Looks up the owner of a video in the rows of a service."""


@dataclass(frozen=True)
class DeadLetter:
    """A message that is dead-lettered. `video_id` is None if it could not be read.

    `epoch`: the current one of the video.
    """

    event: type[Message]
    delivery: Delivery
    video_id: UUID | None
    failure: StepFailed
    epoch: int = 0
    body: bytes = b""

    @property
    def belonging(self) -> Belonging:
        """The owner and the post of the video, as the message says; a verified publisher overrides the owner."""
        belonging = Belonging.read(_read(self.body))
        return belonging.model_copy(update={"owner": self.delivery.user}) if self.delivery.user else belonging

    def note_id(self) -> str:
        """Return the id of the message that reports the failure.

        It is derived, so that a failure that is handled twice is reported once; a requeued message gets a new id.
        """
        name = f"{self.delivery.message_id} {self.delivery.headers.get(REDRIVEN, '')}"
        return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


async def _first_epoch(_session: AsyncSession, _video_id: UUID) -> int:
    return 0


@dataclass(frozen=True)
class Service(Generic[Dependencies]):
    """An assembled service: its handlers, their dependencies, and the resources that are open while it runs.

    `on_dead_letter` reports the failure of a video; `epoch_of` looks up the current epoch of a video; `background` are
    tasks besides messages; `storage` is None if it uses no media; `policies` say how long data is kept; `checks` are
    those of `doctor`.
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
        """Return what deletes data that is too old."""
        return Retention(self.router.service, self.database, self.policies)


@dataclass(frozen=True)
class Handled:
    """The message was handled."""


@dataclass(frozen=True)
class Retry:
    """Deliver the message again, after `RETRY_DELAYS_SECONDS[delay_index]`, as this attempt."""

    delay_index: int
    attempt: int
    reason: str


@dataclass(frozen=True)
class DeadLettered:
    """The message is dead-lettered. `epoch`: the current one of its video."""

    kind: str
    reason: str
    attempt: int
    epoch: int = 0


Outcome = Handled | Retry | DeadLettered


async def process(
    service: Service[Dependencies], subscription: Subscription[Dependencies], delivery: Delivery, body: bytes
) -> Outcome:
    """Handle a message. If it is dead-lettered and its video is known, report that the video has failed."""
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
        reason = f"The process that handled it ended {delivery.returns} times before it was done."
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
    except Exception as error:  # noqa: BLE001 - unexpected errors are retried
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
        tried = f"All {delivery.attempt} attempts failed"
        text = f"{tried}: {error}." if isinstance(error, TryAgainLater) else f"{tried}."
        return StepFailed("exhausted", text, f"{tried}; the last one: {reason}")
    log.warning("message.retried", reason=reason, attempt=delivery.attempt, exc_info=error)
    # Jitter: messages that failed together are not retried at the same moment.
    delay_index = max(0, delivery.attempt - 1 - (random.random() < 0.25))  # noqa: S311 - not a secret
    return Retry(delay_index, delivery.attempt + 1, reason)


def fails_video(
    stage: Stage, owner_lookup: OwnerLookup | None = None
) -> Callable[[DeadLetter, Database], Awaitable[None]]:
    """Return a handler of dead letters that reports the failure of the video at this stage.

    `owner_lookup`: looks up the owner of the video if the message does not name one.
    """

    async def report(dead_letter: DeadLetter, database: Database) -> None:
        failure = dead_letter.failure
        if not (failure.fails_video and dead_letter.event.fails_video) or dead_letter.video_id is None:
            return
        async with transaction(database) as work:
            belonging = dead_letter.belonging
            if owner_lookup is not None and belonging.owner is None:
                belonging = await owner_lookup(work.session, dead_letter.video_id)
            failed = VideoFailed(
                video_id=dead_letter.video_id,
                stage=stage,
                kind=failure.kind,
                reason=failure.reason,
                epoch=dead_letter.epoch,
                **dict(belonging),
            )
            await work.emit(failed, message_id=dead_letter.note_id())

    return report


async def _dead_letter(
    service: Service[Dependencies],
    subscription: Subscription[Dependencies],
    delivery: Delivery,
    failure: StepFailed,
    body: bytes,
) -> Outcome:
    """Report the failure before the message is dead-lettered, so that none is lost without a report."""
    video_id, epoch = video_id_of(body), 0
    try:
        if video_id is not None:
            async with service.database.reading() as session:
                epoch = max(epoch_in(delivery.headers), await service.epoch_of(session, video_id))
        await service.on_dead_letter(
            DeadLetter(subscription.event, delivery, video_id, failure, epoch, body), service.database
        )
    except Exception as error:  # noqa: BLE001 - it is retried until the report is saved
        return Retry(OUTAGE_DELAY, delivery.attempt, repr(error))
    log.error("message.dead_lettered", kind=failure.kind, reason=failure.detail)
    return DeadLettered(failure.kind, failure.detail, delivery.attempt, epoch)


def epoch_in(headers: Mapping[str, Any]) -> int:
    """Return the epoch in the headers of a message."""
    epoch = str(headers.get(EPOCH, ""))
    return int(epoch) if epoch.isdecimal() else 0


def video_id_of(body: bytes) -> UUID | None:
    """Return the video id of a message that was not validated; None if there is none."""
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
