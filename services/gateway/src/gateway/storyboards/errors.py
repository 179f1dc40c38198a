"""Why a storyboard is refused."""

from gateway.http.errors import FieldError, InvalidRequest
from shared.contracts.story_rules import Fault

BESIDE_STORYBOARD = ("sceneCount", "duration")


class StoryboardFaulty(InvalidRequest):
    """An edited storyboard cannot be filmed; `faults` says where and why."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(fault.text for fault in faults), tuple(map(_field_error, faults)))


def _field_error(fault: Fault) -> FieldError:
    # A place in the story is one in the storyboard; a field beside it has its own name only.
    place = tuple(map(str, fault.place))
    path = place if place[0] in BESIDE_STORYBOARD else ("storyboard", *place)
    return FieldError(("body", *path), "storyboard", fault.text)
