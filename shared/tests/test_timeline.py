"""When each scene is on screen."""

import pytest

from shared.contracts.story import Scene, Transition
from shared.contracts.timeline import timeline, total_frames


def scenes(*cuts: tuple[float, Transition]) -> list[Scene]:
    return [
        Scene(scene_number=n, description="d", camera_angle="wide", duration=d, action="a", transition=t)
        for n, (d, t) in enumerate(cuts, start=1)
    ]


@pytest.mark.parametrize(
    ("cuts", "overlaps"),
    [
        ([(10, "cut"), (10, "cut")], [0, 0]),
        ([(10, "fade"), (10, "dissolve"), (10, "wipe"), (10, "cut")], [12, 18, 12, 0]),
        ([(0.5, "dissolve"), (10, "cut")], [6, 0]),
        ([(10, "dissolve"), (0.5, "cut")], [6, 0]),
    ],
)
def test_overlaps_are_never_longer_than_half_of_a_neighbour(cuts: list, overlaps: list[int]) -> None:
    assert [slot.overlap for slot in timeline(scenes(*cuts))] == overlaps


def test_the_last_scene_never_overlaps() -> None:
    assert timeline(scenes((10, "cut"), (10, "fade")))[-1].overlap == 0


@pytest.mark.parametrize("durations", [(10, 10, 10), (7.3, 9.1, 13.6), (1 / 3,) * 5, (60,), (3.3, 3.3, 3.4, 5, 0.02)])
def test_the_film_is_as_long_as_its_scenes_to_the_frame(durations: tuple[float, ...]) -> None:
    slots = timeline(scenes(*((d, "fade") for d in durations)))
    assert total_frames(slots) == round(sum(durations) * 24)
    assert [slot.start for slot in slots[1:]] == [slot.start + slot.frames for slot in slots[:-1]]
    assert all(slot.clip_frames == slot.frames + slot.overlap for slot in slots)
