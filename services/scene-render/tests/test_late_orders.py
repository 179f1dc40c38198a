"""Several orders for one scene: late outcomes do not stop the scene, and each part is used once."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from scene_render.clips.acceptance import AcceptedClip, WantedClip
from scene_render.clips.clip_ingest import ClipIngest
from scene_render.internal_messages import CallbackReceived, CancelDue, ClipReady
from scene_render.models import Attempt
from scene_render.providers.base import ClipUnusable, Failed, Lost, Provider, Running, SubmissionDeferred, Succeeded
from scene_render.retention import policies
from shared.contracts.events import (
    ChargeReviewed,
    SceneFailed,
    SceneRendered,
    SceneRequested,
    SceneStarted,
    VideoCancelled,
    VideoResumed,
)
from shared.contracts.media import FRAME_RATE
from shared.media.ffmpeg import Ffmpeg
from shared.media.probe import probe
from shared_testing.due_times import CheckDue, PayAgainDue, SubmissionOverdue

Scene = Callable[..., SceneRequested]
VIDEO = UUID(int=1)
SECONDS = 10
LONG = 13 * FRAME_RATE
"""The frames of a scene of two parts."""
FAILED = Failed("job_failed", "r", Decimal(0), again=True)
REFUSED = Failed("moderation", "r", Decimal(0), again=False)


class SmallClips(ClipIngest):
    """Takes clips as they are, so that no test waits for an encoder."""

    async def _fetch(self, provider: Provider, attempt: Attempt, _wanted: WantedClip, folder: Path) -> AcceptedClip:
        path = folder / "fetched"
        await provider.fetch(str(attempt.task_id), path)
        return AcceptedClip(path, await probe(path), None)


@pytest.fixture(scope="session")
def small_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    source = f"testsrc2=s=160x90:r={FRAME_RATE}:d={SECONDS}"
    arguments = ["-f", "lavfi", "-i", source, "-pix_fmt", "yuv420p", "-preset", "ultrafast", "-y", str(path)]
    asyncio.run(Ffmpeg().run(arguments, time_limit=30))
    return path


@pytest.fixture
def rig(sqlite_rig: Any, small_clip: Path) -> Any:
    rig = sqlite_rig
    rig.pay_again()
    rig.deps = replace(rig.deps, clips=SmallClips(rig.storage, Ffmpeg(), None))
    rig.ledger.clip = small_clip
    return rig


def of(kind: type, events: list[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


async def deliver(rig: Any, event: Any) -> list[Any]:
    """Have an event handled; returns what was published."""
    await rig.deliver(event)
    return await rig.published()


async def order(rig: Any) -> list[Any]:
    await rig.start("ledger")
    return list(await rig.published())


async def lose(rig: Any) -> tuple[UUID, list[Any]]:
    """Order a clip with a lost answer; return its attempt and the published events."""
    answer = rig.ledger.answer
    rig.ledger.lose_answers(ConnectionError())
    [overdue] = of(SubmissionOverdue, await order(rig))
    rig.ledger.answer = answer
    return overdue.attempt_id, await deliver(rig, overdue)


async def lose_and_wait(rig: Any, scene: SceneRequested) -> UUID:
    """Lose the first order of a scene, which then waits to be ordered once more."""
    await deliver(rig, scene)
    first, events = await lose(rig)
    await deliver(rig, of(PayAgainDue, events)[0])
    return first


async def settle(rig: Any, attempt_id: UUID, **answer: Any) -> list[Any]:
    review = {"paid": "task_id" in answer, "by": "me", **answer}
    return await deliver(rig, ChargeReviewed(video_id=VIDEO, attempt_id=attempt_id, **review))


async def collect(rig: Any, check: CheckDue) -> list[Any]:
    """Find a task finished and collect its clip; returns what was published then."""
    [ready] = of(ClipReady, await deliver(rig, check))
    return await deliver(rig, ready)


def checks(events: list[Any]) -> CheckDue:
    [check] = of(CheckDue, events)
    assert isinstance(check, CheckDue)
    return check


async def state(rig: Any) -> str:
    [(state,)] = await rig.rows("SELECT state FROM renders")
    return str(state)


async def sources(rig: Any) -> list[str]:
    """The tasks that the parts of the scene come from."""
    [(parts,)] = await rig.rows("SELECT parts FROM renders")
    return [part["taskId"] for part in json.loads(parts)]


async def booked(rig: Any) -> Decimal:
    [(usd,)] = await rig.rows("SELECT SUM(booked_usd) FROM spend")
    return Decimal(str(usd)).quantize(Decimal("0.01"))


# --- an attempt ends: does another go on?


async def fail(rig: Any, check: CheckDue) -> list[Any]:
    rig.ledger.status = FAILED
    return await deliver(rig, check)


async def refuse(rig: Any, check: CheckDue) -> list[Any]:
    rig.ledger.status = REFUSED
    return await deliver(rig, check)


async def reject_clip(rig: Any, check: CheckDue) -> list[Any]:
    async def fetch(_task_id: str, _target: Path) -> None:
        raise ClipUnusable("It is black.")

    rig.ledger.fetch = fetch
    events = await collect(rig, check)
    del rig.ledger.fetch
    return events


async def lose_track(rig: Any, check: CheckDue) -> list[Any]:
    rig.ledger.status = Lost()
    async with rig.database.sessions.begin() as session:
        await session.execute(text("UPDATE attempts SET intended_at = '2020-01-01 00:00:00'"))
    return await deliver(rig, check)


@pytest.mark.parametrize("answer", [{"again": True}, {"task_id": "task-2"}], ids=["not paid", "paid"])
@pytest.mark.parametrize("end", [fail, refuse, reject_clip, lose_track])
async def test_when_one_of_two_lost_orders_ends_a_person_settles_the_other(
    rig: Any, scene: Scene, end: Callable[[Any, CheckDue], Awaitable[list[Any]]], answer: dict[str, Any]
) -> None:
    first = await lose_and_wait(rig, scene())
    second, _ = await lose(rig)
    events = await settle(rig, first, task_id="task-1")
    assert len(of(VideoResumed, events)) == 1
    [failed] = of(SceneFailed, await end(rig, checks(events)))
    assert (failed.kind, "may have been paid" in failed.reason or end is lose_track) == ("submission_unknown", True)
    await order(rig)
    assert (await state(rig), len(rig.ledger.taken)) == ("failed", 2), "ordered though the other may have been paid"
    rig.ledger.status = Succeeded(Decimal("0.60"))
    events = await settle(rig, second, **answer)
    assert len(of(VideoResumed, events)) == 1
    check = checks(events if "task_id" in answer else await order(rig))
    assert len(of(SceneRendered, await collect(rig, check))) == 1
    assert len(rig.ledger.taken) == (2 if "task_id" in answer else 3)


@pytest.mark.parametrize(("failure", "after"), [(FAILED, "waiting"), (REFUSED, "failed")])
async def test_after_the_settlement_the_other_order_decides_the_scene(
    rig: Any, scene: Scene, failure: Failed, after: str
) -> None:
    first = await lose_and_wait(rig, scene())
    second, _ = await lose(rig)
    check = checks(await settle(rig, first, task_id="task-1"))
    await settle(rig, second)
    rig.ledger.status = failure
    emitted = of(SceneFailed, await deliver(rig, check))
    assert (await state(rig), [event.kind for event in emitted]) == (after, ["moderation"] if after == "failed" else [])


@pytest.mark.parametrize("late_first", [True, False])
async def test_a_scene_with_two_orders_is_retried_once_both_have_failed(
    rig: Any, scene: Scene, late_first: bool
) -> None:
    first = await lose_and_wait(rig, scene())
    both = [checks(await order(rig)), checks(await settle(rig, first, task_id="task-1"))]
    for check, after in zip(reversed(both) if late_first else both, ("running", "waiting"), strict=True):
        await fail(rig, check)
        assert await state(rig) == after
    assert len(rig.ledger.taken) == 2


@pytest.mark.parametrize("rendered_before", [False, True])
@pytest.mark.parametrize(
    "answer", [SubmissionDeferred("outage", "away"), ConnectionError()], ids=["deferred", "unknown"]
)
async def test_a_failed_second_order_does_not_affect_the_found_first_one(
    rig: Any, scene: Scene, answer: Exception, rendered_before: bool
) -> None:
    first = await lose_and_wait(rig, scene())
    rendered: list[Any] = []
    seen: list[CheckDue] = []

    async def submit(attempt_id: str, shot: object) -> str:
        rig.ledger.taken.append(attempt_id)
        rig.ledger.orders.append(shot)
        seen.append(checks(await settle(rig, first, task_id="task-1")))
        if rendered_before:
            rendered.extend(await collect(rig, seen[0]))
        raise answer

    rig.ledger.submit = submit
    await order(rig)
    second = UUID(rig.ledger.taken[1])
    emitted = await deliver(rig, SubmissionOverdue(second))
    assert of(SceneFailed, emitted) == []
    assert await state(rig) == ("rendered" if rendered_before else "running")
    if not rendered_before:
        rendered = await collect(rig, seen[0])
    assert (len(of(SceneRendered, rendered)), len(rig.ledger.taken)) == (1, 2)


async def test_a_cancelled_video_ends_its_queued_order_and_keeps_the_paid_one(rig: Any, scene: Scene) -> None:
    first = await lose_and_wait(rig, scene())
    second = checks(await order(rig))
    check = checks(await settle(rig, first, task_id="task-1"))
    await deliver(rig, VideoCancelled(video_id=VIDEO, by="me", reason="r"))
    rig.ledger.status = Running(queued=True)
    await deliver(rig, CancelDue(video_id=VIDEO, attempt_id=second.attempt_id))
    assert await rig.rows("SELECT state FROM attempts ORDER BY number") == [("SUBMITTED",), ("CANCELLED",)]
    rig.ledger.status = Succeeded(Decimal("0.60"))
    assert len(of(SceneRendered, await collect(rig, check))) == 1


async def test_a_scene_that_waits_for_a_retry_uses_a_found_earlier_order(rig: Any, scene: Scene) -> None:
    first = await lose_and_wait(rig, scene())
    await fail(rig, checks(await order(rig)))
    assert await state(rig) == "waiting"
    rig.ledger.status = Succeeded(Decimal("0.60"))
    events = await deliver(rig, CallbackReceived(video_id=VIDEO, attempt_id=first, task_id="task-1"))
    async with rig.database.sessions.begin() as session:
        await session.execute(text("UPDATE renders SET available_at = '2020-01-01 00:00:00'"))
    await order(rig)
    assert len(rig.ledger.taken) == 2, "ordered once more than needed"
    assert len(of(SceneRendered, await collect(rig, checks(events)))) == 1


# --- a long scene: which part is a clip for?


@pytest.mark.parametrize("when", ["waiting", "in flight", "rendered"])
async def test_a_late_clip_of_a_finished_part_is_paid_and_not_used(rig: Any, scene: Scene, when: str) -> None:
    first = await lose_and_wait(rig, scene(clip_frames=LONG))
    again = checks(await order(rig))
    late = checks(await settle(rig, first, task_id="task-1"))
    await collect(rig, again)
    if when == "waiting":
        assert of(SceneRendered, await collect(rig, late)) == []
    second_part = checks(await order(rig))
    if when == "in flight":
        assert of(SceneRendered, await collect(rig, late)) == []
        assert await state(rig) == "running"
    [rendered] = of(SceneRendered, await collect(rig, second_part))
    if when == "rendered":
        assert of(SceneRendered, await collect(rig, late)) == []
    assert rendered.clip.frames == LONG
    assert await sources(rig) == [f"task-{again.attempt_id}"]
    assert [(shot.seconds, shot.first_frame is None) for shot in rig.ledger.orders] == [
        (10, True), (10, True), (5, False)
    ]  # fmt: skip
    assert await booked(rig) == Decimal("1.80")


async def test_a_late_failure_of_a_finished_part_causes_no_order(rig: Any, scene: Scene) -> None:
    first = await lose_and_wait(rig, scene(clip_frames=LONG))
    again = checks(await order(rig))
    late = checks(await settle(rig, first, task_id="task-1"))
    await collect(rig, again)
    second_part = checks(await order(rig))
    await fail(rig, late)
    assert (await state(rig), len(rig.ledger.taken)) == ("running", 3)
    rig.ledger.status = Succeeded(Decimal("0.60"))
    assert len(of(SceneRendered, await collect(rig, second_part))) == 1


@pytest.mark.parametrize("frames", [LONG, SECONDS * FRAME_RATE])
async def test_of_two_clips_collected_concurrently_for_a_part_one_is_used(
    rig: Any, scene: Scene, frames: int, small_clip: Path
) -> None:
    first = await lose_and_wait(rig, scene(clip_frames=frames))
    again = checks(await order(rig))
    late = checks(await settle(rig, first, task_id="task-1"))
    both = asyncio.Barrier(2)

    async def fetch(task_id: str, target: Path) -> None:
        # Two different files; an MP4 may end with anything.
        free = (8 + len(task_id)).to_bytes(4, "big") + b"free" + task_id.encode()
        target.write_bytes(small_clip.read_bytes() + free)
        await both.wait()

    rig.ledger.fetch = fetch
    ready = [of(ClipReady, await deliver(rig, check))[0] for check in (again, late)]
    await asyncio.gather(*(rig.deliver(one) for one in ready))
    del rig.ledger.fetch
    rendered = of(SceneRendered, await rig.published())
    if frames == LONG:
        assert (rendered, len(await sources(rig))) == ([], 1)
        rendered = of(SceneRendered, await collect(rig, checks(await order(rig))))
    [scene_rendered] = rendered
    assert scene_rendered.clip.frames == frames
    await rig.storage.get(scene_rendered.clip.media, small_clip.with_name("stored.mp4"))


async def test_a_lost_order_of_an_earlier_part_does_not_resume_a_scene(rig: Any, scene: Scene) -> None:
    first = await lose_and_wait(rig, scene(clip_frames=LONG))
    await collect(rig, checks(await order(rig)))
    third, _ = await lose(rig)
    events = await settle(rig, first, task_id="task-1")
    assert (of(VideoResumed, events), of(SceneStarted, events), await state(rig)) == ([], [], "failed")
    await collect(rig, checks(events))
    assert (await state(rig), await booked(rig)) == ("failed", Decimal("1.20"))
    events = await settle(rig, third, task_id="task-3")
    assert len(of(VideoResumed, events)) == 1
    [rendered] = of(SceneRendered, await collect(rig, checks(events)))
    assert rendered.clip.frames == LONG


async def lose_second_part_and_remove_the_first(rig: Any, scene: SceneRequested) -> UUID:
    """Fail a long scene for so long that its parts are removed; returns the attempt at its second part."""
    await deliver(rig, scene)
    await collect(rig, checks(await order(rig)))
    second, _ = await lose(rig)
    async with rig.database.sessions.begin() as session:
        await session.execute(text("UPDATE renders SET parts_stored_at = '2020-01-01 00:00:00'"))
    [parts] = [one for one in policies(rig.deps.clips, rig.deps.animatics) if one.what == "scene parts"]
    assert await parts.remove(rig.database, 0.0, 10) == 1
    return second


async def test_a_clip_of_a_later_part_is_not_used_when_the_parts_before_it_are_removed(rig: Any, scene: Scene) -> None:
    second = await lose_second_part_and_remove_the_first(rig, scene(clip_frames=LONG))
    late = checks(await settle(rig, second, task_id="task-2"))
    assert of(SceneRendered, await collect(rig, late)) == []
    assert (await state(rig), await booked(rig)) == ("failed", Decimal("1.20"))


async def test_a_scene_without_its_removed_parts_is_rendered_from_the_start(rig: Any, scene: Scene) -> None:
    second = await lose_second_part_and_remove_the_first(rig, scene(clip_frames=LONG))
    await settle(rig, second, again=True)
    await fail(rig, checks(await order(rig)))
    assert await state(rig) == "waiting"
    assert rig.ledger.orders[-1].first_frame is None
