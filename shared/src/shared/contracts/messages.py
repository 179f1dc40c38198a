"""What every message on the broker has, be it an event or a message that a service sends to itself."""

from abc import abstractmethod
from typing import ClassVar, Literal

from shared.contracts.story import Contract


class Message(Contract):
    """A message. `name` is its routing key and the `type` of its properties."""

    name: ClassVar[str]
    stored: ClassVar[bool] = True
    """Whether the message is kept and confirmed. A hint is not: it may be lost."""

    version: Literal[1] = 1

    @property
    @abstractmethod
    def ordering_key(self) -> str:
        """Messages of one key are sent in order, at most 36 characters; it is the message's correlation id."""


class InternalMessage(Message):
    """A message that a service sends to itself: no other service may publish or consume it.

    One that fails for good fails the video that its `video_id` names, if it has that field.
    """
