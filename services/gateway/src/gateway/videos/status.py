"""The states of a video. Every rule about them is here; nothing else lists end states."""

from enum import StrEnum
from typing import Annotated

from pydantic import WithJsonSchema


class VideoStatus(StrEnum):
    """The state of a video."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @classmethod
    def of(cls, text: str) -> "VideoStatus":
        """Return the state a row names. The existing application may write its own words; they count as pending."""
        return cls(text) if text in cls._value2member_map_ else cls.PENDING

    @property
    def is_terminal(self) -> bool:
        """Return whether no work is being done on the video any more."""
        return self not in (VideoStatus.PENDING, VideoStatus.PROCESSING)

    @property
    def is_final(self) -> bool:
        """Return whether work can never start again. A failed video may be resumed."""
        return self.is_terminal and self is not VideoStatus.FAILED

    @property
    def is_without_film(self) -> bool:
        """Return whether the video ended and there is no film, or no longer."""
        return self.is_terminal and self is not VideoStatus.COMPLETED


TERMINAL_STATUSES = tuple(status.value for status in VideoStatus if status.is_terminal)
"""For queries."""
ACTIVE_STATUSES = tuple(status.value for status in VideoStatus if not status.is_terminal)

# Inline, because a named enum would change the types that clients generate.
Status = Annotated[VideoStatus, WithJsonSchema({"type": "string", "enum": [status.value for status in VideoStatus]})]
