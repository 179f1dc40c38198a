"""The projection: events may come in any order and more than once, and progress never falls."""

import itertools
import random
from uuid import UUID

import pytest

from gateway.videos.projection import VideoProjection, apply
from shared.contracts.events import (
    Event,
    SceneDelayed,
    SceneFailed,
    SceneProgressed,
    SceneRendered,
    SceneStarted,
    StoryboardCreated,
    VideoCancelled,
    VideoComposed,
    VideoComposing,
    VideoFailed,
    VideoProgressed,
    VideoResumed,
    VideoStoring,
)
from shared.contracts.media import Clip, MediaReference
from shared.contracts.story import Scene

VIDEO = UUID(int=1)
MEDIA = MediaReference(key="a/b", content_type="video/mp4", size=1, sha256="0" * 64)
CLIP = Clip(media=MEDIA, width=1280, height=720, frames=240, has_audio=True)
BOARD = StoryboardCreated(
    video_id=VIDEO, title="t", niche="n", overall_prompt="p", total_duration=20, story_script="s", aspect_ratio="16:9",
    scenes=tuple(
        Scene(scene_number=n, description="d", camera_angle="wide", duration=10, action="a", transition="cut")
        for n in (1, 2)
    ),
)  # fmt: skip
COMPOSING = VideoComposing(video_id=VIDEO)
STORING = VideoStoring(video_id=VIDEO)
COMPOSED = VideoComposed(video_id=VIDEO, film=MEDIA, thumbnail=MEDIA, duration=20, width=1280, height=720)
FAILED = VideoFailed(video_id=VIDEO, stage="composer", kind="k", reason="Because.")
CANCELLED = VideoCancelled(video_id=VIDEO, by="me", reason="r")
RESUMED = VideoResumed(video_id=VIDEO)


def started(n: int) -> SceneStarted:
    return SceneStarted(video_id=VIDEO, scene_number=n, provider="p", eta_seconds=9)


def progressed(n: int, percent: float) -> SceneProgressed:
    return SceneProgressed(video_id=VIDEO, scene_number=n, provider="p", percent=percent, eta_seconds=5)


def rendered(n: int) -> SceneRendered:
    return SceneRendered(video_id=VIDEO, scene_number=n, clip=CLIP, duration=10, cost_usd="0.5", provider="p")


def after(*events: Event) -> VideoProjection:
    view = VideoProjection(scene_count=2)
    for event in events:
        view = apply(view, event)
    return view


WHOLE = (BOARD, started(1), started(2), progressed(1, 50), rendered(1), rendered(2), COMPOSING, STORING, COMPOSED)


def test_progress_goes_on_while_the_film_is_joined() -> None:
    def joined(percent: float) -> VideoProgressed:
        return VideoProgressed(video_id=VIDEO, percent=percent)

    half = after(BOARD, rendered(1), rendered(2), COMPOSING, joined(50))
    assert (half.current_step, half.progress) == ("combining", 90)
    assert apply(half, joined(10)).progress == 90
    assert apply(half, STORING).progress == 95
    assert after(BOARD, joined(50)) == after(BOARD)


def test_progress_from_request_to_film() -> None:
    seen = [after(*WHOLE[:n]).progress for n in range(len(WHOLE) + 1)]
    assert seen == [0, 20, 20, 20, 35, 50, 80, 85, 95, 100]


def test_storing_is_a_step_that_no_late_news_undoes() -> None:
    assert [after(*WHOLE[:n]).current_step for n in (-3, -2, -1)] == ["scenes", "combining", "storing"]
    assert after(*WHOLE[:-1], COMPOSING, rendered(1)).current_step == "storing"
    assert after(BOARD, FAILED, STORING) == after(BOARD, FAILED)
    assert after(*WHOLE[:-1], FAILED, RESUMED).current_step == "scenes"


def test_a_repeated_event_changes_nothing() -> None:
    assert after(*WHOLE[:6], *WHOLE[:6]) == after(*WHOLE[:6])


def test_whatever_the_order_the_end_is_the_same_and_progress_never_falls() -> None:
    events = list(WHOLE[:-1])
    for seed in range(200):
        random.Random(seed).shuffle(events)
        views = [after(*events[:n]) for n in range(len(events) + 1)]
        assert all(before.progress <= later.progress for before, later in itertools.pairwise(views))
        end = apply(views[-1], COMPOSED)
        assert (end.status, end.progress, end.title, len(end.scenes)) == ("completed", 100, "t", 2)
        assert all(end.scene_state(n).state == "rendered" for n in (1, 2))


@pytest.mark.parametrize("end", [COMPOSED, CANCELLED])
def test_after_the_end_nothing_changes(end: Event) -> None:
    view = after(BOARD, end)
    assert after(BOARD, end, started(1), rendered(1), FAILED, COMPOSING, COMPOSED, CANCELLED) == view


def test_a_failed_video_says_why_and_stays_failed_while_its_scenes_run_out() -> None:
    view = after(BOARD, started(1), FAILED, rendered(1))
    assert (view.status, view.error_message, view.error_stage) == ("failed", "Because.", "composer")
    assert view.scene_state(1).state == "rendered"


def test_a_resumed_video_goes_on_to_its_end() -> None:
    view = after(BOARD, rendered(1), FAILED, RESUMED)
    assert (view.status, view.error_message) == ("processing", None)
    assert after(BOARD, FAILED, RESUMED, COMPOSED).status == "completed"


def failed(epoch: int) -> VideoFailed:
    return VideoFailed(video_id=VIDEO, stage="scene-render", kind="k", reason="r", epoch=epoch)


def scene_failed(n: int, epoch: int) -> SceneFailed:
    return SceneFailed(video_id=VIDEO, scene_number=n, kind="k", reason="r", cost_usd=0, epoch=epoch)


@pytest.mark.parametrize(
    ("later", "status", "states"),
    [
        ((), "processing", ("waiting", "waiting")),
        ((scene_failed(2, 1), failed(1)), "failed", ("waiting", "failed")),
    ],
)
def test_a_resume_ends_the_failures_before_it_whatever_the_order(
    later: tuple[Event, ...], status: str, states: tuple[str, str]
) -> None:
    news = (scene_failed(1, 0), failed(0), VideoResumed(video_id=VIDEO, epoch=1), *later)
    for order in itertools.permutations(news):
        view = after(BOARD, *order)
        assert (view.status, view.epoch) == (status, 1), order
        assert (view.scene_state(1).state, view.scene_state(2).state) == states, order
        assert view.error_kind == ("k" if status == "failed" else None)


def test_a_submitted_scene_is_unconfirmed_until_the_provider_answers() -> None:
    delayed = SceneDelayed(video_id=VIDEO, scene_number=1, provider="p", kind="unconfirmed", reason="Since 12:00.")
    view = after(BOARD, delayed)
    assert (view.scene_state(1).state, view.notice) == ("unconfirmed", "Since 12:00.")
    assert after(BOARD, delayed, started(1)).scene_state(1).state == "rendering"
    assert after(BOARD, delayed, started(1)).notice is None
    lost = after(BOARD, delayed, scene_failed(1, 0), delayed)
    assert (lost.scene_state(1).state, lost.scene_state(1).kind, lost.notice) == ("failed", "k", None)


def test_a_failed_scene_shows_its_reason() -> None:
    view = after(BOARD, SceneFailed(video_id=VIDEO, scene_number=2, kind="k", reason="Too dark.", cost_usd="0.1"))
    assert (view.scene_state(2).state, view.scene_state(2).reason) == ("failed", "Too dark.")


def test_the_current_scene_is_one_more_than_those_that_are_done() -> None:
    seen = [after(*WHOLE[:n]).current_scene for n in range(len(WHOLE) + 1)]
    assert seen == [1, 1, 1, 1, 1, 2, 2, 2, 2, 2]
    assert after(BOARD, started(2), rendered(2)).current_scene == 2
    assert after(BOARD, rendered(1), FAILED).current_scene == 2
    assert after(CANCELLED).current_scene == 1
