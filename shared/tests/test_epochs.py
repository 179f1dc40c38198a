"""Failures and resumes of a video lead to the same standing in any order and with repetitions."""

import itertools
from uuid import UUID

import pytest

from shared.contracts.epochs import Standing
from shared.contracts.events import SceneFailed, VideoFailed, VideoResumed

VIDEO = UUID(int=1)
BEGUN = Standing(0, failed=False)


def failed(epoch: int) -> VideoFailed:
    return VideoFailed(video_id=VIDEO, stage="composer", kind="k", reason="r", epoch=epoch)


def scene_failed(epoch: int) -> SceneFailed:
    return SceneFailed(video_id=VIDEO, scene_number=1, kind="k", reason="r", cost_usd=0, epoch=epoch)


def resumed(epoch: int) -> VideoResumed:
    return VideoResumed(video_id=VIDEO, epoch=epoch)


@pytest.mark.parametrize(
    ("events", "end"),
    [
        ((failed(0), scene_failed(0), resumed(1)), Standing(1, failed=False)),
        ((failed(0), resumed(1), failed(1)), Standing(1, failed=True)),
        ((failed(0), resumed(1), resumed(1), scene_failed(1), resumed(2)), Standing(2, failed=False)),
        ((failed(0), resumed(1), scene_failed(1), resumed(2), failed(2)), Standing(2, failed=True)),
    ],
)
def test_every_order_ends_with_the_same_standing(events: tuple[VideoFailed, ...], end: Standing) -> None:
    for order in itertools.permutations(events):
        standing = BEGUN
        for event in (*order, *order):
            standing = standing.after(event)
        assert standing == end


def test_messages_without_an_epoch_belong_to_the_first_failure_and_resume() -> None:
    old = {"videoId": str(VIDEO), "kind": "k", "reason": "r"}
    failure = VideoFailed.model_validate({**old, "stage": "composer"})
    resume = VideoResumed.model_validate({"videoId": str(VIDEO)})
    assert BEGUN.after(failure) == (0, True)
    assert BEGUN.after(resume).after(failure) == BEGUN.after(failure).after(resume) == (1, False)
