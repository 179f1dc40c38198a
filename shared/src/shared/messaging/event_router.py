"""A service's part of the story: which events it hears and which handler hears each."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from shared.contracts.messages import Message

Dependencies = TypeVar("Dependencies")
E = TypeVar("E", bound=Message)
Handler = Callable[[E, "Delivery", Dependencies], Awaitable[None]]


@dataclass(frozen=True)
class Delivery:
    """The message at hand. `consumer` is the queue it came by; `attempt` counts from 1.

    `returns`: how often the broker took it back from whoever handled it, because that process was gone. `user`: the
    broker user that published it, where the message says so.
    """

    consumer: str
    message_id: str
    headers: dict[str, str] = field(default_factory=dict)
    attempt: int = 1
    returns: int = 0
    user: str | None = None


@dataclass(frozen=True)
class Subscription(Generic[Dependencies]):
    """An event that a service hears, its handler, and how many are handled at once in one process."""

    consumer: str
    event: type[Message]
    handler: Callable[[Any, Delivery, Dependencies], Awaitable[None]]
    max_concurrency: int
    broadcast: bool

    @property
    def counts_once(self) -> bool:
        """Whether a message that comes again must change nothing. Hints and what all replicas hear may."""
        return self.event.stored and not self.broadcast


def consumer_of(service: str, event: type[Message]) -> str:
    """Return the name of the queue by which a service consumes an event."""
    return f"{service}.{event.name.removeprefix(f'{service}.')}"


class EventRouter(Generic[Dependencies]):
    """The part of one service: its name and its subscriptions."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.subscriptions: list[Subscription[Dependencies]] = []

    def on(
        self, *events: type[E], max_concurrency: int = 10, broadcast: bool = False
    ) -> Callable[[Handler[E, Dependencies]], Handler[E, Dependencies]]:
        """Register the handler of one or more events, each with its own queue and limit.

        Each message goes to one replica, or, with `every_replica`, to all that run (and to none that does not).
        """

        def register(handler: Handler[E, Dependencies]) -> Handler[E, Dependencies]:
            for event in events:
                consumer = consumer_of(self.service, event)
                self.subscriptions.append(Subscription(consumer, event, handler, max_concurrency, broadcast))
            return handler

        return register


class EphemeralPublisher(Protocol):
    """Where events go that nobody needs to get: at most once, and only to whoever listens now."""

    async def publish(self, event: Message) -> None:
        """Tell it to whoever listens. Never raises."""
        ...


class NullPublisher:
    """Where hints go that are for nobody."""

    async def publish(self, event: Message) -> None:
        """Nobody listens."""
