"""Plausibility of charges: rules, without any I/O."""

from decimal import Decimal

from shared.contracts.events import SceneCharged, StoryCharged
from shared.messaging.errors import StepFailed

MOST_TIMES_EXPECTED = 10


class ChargeImplausible(StepFailed):
    """A charge does not fit its video. It is not booked; a person has to check it."""

    fails_video = False

    def __init__(self, event: SceneCharged | StoryCharged, reason: str) -> None:
        super().__init__("charge_implausible", f"The charge for attempt {event.attempt_id} was not booked: {reason}")


def check_charge(event: SceneCharged | StoryCharged, owner: str, expected: Decimal | None) -> None:
    """Check a charge against the video's owner and the highest cost expected of the whole video, in USD.

    Raises:
        ChargeImplausible: it names another owner, or is far too high.
    """
    if event.owner != owner:
        raise ChargeImplausible(event, f"it names the owner {event.owner!r}, but the video belongs to {owner!r}.")
    amount = event.held_usd + event.booked_usd
    if expected is not None and amount > MOST_TIMES_EXPECTED * expected:
        raise ChargeImplausible(event, f"it is ${amount:.2f}, but the video is expected to cost ${expected:.2f}.")
