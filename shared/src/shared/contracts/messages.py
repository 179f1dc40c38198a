"""The base of every message on the broker: events, and messages that a service sends to itself."""

from abc import abstractmethod
from typing import ClassVar, Literal

from shared.contracts.base import Contract


class Message(Contract):
    """A message. `name` is its routing key and the `type` of its properties."""

    name: ClassVar[str]
    stored: ClassVar[bool] = True
    """Whether the message is persistent and confirmed. An ephemeral message may be lost."""

    fails_video: ClassVar[bool] = True
    """Whether a video fails whose message is dead-lettered."""

    version: Literal[1] = 1

    @property
    @abstractmethod
    def ordering_key(self) -> str:
        """The correlation id, at most 36 characters. Messages with the same key are sent in order."""


class InternalMessage(Message):
    """A message that a service sends to itself: no other service may publish or consume it.

    A dead-lettered message fails the video that its `video_id` names, if it has that field, unless `fails_video` is not
    set.
    """
