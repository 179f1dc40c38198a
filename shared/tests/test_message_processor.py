"""Each message is processed once, retried after growing delays, or dead-lettered with a reason."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import OperationalError

from shared.contracts.events import (
    Event,
    SceneRendered,
    SceneRequested,
    VideoComposed,
    VideoFailed,
    VideoRequested,
)
from shared.contracts.media import Clip, MediaReference, clip_key, film_key, thumbnail_key, upload_key
from shared.messaging.errors import RequestConflicts, StepFailed
from shared.messaging.event_router import Delivery
from shared.messaging.message_processor import (
    RETRY_DELAYS_SECONDS,
    DeadLettered,
    Handled,
    Outcome,
    Retry,
    Service,
    fails_video,
    process,
)
from shared.persistence.database import Database
from shared_testing.servers import delivery, published

VIDEO = UUID("2f1c9b9e-8f57-4a3f-9f9d-0d2b1b7f0b11")
GOOD = VideoRequested(video_id=VIDEO, prompt="a fox").model_dump_json().encode()


async def send(hearer: Any, body: bytes = GOOD, message_id: str = "m1", attempt: int = 1, returns: int = 0) -> Outcome:
    service = Service(hearer.router(), hearer, hearer.database, fails_video("composer"))
    [subscription] = service.router.subscriptions
    delivery = Delivery("hearer.video.requested", message_id, {}, attempt, returns)
    return await process(service, subscription, delivery, body)


async def test_a_redelivered_message_changes_nothing(database: Database, hearing: Any) -> None:
    hearer = hearing(database)
    assert [await send(hearer), await send(hearer)] == [Handled(), Handled()]
    assert await hearer.effects() == ["a fox"]
    assert hearer.calls == 1


async def test_simultaneous_copies_have_one_effect(database: Database, hearing: Any) -> None:
    hearer = hearing(database)
    outcomes = await asyncio.gather(*(send(hearer) for _ in range(8)))
    # The copy that lost the race is handled, or is retried and found to be handled.
    assert all(isinstance(outcome, Handled | Retry) for outcome in outcomes)
    assert await hearer.effects() == ["a fox"]


async def test_a_failed_attempt_is_rolled_back_and_retried_later_each_time(database: Database, hearing: Any) -> None:
    hearer = hearing(database, [ValueError("boom")] * 5)
    steps = []
    for attempt in range(1, 6):
        outcome = await send(hearer, attempt=attempt)
        assert isinstance(outcome, Retry)
        assert outcome.attempt == attempt + 1
        steps.append(outcome.delay_index)
    assert steps == sorted(steps)
    assert steps[-1] >= len(RETRY_DELAYS_SECONDS) - 2
    assert await hearer.effects() == []
    assert await send(hearer, attempt=6) == Handled()


async def test_after_the_last_attempt_it_is_dead_lettered_and_the_video_fails(sqlite: Database, hearing: Any) -> None:
    outcome = await send(hearing(sqlite, [ValueError("boom")]), attempt=len(RETRY_DELAYS_SECONDS) + 1)
    assert isinstance(outcome, DeadLettered)
    assert "boom" in outcome.reason
    [failed] = await published(sqlite)
    assert isinstance(failed, VideoFailed)
    assert (failed.video_id, failed.stage, failed.kind) == (VIDEO, "composer", "exhausted")
    assert "boom" not in failed.reason, "what goes wrong inside is for operators"


async def test_a_message_that_keeps_crashing_is_dead_lettered_before_the_broker_drops_it(
    sqlite: Database, hearing: Any
) -> None:
    hearer = hearing(sqlite)
    outcome = await send(hearer, returns=15)
    assert (isinstance(outcome, DeadLettered), hearer.calls) == (True, 0)
    [failed] = await published(sqlite)
    assert isinstance(failed, VideoFailed)
    assert (failed.kind, "15 times" in failed.reason) == ("crashed", True)


@pytest.mark.parametrize(("known", "told", "epoch"), [(0, "", 0), (2, "", 2), (2, "1", 2), (0, "3", 3), (1, "x", 1)])
async def test_a_dead_letter_has_the_latest_epoch_of_its_message_or_service(
    sqlite: Database, hearing: Any, known: int, told: str, epoch: int
) -> None:
    async def epoch_of(*_: object) -> int:
        return known

    hearer = hearing(sqlite, [StepFailed("refused", "Not with us.")])
    service = Service(hearer.router(), hearer, sqlite, fails_video("composer"), epoch_of=epoch_of)
    delivery = Delivery("hearer.video.requested", "m1", {"x-epoch": told} if told else {})
    outcome = await process(service, service.router.subscriptions[0], delivery, GOOD)
    [failed] = await published(sqlite)
    assert isinstance(outcome, DeadLettered)
    assert isinstance(failed, VideoFailed)
    assert (outcome.epoch, failed.epoch) == (epoch, epoch)


async def test_a_permanent_failure_is_dead_lettered_at_once(sqlite: Database, hearing: Any) -> None:
    outcome = await send(hearing(sqlite, [StepFailed("refused", "Not with us.")]))
    assert outcome == DeadLettered("refused", "Not with us.", 1)
    [failed] = await published(sqlite)
    assert isinstance(failed, VideoFailed)
    assert failed.reason == "Not with us."


async def test_a_conflict_does_not_fail_the_video_it_conflicts_with(sqlite: Database, hearing: Any) -> None:
    outcome = await send(hearing(sqlite, [RequestConflicts(VIDEO)]))
    assert isinstance(outcome, DeadLettered)
    assert await published(sqlite) == []


@pytest.mark.parametrize(
    "more",
    [
        b'"metadata": ' + b'{"a":' * 40 + b"1" + b"}" * 40,
        b'"providers": [' + b"5," * 200_000 + b"5]",
        b'"storyboard": {"scenes": [' + b"{}," * 4_000 + b"{}]}",
        b'"metadata": {' + b",".join(b'"%d": 1' % n for n in range(90_000)) + b"}",
    ],
    ids=["deep", "long", "many faults", "many members"],
)
async def test_a_message_that_is_too_large_is_dead_lettered_with_a_short_reason(
    sqlite: Database, hearing: Any, more: bytes
) -> None:
    hearer = hearing(sqlite)
    service = Service(hearer.router("hearer", VideoRequested), hearer, sqlite, fails_video("composer"))
    [subscription] = service.router.subscriptions
    body = f'{{"videoId": "{VIDEO}", "prompt": "a fox", '.encode() + more + b"}"
    outcome = await process(service, subscription, delivery(), body)
    assert isinstance(outcome, DeadLettered)
    assert (outcome.kind, hearer.calls) == ("malformed", 0)
    assert len(outcome.reason) < 20_000


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[]", b'"x"', b'{"videoId": 5}', b'{"videoId": "x"}'])
async def test_an_invalid_message_is_dead_lettered_without_reaching_the_handler(
    sqlite: Database, hearing: Any, body: bytes
) -> None:
    hearer = hearing(sqlite)
    outcome = await send(hearer, body)
    assert isinstance(outcome, DeadLettered)
    assert outcome.kind == "malformed"
    assert hearer.calls == 0
    assert await published(sqlite) == []


async def test_an_invalid_message_with_a_readable_video_id_fails_that_video(sqlite: Database, hearing: Any) -> None:
    outcome = await send(hearing(sqlite), b'{"videoId": "%s", "prompt": ""}' % str(VIDEO).encode())
    assert isinstance(outcome, DeadLettered)
    assert "prompt" in outcome.reason
    [failed] = await published(sqlite)
    assert failed.video_id == VIDEO


async def test_a_dead_letter_handled_twice_is_published_with_one_id(sqlite: Database, hearing: Any) -> None:
    hearer = hearing(sqlite, [StepFailed("refused", "No.")] * 2)
    await send(hearer)
    await send(hearer)
    outbox = sqlite.metadata.tables["outbox"]
    async with sqlite.reading() as session:
        ids = list((await session.execute(outbox.select())).all())
    assert len({row.message_id for row in ids}) == 1


async def test_an_outage_does_not_count_as_an_attempt(sqlite: Database, hearing: Any) -> None:
    gone = OperationalError("SELECT 1", {}, Exception(2013, "Lost connection"))
    outcome = await send(hearing(sqlite, [gone]), attempt=6, message_id=str(uuid4()))
    assert isinstance(outcome, Retry)
    assert outcome.attempt == 6


async def test_an_sql_error_counts_as_an_attempt(sqlite: Database, hearing: Any) -> None:
    mistake = OperationalError("SELECT nope", {}, Exception(1054, "Unknown column"))
    outcome = await send(hearing(sqlite, [mistake]))
    assert isinstance(outcome, Retry)
    assert outcome.attempt == 2


def media(key: str) -> MediaReference:
    return MediaReference(key=key, content_type="video/mp4", size=1, sha256="0" * 64)


def composed(film: str, thumbnail: str) -> VideoComposed:
    return VideoComposed(video_id=VIDEO, film=media(film), thumbnail=media(thumbnail), duration=1, width=1, height=1)


def rendered(key: str) -> SceneRendered:
    clip = Clip(media=media(key), width=1, height=1, frames=1, has_audio=False)
    return SceneRendered(video_id=VIDEO, scene_number=1, clip=clip, duration=1, cost_usd=0, provider="p")


def requested(key: str) -> SceneRequested:
    scene = {"sceneNumber": 1, "description": "a fox", "cameraAngle": "wide", "duration": 5, "action": "it runs"}
    return SceneRequested(
        video_id=VIDEO,
        scene={**scene, "transition": "cut"},
        scene_count=1,
        shot_prompt="a fox",
        clip_frames=1,
        aspect_ratio="16:9",
        niche="general",
        owner="anna",
        priority="interactive",
        first_frame=media(key),
    )


FOREIGN = film_key(uuid4())


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (composed(film_key(VIDEO), thumbnail_key(VIDEO)), None),
        (composed(FOREIGN, thumbnail_key(VIDEO)), "film"),
        (composed(film_key(VIDEO), FOREIGN), "thumbnail"),
        (composed(f"videos/{VIDEO}/../{FOREIGN}", thumbnail_key(VIDEO)), "film"),
        (composed(f"videos/{VIDEO}x/film.mp4", thumbnail_key(VIDEO)), "film"),
        (rendered(clip_key(VIDEO, 1, 1)), None),
        (rendered(FOREIGN), "clip.media"),
        (requested(f"videos/{VIDEO}/frame.jpg"), None),
        (requested(upload_key(VIDEO, ".jpg")), None),
        (requested(f"uploads/../{FOREIGN}"), "firstFrame"),
        (requested("backups/frame.jpg"), "firstFrame"),
    ],
)
async def test_a_message_that_refers_to_media_of_another_video_is_refused(
    sqlite: Database, hearing: Any, event: Event, field: str | None
) -> None:
    hearer = hearing(sqlite)
    service = Service(hearer.router("hearer", type(event)), hearer, sqlite, fails_video("composer"))
    [subscription] = service.router.subscriptions
    outcome = await process(service, subscription, delivery(), event.model_dump_json().encode())
    if field is None:
        assert outcome == Handled()
    else:
        assert isinstance(outcome, DeadLettered)
        assert (outcome.kind, outcome.reason.split(": ")[0], hearer.calls) == ("malformed", field, 0)
