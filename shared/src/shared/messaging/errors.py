"""What can go wrong in a step of the story, as the frame that runs the steps sees it."""

from collections.abc import Iterable


class StepFailed(Exception):
    """This step cannot be done, now or later: its message goes to the dead letters and the video ends as failed."""

    fails_video = True

    def __init__(self, kind: str, reason: str, detail: str = "") -> None:
        """Tell what happened: `kind` to programs, `reason`, a sentence, to people, `detail` to operators alone."""
        super().__init__(f"{kind}: {detail or reason}")
        self.kind = kind
        self.reason = reason
        self.detail = detail or reason


class MessageMalformed(StepFailed):
    """The message is not what its type promises."""

    def __init__(self, reason: str) -> None:
        super().__init__("malformed", reason)


class RequestConflicts(StepFailed):
    """This id was used before, for another request. The first one goes on undisturbed."""

    fails_video = False
    KIND = "conflict"

    def __init__(self, video_id: object) -> None:
        super().__init__(self.KIND, f"Video {video_id} was requested before, with other wishes.")
        self.video_id = video_id


class TryAgainLater(Exception):
    """This step may go well at another time. Its text is for people: it is what they read if it never does."""


class QueuesMissing(Exception):
    """An event cannot be sent yet: a queue of one of its consumers does not exist."""

    def __init__(self, event: str, queues: Iterable[str]) -> None:
        self.event = event
        self.queues = sorted(queues)
        super().__init__(
            f"{event} waits for {', '.join(self.queues)}: load RabbitMQ's definitions, or start the service."
        )
