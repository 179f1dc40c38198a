"""Reviews: nothing is rendered before the approval, and then the approved storyboard is."""

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import hypothesis
import pytest
from hypothesis import strategies as st
from sqlalchemy import select

from shared.contracts.events import (
    Event,
    SceneRequested,
    StoryboardApproved,
    StoryboardCreated,
    StoryboardDrafted,
    StoryboardFailed,
    StoryboardRequested,
    VideoCancelled,
    VideoDeleted,
    VideoFailed,
    VideoRequested,
)
from shared.contracts.story import Storyboard
from shared.contracts.story_rules import ANY_SECONDS, faults_of
from shared.messaging.event_router import Delivery
from shared.messaging.message_processor import DeadLettered, Handled, Outcome, Retry, process
from shared.persistence.database import Database
from shared_testing.servers import published
from storyboard.answers import Answer, Answers
from storyboard.app import build
from storyboard.editing import as_edited
from storyboard.handlers import router
from storyboard.models import StoryboardRow
from storyboard.settings import Settings
from storyboard.template import TemplateWriter
from storyboard.writer import Written


async def deliver(rig: Any, event: Event, message_id: str | None = None, **settings: Any) -> Outcome:
    """Deliver an event, as a new message unless `message_id` is given."""
    [subscription] = [one for one in router.subscriptions if one.event is type(event)]
    delivery = Delivery(subscription.consumer, message_id or str(uuid4()), **settings)
    return await process(rig.service(), subscription, delivery, event.model_dump_json().encode())


async def drafted(rig: Any, prompt: str = "A lighthouse keeper befriends a storm", **fields: Any) -> Storyboard:
    await deliver(rig, StoryboardRequested(video_id=uuid4(), prompt=prompt, **fields))
    [emitted] = await published(rig.database)
    assert isinstance(emitted, StoryboardDrafted), emitted
    return emitted.storyboard


def edited(storyboard: Storyboard, number: int, **changes: Any) -> Storyboard:
    scenes = [
        scene.model_copy(update=changes) if scene.scene_number == number else scene for scene in storyboard.scenes
    ]
    return storyboard.model_copy(update={"scenes": tuple(scenes)})


async def awaiting(rig: Any, **fields: Any) -> VideoRequested:
    """Return a video with a storyboard that awaits its review."""
    request = rig.request(review=True, **fields)
    assert await deliver(rig, request) == Handled()
    return request


async def test_a_storyboard_without_a_video_is_written_once_and_not_rendered(rig) -> None:
    request = StoryboardRequested(video_id=uuid4(), prompt="A fox", scene_count=2, duration=20)
    assert await deliver(rig, request, "m1") == await deliver(rig, request, "m1") == Handled()
    [emitted] = await published(rig.database)
    assert isinstance(emitted, StoryboardDrafted)
    assert (emitted.storyboard.storyboard_id, len(emitted.storyboard.scenes)) == (request.video_id, 2)
    await deliver(rig, request, "m2")
    assert await rig.calls() == 1
    assert await rig.rows(StoryboardRow) == []


async def test_a_failed_storyboard_without_a_video_is_reported_and_fails_no_video(rig) -> None:
    await rig.fault("refusal")
    assert await deliver(rig, StoryboardRequested(video_id=uuid4(), prompt="A fox")) == Handled()
    [emitted] = await published(rig.database)
    assert isinstance(emitted, StoryboardFailed)
    assert emitted.kind == "storyboard"
    assert "I can't help with that" in emitted.reason


async def test_a_dead_lettered_storyboard_request_is_reported(rig, tmp_path) -> None:
    settings = Settings(database_url=f"sqlite+aiosqlite:///{tmp_path}/storyboard.db")
    service = build(settings, None)
    [subscription] = [one for one in router.subscriptions if one.event is StoryboardRequested]
    body = b'{"videoId": "%s", "prompt": ""}' % str(UUID(int=7)).encode()
    assert isinstance(await process(service, subscription, Delivery("c", "m"), body), DeadLettered)
    [emitted] = await published(rig.database)
    assert isinstance(emitted, StoryboardFailed)
    assert (emitted.video_id, emitted.kind) == (UUID(int=7), "malformed")
    await service.database.close()


async def test_a_storyboard_in_the_request_is_used_unchanged_without_a_model_call(rig) -> None:
    storyboard = await drafted(rig, scene_count=3, duration=30)
    asked = await rig.calls()
    changed = edited(storyboard, 2, action="Mara lights the lamp", shot="A woman lights a brass lamp")
    assert await deliver(rig, rig.request("else", storyboard=changed, duration=15, scene_count=1)) == Handled()
    created, _, *scenes = await published(rig.database)
    assert isinstance(created, StoryboardCreated)
    assert [scene.action for scene in created.scenes] == [scene.action for scene in changed.scenes]
    assert (created.total_duration, created.style, created.review) == (30, storyboard.style, False)
    assert [scene.scene.scene_number for scene in scenes] == [1, 2, 3]
    assert scenes[1].shot_prompt == f"A woman lights a brass lamp {storyboard.style}"
    assert scenes[0].shot_prompt == f"{storyboard.scenes[0].shot} {storyboard.style}"
    assert await rig.calls() == asked


async def test_a_shot_is_written_again_after_only_its_action_was_edited(rig) -> None:
    storyboard = await drafted(rig)
    assert storyboard.scenes[1].shot
    changed = edited(storyboard, 2, action="Mara lights the lamp")
    await deliver(rig, rig.request(storyboard=changed))
    _, _, first, second, _ = await published(rig.database)
    assert second.shot_prompt == f"Mara lights the lamp {storyboard.style}"
    assert first.shot_prompt.startswith(storyboard.scenes[0].shot)
    [row] = await rig.rows(StoryboardRow)
    assert row.repairs == ["scene 2: its shot showed what happened before the edit"]

    # The storyboard of a video is known as well.
    other = edited(storyboard, 1, action="Rain falls").model_copy(update={"storyboard_id": UUID(row.video_id)})
    await deliver(rig, rig.request(storyboard=other))
    _, _, first, *_ = await published(rig.database)
    assert first.shot_prompt == f"Rain falls {storyboard.style}"


@pytest.mark.parametrize("prompt", ["🦊", "kopi", "Start with a close-up of her eyes. " + "Then rain. " * 300])
async def test_every_draft_can_be_filmed_unchanged(rig, prompt: str) -> None:
    for count in range(1, 6):
        request = rig.request(prompt, scene_count=count)
        written = await TemplateWriter().write(request)
        await deliver(rig, rig.request("x", storyboard=written.story))
        created, *scenes = await published(rig.database)
        assert isinstance(created, StoryboardCreated), created
        assert [scene.shot_prompt for scene in scenes] == list(written.shot_prompts)


async def test_an_invalid_edit_fails_the_video_with_the_reason(rig) -> None:
    storyboard = await drafted(rig)
    broken = edited(storyboard, 2, camera_angle="wide", duration=3)
    assert isinstance(await deliver(rig, rig.request(storyboard=broken)), DeadLettered)
    [failed] = await published(rig.database)
    assert isinstance(failed, VideoFailed)
    assert failed.kind == "storyboard"
    assert "an angle comes twice in a row" in failed.reason
    assert "where the film lasts 30 s" in failed.reason


async def test_no_scene_is_requested_before_the_approval(rig) -> None:
    request = await awaiting(rig, providers=("luma",))
    [created] = await published(rig.database)
    assert isinstance(created, StoryboardCreated)
    assert (created.review, created.revision) == (True, 0)

    approved = StoryboardApproved(video_id=request.video_id, by="api")
    assert await deliver(rig, approved, "m1") == Handled()
    _, *scenes = await published(rig.database)
    assert [(type(scene), scene.scene, scene.providers) for scene in scenes] == [
        (SceneRequested, scene, ("luma",)) for scene in created.scenes
    ]
    assert await deliver(rig, approved, "m1") == await deliver(rig, approved, "m2") == Handled()
    assert await published(rig.database) == []
    assert await rig.calls() == 1


async def test_an_approved_edit_replaces_the_storyboard_everywhere(rig) -> None:
    request = await awaiting(rig)
    [created] = await published(rig.database)
    [row] = await rig.rows(StoryboardRow)
    storyboard = Storyboard.model_validate(row.storyboard)
    changed = edited(storyboard, 3, action="Mara lights the lamp", camera_angle="overhead")
    await deliver(rig, StoryboardApproved(video_id=request.video_id, storyboard=changed, by="api"))
    again, _, *scenes = await published(rig.database)
    assert isinstance(again, StoryboardCreated)
    assert (again.review, again.revision, again.scenes[2].action) == (False, 1, "Mara lights the lamp")
    assert again.scenes[:2] == created.scenes[:2]
    assert scenes[2].scene == again.scenes[2]
    assert scenes[2].shot_prompt == f"Mara lights the lamp {storyboard.style}"
    [row] = await rig.rows(StoryboardRow)
    assert row.storyboard["scenes"][2]["action"] == "Mara lights the lamp"
    # The request itself may come again.
    assert await deliver(rig, request) == Handled()
    assert await published(rig.database) == []


async def test_a_late_approval_changes_nothing(rig) -> None:
    request = await awaiting(rig)
    await published(rig.database)
    await deliver(rig, VideoCancelled(video_id=request.video_id, by="api", reason="r"))
    assert await deliver(rig, StoryboardApproved(video_id=request.video_id, by="api")) == Handled()
    assert await published(rig.database) == []


async def test_a_second_approval_is_ignored_even_if_invalid(rig) -> None:
    request = await awaiting(rig)
    [row] = await rig.rows(StoryboardRow)
    await deliver(rig, StoryboardApproved(video_id=request.video_id, by="api"))
    await published(rig.database)
    broken = edited(Storyboard.model_validate(row.storyboard), 1, duration=1)
    late = StoryboardApproved(video_id=request.video_id, storyboard=broken, by="api")
    assert await deliver(rig, late) == Handled()
    assert await published(rig.database) == []


async def test_an_approval_before_the_storyboard_is_retried(rig) -> None:
    outcome = await deliver(rig, StoryboardApproved(video_id=uuid4(), by="api"))
    assert isinstance(outcome, Retry)


TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs"], include_characters="\n\t"), max_size=40)


@hypothesis.given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5))
def test_a_storyboard_accepted_by_the_gateway_is_valid_here(texts: list[tuple[str, str]]) -> None:
    angles = ("wide", "medium", "close-up", "wide", "medium")
    scenes = [
        {
            "sceneNumber": n + 1, "description": text, "cameraAngle": angles[n], "duration": 60 / len(texts),
            "action": action, "transition": "cut", "shot": text,
        }
        for n, (text, action) in enumerate(texts)
    ]  # fmt: skip
    story = {"title": texts[0][0], "niche": "n", "overallPrompt": "p", "totalDuration": 60, "scenes": scenes}
    edited = Storyboard.model_validate(story)
    if not faults_of(edited, ANY_SECONDS):
        written = as_edited(edited, None, ANY_SECONDS)
        assert as_edited(written.story, written.story, ANY_SECONDS) == Written(written.story)
        assert all(written.shot_prompts)


async def test_a_deleted_video_leaves_no_text_and_is_not_written_again(rig: Any) -> None:
    request = rig.request(prompt="A secret lighthouse")
    answers, cost = Answers(rig.database, "m"), Decimal("0.25")
    await deliver(rig, request)
    held = await answers.reserve(request, Decimal(0))
    await answers.keep(request, 1, Answer("A secret lighthouse", cost_usd=cost), held)
    await published(rig.database)
    assert await deliver(rig, VideoDeleted(video_id=request.video_id, by="anna")) == Handled()
    assert await deliver(rig, request) == Handled()
    assert await deliver(rig, request.model_copy(update={"prompt": "A secret other one"})) == Handled()
    assert await published(rig.database) == []
    assert "secret" not in await everything(rig.database)
    assert await answers.get(request, 1) == Answer("", cost_usd=cost)


async def test_a_video_that_is_deleted_while_its_storyboard_is_written_leaves_no_text(rig: Any) -> None:
    request = rig.request(prompt="A secret lighthouse")
    answers = Answers(rig.database, "m")
    held = await answers.reserve(request, Decimal(0))
    await deliver(rig, VideoDeleted(video_id=request.video_id, by="anna"))
    await answers.keep(request, 1, Answer("A secret lighthouse"), held)
    assert await deliver(rig, request) == Handled()
    assert await published(rig.database) == []
    assert "secret" not in await everything(rig.database)


async def everything(database: Database) -> str:
    """All that is in a database, as text."""
    async with database.reading() as session:
        return str([(await session.execute(select(table))).all() for table in database.metadata.tables.values()])
