"""Maps events to the handlers of a service."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from shared.contracts.messages import Message

Dependencies = TypeVar("Dependencies")
E = TypeVar("E", bound=Message)
Handler = Callable[[E, "Delivery", Dependencies], Awaitable[None]]


@dataclass(frozen=True)
class Delivery:
    """The message that is being handled. `consumer` is the name of its queue; `attempt` counts from 1.

    `returns`: how often the broker redelivered it because the process that handled it was gone. `user`: the verified
    broker user that published it, if the message names one.
    """

    consumer: str
    message_id: str
    headers: dict[str, str] = field(default_factory=dict)
    attempt: int = 1
    returns: int = 0
    user: str | None = None


@dataclass(frozen=True)
class Subscription(Generic[Dependencies]):
    """An event, its handler, and how many of its messages one process handles concurrently."""

    consumer: str
    event: type[Message]
    handler: Callable[[Any, Delivery, Dependencies], Awaitable[None]]
    max_concurrency: int
    broadcast: bool

    @property
    def counts_once(self) -> bool:
        """Whether the inbox must drop duplicates: of all messages except ephemeral and broadcast ones."""
        return self.event.stored and not self.broadcast


def consumer_of(service: str, event: type[Message]) -> str:
    """Return the name of the queue by which a service consumes an event."""
    return f"{service}.{event.name.removeprefix(f'{service}.')}"


class EventRouter(Generic[Dependencies]):
    """The name of a service and its subscriptions."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.subscriptions: list[Subscription[Dependencies]] = []

    def on(
        self, *events: type[E], max_concurrency: int = 10, broadcast: bool = False
    ) -> Callable[[Handler[E, Dependencies]], Handler[E, Dependencies]]:
        """Register the handler of one or more events, each with its own queue and limit.

        Each message goes to one replica or, with `broadcast`, to all replicas that are running.
        """

        def register(handler: Handler[E, Dependencies]) -> Handler[E, Dependencies]:
            for event in events:
                consumer = consumer_of(self.service, event)
                self.subscriptions.append(Subscription(consumer, event, handler, max_concurrency, broadcast))
            return handler

        return register


class EphemeralPublisher(Protocol):
    """Publishes messages at most once, to subscribers that are connected now."""

    async def publish(self, event: Message) -> None:
        """Publish a message. Never raises."""
        ...


class NullPublisher:
    """Discards all messages."""

    async def publish(self, event: Message) -> None:
        """Do nothing."""
