"""Errors that handlers raise, by what happens to the message."""

from collections.abc import Iterable


class StepFailed(Exception):
    """The step fails permanently: the message is dead-lettered and the video fails."""

    fails_video = True

    def __init__(self, kind: str, reason: str, detail: str = "") -> None:
        """`kind` is for programs, `reason` (a sentence) for people, `detail` for operators only."""
        super().__init__(f"{kind}: {detail or reason}")
        self.kind = kind
        self.reason = reason
        self.detail = detail or reason


class MessageMalformed(StepFailed):
    """The message does not match its schema."""

    def __init__(self, reason: str) -> None:
        super().__init__("malformed", reason)


class RequestConflicts(StepFailed):
    """The id belongs to an earlier, different request, which continues."""

    fails_video = False
    KIND = "conflict"

    def __init__(self, video_id: object) -> None:
        super().__init__(self.KIND, f"Video {video_id} was requested before with other values. Use a new id.")
        self.video_id = video_id


class TryAgainLater(Exception):
    """A later attempt may succeed. The text is for people, who read it if none does."""


class QueuesMissing(Exception):
    """An event cannot be sent yet because a queue of one of its consumers is missing."""

    def __init__(self, event: str, queues: Iterable[str]) -> None:
        self.event = event
        self.queues = sorted(queues)
        super().__init__(
            f"{event} waits for {', '.join(self.queues)}: load RabbitMQ's definitions, or start the service."
        )
