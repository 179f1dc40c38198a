"""Reference pictures, first frames and own material: paid steps like clips, and reviewed before a clip is bought."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from PIL import Image

from scene_render.providers.base import Failed, PictureOrder, Shot
from shared.contracts.events import (
    CastRequested,
    ChargeReviewed,
    FrameRejected,
    FramesApproved,
    FramesRendered,
    PictureRendered,
    SceneCharged,
    SceneFailed,
    SceneRendered,
    SceneRequested,
    VideoCancelled,
)
from shared.contracts.media import MediaReference
from shared.contracts.story import CastMember
from shared.media.ffmpeg import Ffmpeg
from shared_testing.due_times import SubmissionOverdue

Scene = Callable[..., SceneRequested]
MARA = CastMember(name="Mara", look="about 30, red coat")
TOM = CastMember(name="Tom", look="about 60, grey beard")
VIDEO = UUID(int=1)


def of(kind: type, events: list[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def cast_of(*members: CastMember) -> CastRequested:
    return CastRequested(video_id=VIDEO, cast=members, owner="o", priority="interactive")


def names(order: PictureOrder) -> list[str]:
    return [reference.member.name for reference in order.references]


def pictures(rig: Any) -> list[PictureOrder]:
    return [order for order in rig.ledger.orders if isinstance(order, PictureOrder)]


def clips(rig: Any) -> list[Shot]:
    return [order for order in rig.ledger.orders if isinstance(order, Shot)]


@pytest.fixture
async def ready(rig: Any, tmp_path: Path) -> Any:
    """A provider that delivers clips and pictures."""
    rig.ledger.clip, rig.ledger.picture = tmp_path / "clip.mp4", tmp_path / "picture.png"
    moving = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=24:d=6", "-pix_fmt", "yuv420p", "-y", str(rig.ledger.clip)]
    await Ffmpeg().run(moving, time_limit=30)
    Image.linear_gradient("L").resize((640, 360)).convert("RGB").save(rig.ledger.picture)
    rig.ledger.usual_seconds = rig.ledger.check_seconds = 0.02
    await rig.use(rig.ledger)
    return rig


async def stored(rig: Any, path: Path, content_type: str) -> MediaReference:
    reference: MediaReference = await rig.storage.put(f"uploads/{path.name}", path, content_type)
    return reference


async def charged(rig: Any) -> Decimal:
    [(booked,)] = await rig.rows("SELECT SUM(booked_usd) FROM spend")
    return Decimal(str(booked)).quantize(Decimal("0.01"))


async def test_a_shot_starts_from_a_picture_of_its_people_who_look_the_same_in_every_shot(
    ready: Any, scene: Scene
) -> None:
    for one in (scene(1, cast=(MARA, TOM)), scene(2, cast=(TOM,)), cast_of(MARA, TOM)):
        await ready.deliver(one)
    emitted = await ready.play(lambda seen: len(of(SceneRendered, seen)) == 2)
    references, frames = pictures(ready)[:2], pictures(ready)[2:]
    assert {order.subject for order in references} == {MARA, TOM}
    assert sorted(map(names, frames)) == [["Mara", "Tom"], ["Tom"]]
    assert all(shot.first_frame is not None for shot in clips(ready))
    assert len(clips(ready)) == 2
    rendered = of(PictureRendered, emitted)
    assert sorted(one.cast_name or f"scene {one.scene_number}" for one in rendered) == [
        "Mara",
        "Tom",
        "scene 1",
        "scene 2",
    ]
    assert {one.model for one in rendered} == {"picture-1.0"}
    settled = {(one.purpose, one.scene_number) for one in of(SceneCharged, emitted) if one.state == "settled"}
    assert settled == {("reference", None), ("first_frame", 1), ("first_frame", 2), ("clip", 1), ("clip", 2)}
    assert await charged(ready) == Decimal("3.60"), "the provider takes 0.60 for everything"
    [(slots,)] = await ready.rows("SELECT COUNT(*) FROM provider_slots WHERE attempt_id IS NOT NULL")
    assert slots == 0


async def test_without_people_a_shot_needs_no_picture(ready: Any, scene: Scene) -> None:
    await ready.deliver(scene(1, cast=(CastMember(name="The harbour", kind="place", look="at dawn"),)))
    await ready.play(lambda seen: bool(of(SceneRendered, seen)))
    assert pictures(ready) == []


async def test_a_reference_that_cannot_be_made_does_not_fail_the_video(ready: Any, scene: Scene) -> None:
    ready.ledger.status = Failed("moderation", "Refused.", cost=Decimal(0), again=False)
    await ready.deliver(cast_of(MARA))
    await ready.start()
    [due] = [one for one in await ready.published() if hasattr(one, "attempt_id") and type(one).__name__ == "CheckDue"]
    await ready.deliver(due)
    del ready.ledger.status
    ready.ledger.status = type(ready.ledger)().status
    await ready.deliver(scene(1, cast=(MARA,)))
    emitted = await ready.play(lambda seen: bool(of(SceneRendered, seen) or of(SceneFailed, seen)))
    assert of(SceneRendered, emitted)
    assert of(SceneFailed, emitted) == []
    assert len(pictures(ready)) == 1, "the shot goes the text way, with the look in its prompt"


async def test_a_picture_from_the_request_is_the_reference_and_costs_nothing(
    ready: Any, scene: Scene, tmp_path: Path
) -> None:
    own = await stored(ready, ready.ledger.picture, "image/png")
    mara = CastMember(name="Mara", look="", image=own)
    await ready.deliver(cast_of(mara))
    await ready.deliver(scene(1, cast=(mara,)))
    emitted = await ready.play(lambda seen: bool(of(SceneRendered, seen)))
    [frame] = pictures(ready)
    [reference] = frame.references
    assert reference.member.name == "Mara"
    [brought] = [one for one in of(PictureRendered, emitted) if one.purpose == "reference"]
    assert (brought.picture, brought.provider, brought.cost_usd) == (own, None, 0)


@pytest.mark.parametrize("found", [False, True])
async def test_a_first_frame_that_may_have_been_paid_is_not_ordered_again(
    ready: Any, scene: Scene, *, found: bool
) -> None:
    own = await stored(ready, ready.ledger.picture, "image/png")
    mara = CastMember(name="Mara", look="", image=own)
    await ready.deliver(cast_of(mara))
    await ready.deliver(scene(1, cast=(mara,)))
    answer = ready.ledger.answer
    ready.ledger.lose_answers(ConnectionError())
    await ready.start()
    ready.ledger.answer = answer
    [overdue] = of(SubmissionOverdue, await ready.published())
    await ready.deliver(overdue)
    assert [one.kind for one in of(SceneFailed, await ready.published())] == ["submission_unknown"]
    await ready.start()
    assert len(ready.ledger.orders) == 1
    assert await ready.rows("SELECT product, state FROM attempts") == [("first_frame", "UNKNOWN")]
    [(reserved,)] = await ready.rows("SELECT SUM(reserved_usd) FROM spend")
    assert Decimal(str(reserved)) == Decimal("0.05")
    if found:
        attempt = await _attempt(ready)
        reviewed = ChargeReviewed(
            video_id=VIDEO, attempt_id=attempt, paid=True, task_id=f"task-{attempt}", by="an operator"
        )
        await ready.deliver(reviewed)
        await ready.play(lambda seen: bool(of(SceneRendered, seen)))
        assert len(pictures(ready)) == 1


async def _attempt(rig: Any) -> UUID:
    [(attempt,)] = await rig.rows("SELECT id FROM attempts")
    return UUID(attempt)


async def test_nobody_pays_for_a_clip_before_the_first_frames_are_approved(
    ready: Any, scene: Scene, tmp_path: Path
) -> None:
    own = await stored(ready, ready.ledger.picture, "image/png")
    mara = CastMember(name="Mara", look="", image=own)
    await ready.deliver(cast_of(mara))
    asked = {"cast": (mara,), "review": True, "scene_count": 3}
    await ready.deliver(scene(1, **asked))
    await ready.deliver(scene(2, **asked))
    await ready.deliver(scene(3, review=True, scene_count=3))
    emitted = await ready.play(lambda seen: bool(of(FramesRendered, seen)))
    assert len(of(FramesRendered, emitted)) == 1
    assert len(pictures(ready)) == 2
    assert clips(ready) == []

    another = FrameRejected(video_id=VIDEO, scene_number=2, description="Mara laughs at the camera", by="a person")
    await ready.deliver(another)
    await ready.play(lambda seen: bool(of(FramesRendered, seen)))
    assert len(pictures(ready)) == 3
    assert pictures(ready)[-1].subject.shot_prompt == "Mara laughs at the camera"
    assert clips(ready) == []

    await ready.deliver(FrameRejected(video_id=VIDEO, scene_number=1, image=own, by="a person"))
    emitted = await ready.play(lambda seen: bool(of(FramesRendered, seen)))
    [shown] = of(PictureRendered, emitted)
    assert (shown.scene_number, shown.picture, shown.provider) == (1, own, None)

    await ready.deliver(FramesApproved(video_id=VIDEO, by="a person"))
    await ready.play(lambda seen: len(of(SceneRendered, seen)) == 3)
    assert len(pictures(ready)) == 3
    assert sorted(shot.first_frame is not None for shot in clips(ready)) == [False, True, True]


async def test_another_first_frame_for_one_that_the_request_brought_waits_for_no_reference(
    ready: Any, scene: Scene
) -> None:
    own = await stored(ready, ready.ledger.picture, "image/png")
    await ready.deliver(scene(1, cast=(MARA,), first_frame=own, review=True, scene_count=1))
    await ready.play(lambda seen: bool(of(FramesRendered, seen)))
    await ready.deliver(FrameRejected(video_id=VIDEO, scene_number=1, description="An empty beach", by="a person"))
    await ready.play(lambda seen: bool(of(FramesRendered, seen)))
    await ready.deliver(FramesApproved(video_id=VIDEO, by="a person"))
    await ready.play(lambda seen: bool(of(SceneRendered, seen)))


async def test_without_a_first_frame_there_is_nothing_to_review(ready: Any, scene: Scene) -> None:
    await ready.deliver(scene(1, review=True, scene_count=1))
    emitted = await ready.play(lambda seen: bool(of(SceneRendered, seen)))
    assert of(FramesRendered, emitted) == []


async def test_a_cancelled_review_orders_nothing(ready: Any, scene: Scene) -> None:
    own = await stored(ready, ready.ledger.picture, "image/png")
    await ready.deliver(scene(1, review=True, scene_count=1, first_frame=own))
    await ready.play(lambda seen: bool(of(FramesRendered, seen)))
    await ready.deliver(VideoCancelled(video_id=VIDEO, by="a person", reason=""))
    await ready.deliver(FramesApproved(video_id=VIDEO, by="a person"))
    await ready.start()
    assert await ready.rows("SELECT state FROM renders") == [("cancelled",)]
    assert ready.ledger.orders == []


async def test_a_scene_with_its_own_clip_is_free(ready: Any, scene: Scene) -> None:
    own = await stored(ready, ready.ledger.clip, "video/mp4")
    await ready.deliver(scene(1, own_clip=own, clip_frames=48))
    emitted = await ready.play(lambda seen: bool(of(SceneRendered, seen)))
    [rendered] = of(SceneRendered, emitted)
    assert (rendered.provider, rendered.cost_usd, rendered.clip.frames) == ("upload", 0, 48)
    assert (rendered.clip.width, rendered.clip.height) == (1280, 720)
    assert ready.ledger.orders == []
    assert await ready.rows("SELECT COUNT(*) FROM spend") == [(0,)]


async def test_an_own_clip_that_is_no_film_or_too_short_fails_its_scene_clearly(
    ready: Any, scene: Scene, tmp_path: Path
) -> None:
    (tmp_path / "text.mp4").write_text("not a film")
    no_film = await stored(ready, tmp_path / "text.mp4", "video/mp4")
    short = await stored(ready, ready.ledger.clip, "video/mp4")
    await ready.deliver(scene(1, own_clip=no_film))
    await ready.deliver(scene(1, video=2, own_clip=short, clip_frames=30 * 24))
    emitted = await ready.play(lambda seen: len(of(SceneFailed, seen)) == 2)
    reasons = sorted(one.reason for one in of(SceneFailed, emitted))
    assert "cannot be read" in reasons[0]
    assert "144 frames; 720 were asked for" in reasons[1]


async def test_a_damaged_picture_is_ordered_again_and_a_scene_keeps_no_metadata(
    ready: Any, scene: Scene, tmp_path: Path
) -> None:
    own = await stored(ready, ready.ledger.picture, "image/png")
    mara = CastMember(name="Mara", look="", image=own)
    good = ready.ledger.picture.read_bytes()
    ready.ledger.picture.write_bytes(good[: len(good) // 3])
    await ready.deliver(cast_of(mara))
    await ready.deliver(scene(1, cast=(mara,)))
    await ready.play(lambda _seen: len(pictures(ready)) == 2)
    ready.ledger.picture.write_bytes(good)
    emitted = await ready.play(lambda seen: bool(of(SceneRendered, seen) or of(SceneFailed, seen)))
    assert of(SceneRendered, emitted), of(SceneFailed, emitted)
    [frame] = [one for one in of(PictureRendered, emitted) if one.purpose == "first_frame"]
    with Image.open(ready.storage.path(frame.picture.key)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (640, 360))
