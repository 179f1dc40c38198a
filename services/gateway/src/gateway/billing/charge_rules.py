"""Which charges are believed: rules, without any I/O."""

from decimal import Decimal

from shared.contracts.events import SceneCharged, StoryCharged
from shared.messaging.errors import StepFailed

MOST_TIMES_EXPECTED = 10


class ChargeImplausible(StepFailed):
    """A charge does not fit its video; it is not booked, and a person has to look at it."""

    fails_video = False

    def __init__(self, event: SceneCharged | StoryCharged, reason: str) -> None:
        super().__init__("charge_implausible", f"The charge of attempt {event.attempt_id} is not booked: {reason}")


def check_charge(event: SceneCharged | StoryCharged, owner: str, expected: Decimal | None) -> None:
    """Check a charge against the owner of its video and what the whole video is expected to cost at most, in USD.

    Raises:
        ChargeImplausible: it names another owner, or is out of all proportion.
    """
    if event.owner != owner:
        raise ChargeImplausible(event, f"it names the owner {event.owner!r}, but the video is of {owner!r}.")
    amount = event.held_usd + event.booked_usd
    if expected is not None and amount > MOST_TIMES_EXPECTED * expected:
        raise ChargeImplausible(event, f"it is ${amount:.2f}, but the video is expected to cost ${expected:.2f}.")
