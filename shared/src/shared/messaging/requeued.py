"""The report about requeued dead letters."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

LONGEST_REASON = 200


@dataclass(frozen=True)
class Requeued:
    """A message that was requeued for `consumer`; `again`: not for the first time."""

    message: str
    consumer: str
    video_id: UUID | None
    reason: str
    again: bool

    def __str__(self) -> str:
        video = f" of video {self.video_id}" if self.video_id else ""
        failed = "failed again" if self.again else "failed"
        reason = "".join(c if c.isprintable() else " " for c in self.reason[:LONGEST_REASON])
        return f"  {self.message}{video} to {self.consumer}; it {failed}: {reason}"


def report(requeued: Sequence[Requeued]) -> str:
    """Return the number of messages, and a line for each."""
    if not requeued:
        return "There are no dead letters."
    again = sum(one.again for one in requeued)
    what = "1 message" if len(requeued) == 1 else f"{len(requeued)} messages"
    more = f", {again} of which had failed again after an earlier requeue" if again else ""
    return "\n".join([f"Requeued {what}{more}:", *map(str, requeued)])
