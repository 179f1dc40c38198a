"""The composer makes one film, whatever the order and number of its events."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import av
import pytest

from composer.film.verification import FilmWrong, verify_film
from composer.internal_messages import FilmMessage, PartDue
from composer.provenance.credentials import credentials_in
from composer.provenance.signing import read
from shared.contracts.events import (
    SceneFailed,
    StoryboardCreated,
    VideoCancelled,
    VideoComposed,
    VideoComposing,
    VideoDeleted,
    VideoExpired,
    VideoFailed,
    VideoPreviewed,
    VideoProgressed,
    VideoResumed,
    VideoStoring,
)
from shared.contracts.messages import Message
from shared.messaging.errors import StepFailed
from shared.messaging.message_processor import DeadLettered, Handled, Retry
from shared_testing.servers import published

pytestmark = pytest.mark.slow

VIDEO = UUID(int=7)
FILM = ["film.mp4", "thumbnail.jpg"]
Storyboard = Callable[..., StoryboardCreated]


def failed(epoch: int = 0) -> VideoFailed:
    return VideoFailed(video_id=VIDEO, stage="scene-render", kind="k", reason="r", epoch=epoch)


def scene_failed(number: int, epoch: int = 0) -> SceneFailed:
    return SceneFailed(video_id=VIDEO, scene_number=number, kind="k", reason="r", cost_usd=0, epoch=epoch)


def resumed(epoch: int = 1) -> VideoResumed:
    return VideoResumed(video_id=VIDEO, epoch=epoch)


CANCELLED = VideoCancelled(video_id=VIDEO, by="person", reason="r")
DELETED = VideoDeleted(video_id=VIDEO, by="person")
EXPIRED = VideoExpired(video_id=VIDEO)


def kinds(emitted: list[Message]) -> list[type]:
    return [type(one) for one in emitted]


async def test_two_clips_become_a_stored_film_with_a_thumbnail(composer: Any, storyboard: Storyboard) -> None:
    clips = [await composer.rendered(1), await composer.rendered(2)]
    emitted = await composer.handle(storyboard(), *clips)
    assert kinds(emitted) == [VideoComposing, VideoComposed]
    composed = emitted[1]
    assert (composed.duration, composed.width, composed.height) == (pytest.approx(2, abs=0.05), 1280, 720)
    assert (composed.owner, composed.post_id) == ("publisher", "p-7")
    for media in (composed.film, composed.thumbnail):
        await composer.storage.get(media, composer.folder / "copy")
    await composer.storage.get(composed.film, composer.folder / "film.mp4")
    with av.open(str(composer.folder / "film.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 48
        assert container.metadata["title"] == "t"
        chapters = [(one["start"] * one["time_base"], one["metadata"]["title"]) for one in container.chapters()]
        assert chapters == [(0, "Scene 1"), (1, "Scene 2")]
    assert kinds(composer.ephemeral.events)[-1] is VideoStoring
    assert set(kinds(composer.ephemeral.events)) <= {VideoProgressed, VideoStoring}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=lambda order: "".join(map(str, order)))
async def test_reordered_and_repeated_events_compose_the_film_once(
    composer: Any, storyboard: Storyboard, order: tuple[int, ...]
) -> None:
    events = [storyboard(), await composer.rendered(1), await composer.rendered(2)]
    for n in order:
        for _ in range(2):
            assert await composer.deliver(events[n], message_id=str(n)) == Handled()
    parts = await published(composer.service.database)
    assert sorted(one.part.kind for one in parts if isinstance(one, PartDue)) == ["sound", "thumbnail"]
    for one in [*parts, *parts]:
        if isinstance(one, PartDue):
            assert await composer.deliver(one, message_id=one.part.kind) == Handled()
    assert kinds([*parts, *await published(composer.service.database)]).count(VideoComposing) == 1


async def test_a_later_revision_replaces_the_scenes_of_the_film(composer: Any, storyboard: Storyboard) -> None:
    first, second = storyboard(3, revision=1), storyboard(2, revision=2, review=True)
    clips = [await composer.rendered(1), await composer.rendered(2)]
    assert await composer.handle(first, *clips) == []
    assert kinds(await composer.handle(second)) == [VideoComposing, VideoComposed]


async def test_a_revision_that_is_out_of_date_changes_nothing(composer: Any, storyboard: Storyboard) -> None:
    await composer.handle(storyboard(2, revision=2), storyboard(1, revision=1))
    assert await composer.handle(await composer.rendered(1)) == []
    assert len((await composer.film()).storyboard["scenes"]) == 2


async def test_a_clip_that_was_rendered_again_replaces_the_first(composer: Any, storyboard: Storyboard) -> None:
    first, second = await composer.rendered(1, attempt=1), await composer.rendered(1, attempt=2)
    assert await composer.handle(storyboard(), first, second) == []
    await composer.storage.delete(first.clip.media.key)
    assert kinds(await composer.handle(await composer.rendered(2))) == [VideoComposing, VideoComposed]


@pytest.mark.parametrize("failure", [failed(), scene_failed(2)], ids=["video.failed", "scene.failed"])
async def test_a_failed_video_keeps_late_clips_and_is_composed_when_it_is_resumed(
    composer: Any, storyboard: Storyboard, failure: Message
) -> None:
    clips = [await composer.rendered(1), await composer.rendered(2)]
    await composer.handle(storyboard(), failure)
    assert await composer.handle(*clips) == []
    assert (await composer.film()).state == "failed"
    assert kinds(await composer.handle(resumed())) == [VideoComposing, VideoComposed]


async def test_a_resumed_video_waits_for_the_clips_that_are_missing(composer: Any, storyboard: Storyboard) -> None:
    await composer.handle(storyboard(), await composer.rendered(1), failed())
    assert await composer.handle(resumed()) == []
    assert (await composer.film()).state == "gathering"
    assert kinds(await composer.handle(await composer.rendered(2))) == [VideoComposing, VideoComposed]


async def test_a_failure_from_before_the_resume_does_not_stop_the_film(composer: Any, storyboard: Storyboard) -> None:
    clips = [await composer.rendered(1), await composer.rendered(2)]
    await composer.handle(storyboard(), resumed(epoch=1), failed(epoch=0), scene_failed(1, epoch=0))
    assert (await composer.film()).state == "gathering"
    assert kinds(await composer.handle(*clips)) == [VideoComposing, VideoComposed]
    assert await composer.handle(failed(epoch=5), resumed(epoch=6)) == []
    assert (await composer.film()).state == "composed"


async def test_a_failure_of_a_scene_with_a_clip_is_ignored(composer: Any, storyboard: Storyboard) -> None:
    assert await composer.handle(storyboard(), await composer.rendered(1), scene_failed(1)) == []
    [emitted] = await composer.handle(scene_failed(2))
    assert isinstance(emitted, VideoFailed)
    assert emitted.reason == "Scene 2 could not be rendered: r"
    assert await composer.handle(scene_failed(2)) == []


@pytest.mark.parametrize("end", [CANCELLED, DELETED], ids=["cancelled", "deleted"])
async def test_late_events_do_not_compose_a_cancelled_video(
    composer: Any, storyboard: Storyboard, end: Message
) -> None:
    clips = [await composer.rendered(1), await composer.rendered(2)]
    await composer.handle(storyboard(), clips[0], end)
    assert await composer.handle(clips[1], storyboard(revision=2), scene_failed(2), resumed()) == []
    assert (await composer.film()).state == "cancelled"
    assert composer.objects() == []


@pytest.mark.parametrize("end", [CANCELLED, DELETED], ids=["cancelled", "deleted"])
async def test_a_video_that_ends_while_it_is_composed_leaves_no_film(
    composer: Any, storyboard: Storyboard, end: Message
) -> None:
    async def meanwhile(event: Message) -> None:
        if isinstance(event, VideoStoring):
            await composer.deliver(end)

    composer.ephemeral.meanwhile = meanwhile
    clips = [await composer.rendered(1), await composer.rendered(2)]
    assert kinds(await composer.handle(storyboard(), *clips)) == [VideoComposing]
    assert composer.objects() == []


async def test_deleting_a_video_erases_its_texts_and_its_film(composer: Any, storyboard: Storyboard) -> None:
    await composer.handle(storyboard(), await composer.rendered(1), await composer.rendered(2))
    assert composer.objects() == FILM
    for _ in range(2):
        assert await composer.handle(DELETED) == []
        film = await composer.film()
        assert (film.state, film.film, film.storyboard) == ("cancelled", None, None)
        assert composer.objects() == []


async def test_an_expired_film_is_removed_and_its_storyboard_stays(composer: Any, storyboard: Storyboard) -> None:
    await composer.handle(storyboard(), await composer.rendered(1), await composer.rendered(2))
    assert await composer.handle(EXPIRED) == []
    film = await composer.film()
    assert (film.state, film.film) == ("composed", None)
    assert film.storyboard["title"] == "t"
    assert composer.objects() == []


async def test_a_cancelled_video_keeps_a_film_that_was_there_before(composer: Any, storyboard: Storyboard) -> None:
    await composer.handle(storyboard(), await composer.rendered(1), await composer.rendered(2), CANCELLED)
    assert (await composer.film()).state == "composed"
    assert composer.objects() == FILM


async def ordered(composer: Any) -> list[Message]:
    return await published(composer.service.database)


async def test_the_transition_is_made_before_the_last_clip_arrives(composer: Any, storyboard: Storyboard) -> None:
    board = storyboard(3)
    scenes = [board.scenes[0].model_copy(update={"transition": "fade"}), *board.scenes[1:]]
    await composer.handle(board.model_copy(update={"scenes": tuple(scenes)}), await composer.rendered(1, frames=36))
    assert await composer.made() == ["thumbnail"]
    await composer.handle(await composer.rendered(2))
    assert await composer.made() == ["encoded", "thumbnail"]
    [_, composed] = await composer.handle(await composer.rendered(3))
    assert composed.encoded_frames == 12
    assert (await composer.made()) == ["encoded", "sound", "thumbnail"]


async def test_a_film_whose_clips_cannot_be_copied_is_encoded(
    composer: Any, storyboard: Storyboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def wrong_once(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise FilmWrong("rhythm", "constant", "uneven")
        verify_film(*arguments)

    monkeypatch.setattr("composer.workflow.composition.verify_film", wrong_once)
    [_, composed] = await composer.handle(storyboard(), await composer.rendered(1), await composer.rendered(2))
    assert composed.encoded_frames == 48
    assert not (await composer.film()).copies


async def test_a_film_that_is_wrong_though_all_of_it_is_encoded_fails(
    composer: Any, storyboard: Storyboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: Any) -> None:
        raise FilmWrong("rhythm", "constant", "uneven")

    monkeypatch.setattr("composer.workflow.composition.verify_film", wrong)
    for event in (storyboard(1), await composer.rendered(1)):
        await composer.deliver(event)
    pending, outcomes = await ordered(composer), []
    while pending:
        message = pending.pop(0)
        if isinstance(message, FilmMessage):
            outcomes.append(await composer.deliver(message, attempt=3))
            pending += await ordered(composer)
        else:
            last = message
    assert isinstance(outcomes[-1], DeadLettered)
    assert (last.kind, last.stage) == ("composing", "composer")


async def test_a_clip_that_is_too_short_fails_the_video_and_is_named(composer: Any, storyboard: Storyboard) -> None:
    rendered = await composer.rendered(1)
    short = rendered.model_copy(update={"clip": rendered.clip.model_copy(update={"frames": 5})})
    assert await composer.deliver(storyboard(1)) == Handled()
    assert isinstance(await composer.deliver(short), DeadLettered)
    [emitted] = await ordered(composer)
    assert (emitted.stage, emitted.kind, emitted.owner) == ("composer", "clip_too_short", "publisher")
    assert "scene 1" in emitted.reason


async def test_ffmpeg_is_tried_three_times_before_the_video_fails(
    composer: Any, storyboard: Storyboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = await composer.rendered(1)
    uncopyable = rendered.model_copy(update={"clip": rendered.clip.model_copy(update={"cut_points": None})})
    for event in (storyboard(1), uncopyable):
        assert await composer.deliver(event) == Handled()
    [body] = [one for one in await ordered(composer) if isinstance(one, PartDue) and one.part.kind == "encoded"]
    monkeypatch.setattr("composer.film.encode.arguments", lambda *_: ["-nonsense"])
    for attempt in (1, 2):
        assert isinstance(await composer.deliver(body, "c", attempt), Retry)
    assert isinstance(await composer.deliver(body, "c", attempt=3), DeadLettered)
    [emitted] = await ordered(composer)
    assert (emitted.kind, emitted.stage) == ("composing", "composer")
    assert composer.objects() == []


async def test_a_finished_film_is_signed_and_holds_no_text_of_a_scene(composer: Any, storyboard: Storyboard) -> None:
    deps = composer.service.deps
    signing = replace(deps.composition, credentials=credentials_in(composer.folder / "key"))
    composer.service = replace(composer.service, deps=replace(deps, composition=signing))
    board = storyboard()
    scenes = tuple(scene.model_copy(update={"action": "a quetzal lands"}) for scene in board.scenes)
    clips = [await composer.rendered(1), await composer.rendered(2)]
    [_, composed] = await composer.handle(board.model_copy(update={"scenes": scenes}), *clips)
    film = composer.folder / "film.mp4"
    await composer.storage.get(composed.film, film)
    found = read(film)
    assert found is not None
    assert (found.faults, [one["provider"] for one in found.scenes]) == ((), ["p", "p"])
    assert b"quetzal" not in film.read_bytes()


async def test_a_finished_film_gets_pictures_that_go_with_it(composer: Any, storyboard: Storyboard) -> None:
    await composer.handle(storyboard(), await composer.rendered(1), await composer.rendered(2))
    [due] = composer.previews_due
    [previewed] = await composer.handle(due)
    assert isinstance(previewed, VideoPreviewed)
    for media in (previewed.contact_sheet, previewed.animation, previewed.scrub_sheet):
        await composer.storage.get(media, composer.folder / "copy")
    assert set(composer.objects()) == {*FILM, "animation.webp", "contact-sheet.jpg", "scrub-sheet.jpg"}
    await composer.handle(EXPIRED)
    assert composer.objects() == []
    assert await composer.handle(due) == []
    assert composer.objects() == []


async def test_a_film_without_pictures_is_complete(
    composer: Any, storyboard: Storyboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    await composer.handle(storyboard(), await composer.rendered(1), await composer.rendered(2))

    async def fail(*_: Any) -> None:
        raise StepFailed("pictures", "They cannot be made.")

    monkeypatch.setattr("composer.workflow.previews.make_animation", fail)
    assert isinstance(await composer.deliver(composer.previews_due[0]), DeadLettered)
    assert await published(composer.service.database) == []
    assert (await composer.film()).state == "composed"
