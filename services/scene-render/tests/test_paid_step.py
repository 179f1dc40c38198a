"""The paid step: saved before it is sent, paid once, and never repeated blindly."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from scene_render.attempts import submission
from scene_render.capacity.slots import provide_slots
from scene_render.clips.acceptance import WantedClip, accept
from scene_render.internal_messages import CallbackReceived, ClipReady
from scene_render.providers.base import (
    Absent,
    Failed,
    Found,
    ProviderSilent,
    Running,
    SubmissionDeferred,
    SubmissionRefused,
    Succeeded,
    Unknowable,
)
from scene_render.scenes import video_standing
from scene_render.scheduling.claim import Claim
from shared.contracts.events import (
    SceneFailed,
    SceneProgressed,
    SceneRendered,
    SceneRequested,
    SceneStarted,
    VideoCancelled,
    VideoFailed,
    VideoResumed,
)
from shared.contracts.media import FRAME_RATE
from shared.media.ffmpeg import Ffmpeg
from shared.persistence import unit_of_work
from shared_testing.due_times import CheckDue, SubmissionOverdue

Scene = Callable[..., SceneRequested]
ATTEMPTS = "SELECT state, task_id IS NOT NULL FROM attempts ORDER BY number"
TAKEN = "SELECT COUNT(*) FROM provider_slots WHERE provider = 'ledger' AND attempt_id IS NOT NULL"


async def ask(rig: Any, *scenes: SceneRequested) -> None:
    for scene in scenes:
        await rig.deliver(scene)
    await rig.published()


async def offer(rig: Any) -> None:
    await rig.start("ledger")


async def taken(rig: Any) -> list[Any]:
    return await rig.published()


def of(kind: type, events: list[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


async def money(rig: Any) -> tuple[Decimal, Decimal]:
    [(reserved, booked)] = await rig.rows("SELECT SUM(reserved_usd), SUM(booked_usd) FROM spend")
    return Decimal(str(reserved)).quantize(Decimal("0.01")), Decimal(str(booked)).quantize(Decimal("0.01"))


async def test_a_scene_is_submitted_once_with_its_slot_and_reservation_saved(rig: Any, scene: Scene) -> None:
    await ask(rig, scene())
    await offer(rig)
    assert len(rig.ledger.taken) == 1
    assert await rig.rows(ATTEMPTS) == [("SUBMITTED", 1)]
    assert await rig.rows(TAKEN) == [(1,)]
    assert await money(rig) == (Decimal("0.75"), Decimal("0.00"))
    events = await taken(rig)
    assert len(of(SceneStarted, events)) == len(of(CheckDue, events)) == 1


async def test_intent_is_committed_before_anything_is_sent(rig: Any, scene: Scene) -> None:
    seen: list[Any] = []

    async def submit(attempt_id: str, _request: SceneRequested) -> str:
        seen.extend(await rig.rows("SELECT state FROM attempts"))
        return attempt_id

    rig.ledger.submit = submit
    await ask(rig, scene())
    await offer(rig)
    assert seen == [("INTENT",)]


async def test_concurrent_schedulers_start_a_scene_once(rig: Any, scene: Scene) -> None:
    await ask(rig, scene(1))
    claims = await asyncio.gather(*(rig.start() for _ in range(5)))
    assert sum(isinstance(claim, Claim) for claim in claims) == len(rig.ledger.taken) == 1


async def test_a_scene_requested_twice_is_rendered_once(rig: Any, scene: Scene) -> None:
    await ask(rig, scene(), scene())
    await offer(rig)
    await offer(rig)
    assert len(rig.ledger.taken) == 1


async def test_concurrent_starts_never_exceed_the_slots(rig: Any, scene: Scene) -> None:
    await ask(rig, *(scene(n) for n in range(1, 6)))
    schedulers = [rig.scheduler.start_waiting(rig.ledger) for _ in range(12)]
    await asyncio.gather(*schedulers)
    await asyncio.gather(*rig.deps.shielded.tasks)
    assert len(rig.ledger.taken) == len(set(rig.ledger.taken)) == rig.ledger.concurrency
    assert await rig.rows(TAKEN) == [(rig.ledger.concurrency,)]


@pytest.mark.parametrize("lost", [ConnectionError("reset"), TimeoutError(), ValueError("500 after creating")])
async def test_an_order_with_a_lost_answer_is_not_repeated_and_stays_reserved(
    rig: Any, scene: Scene, lost: Exception
) -> None:
    rig.ledger.lose_answers(lost)
    await ask(rig, scene())
    await offer(rig)
    [overdue] = of(SubmissionOverdue, await taken(rig))
    assert await rig.rows(ATTEMPTS) == [("INTENT", 0)]

    rig.ledger.found = Unknowable()
    await rig.deliver(overdue)
    assert len(rig.ledger.taken) == 1
    assert await rig.rows(ATTEMPTS) == [("UNKNOWN", 0)]
    assert await money(rig) == (Decimal("0.75"), Decimal("0.00"))
    [failed] = of(SceneFailed, await taken(rig))
    assert failed.kind == "submission_unknown"
    assert "may have been paid" in failed.reason


async def test_an_order_with_a_lost_answer_continues_once_its_task_is_found(rig: Any, scene: Scene) -> None:
    rig.ledger.lose_answers(ConnectionError())
    await ask(rig, scene())
    await offer(rig)
    [overdue] = of(SubmissionOverdue, await taken(rig))
    rig.ledger.found = Found("task-7")
    await rig.deliver(overdue)
    assert len(rig.ledger.taken) == 1
    assert await rig.rows("SELECT state, task_id FROM attempts") == [("SUBMITTED", "task-7")]


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """What the database raises, one after the other, when a provider's answer is to be saved."""
    errors: list[Exception] = []

    @contextlib.asynccontextmanager
    async def transaction(database: Any) -> AsyncIterator[Any]:
        if errors:
            raise errors.pop(0)
        async with unit_of_work.transaction(database) as work:
            yield work

    monkeypatch.setattr(submission, "transaction", transaction)
    monkeypatch.setattr(submission, "SAVE_SECONDS", (0.001, 0.002))
    return errors


async def test_a_task_is_saved_after_a_database_outage(rig: Any, scene: Scene, away: list[Exception]) -> None:
    away.extend(ConnectionError("away") for _ in range(20))
    await ask(rig, scene())
    await offer(rig)
    assert away == []
    assert await rig.rows(ATTEMPTS) == [("SUBMITTED", 1)]


async def test_a_task_that_could_not_be_saved_is_logged(sqlite_rig: Any, scene: Scene, away: list[Exception]) -> None:
    """The process ends before the database is back."""
    rig = sqlite_rig
    rig.ledger.answer = lambda _: "task-7"
    away.extend(ConnectionError("away") for _ in range(100_000))
    await ask(rig, scene())
    with capture_logs() as lines:
        starting = asyncio.create_task(offer(rig))
        while not rig.ledger.taken or not rig.deps.shielded.tasks:  # noqa: ASYNC110 - there is no event to await
            await asyncio.sleep(0.001)
        [saving] = rig.deps.shielded.tasks
        await asyncio.sleep(0.02)
        saving.cancel()
        await asyncio.gather(starting, return_exceptions=True)
    [line] = [line for line in lines if line["log_level"] == "error"]
    assert (line["attempt_id"], line["task_id"]) == (rig.ledger.taken[0], "task-7")


async def test_an_order_that_certainly_never_arrived_is_resubmitted_as_the_same_attempt(rig: Any, scene: Scene) -> None:
    rig.ledger.lose_answers(ConnectionError())
    await ask(rig, scene())
    await offer(rig)
    [overdue] = of(SubmissionOverdue, await taken(rig))
    rig.ledger.answer, rig.ledger.found = (lambda _: "task-8"), Absent()
    await rig.deliver(overdue)
    assert len(set(rig.ledger.taken)) == 1
    assert await rig.rows("SELECT state, task_id FROM attempts") == [("SUBMITTED", "task-8")]


async def test_a_task_found_during_reconciliation_is_not_resubmitted(rig: Any, scene: Scene) -> None:
    rig.ledger.lose_answers(ConnectionError())
    await ask(rig, scene())
    await offer(rig)
    [overdue] = of(SubmissionOverdue, await taken(rig))

    async def find(_attempt_id: str, _age: float) -> Absent:
        heard = CallbackReceived(video_id=UUID(int=1), attempt_id=overdue.attempt_id, task_id="task-9")
        await rig.deliver(heard)
        return Absent()

    rig.ledger.find = find
    await rig.deliver(overdue)
    assert len(rig.ledger.taken) == 1
    assert await rig.rows("SELECT state, task_id FROM attempts") == [("SUBMITTED", "task-9")]


async def test_only_one_replica_resubmits(rig: Any, scene: Scene) -> None:
    rig.ledger.lose_answers(ConnectionError())
    await ask(rig, scene())
    await offer(rig)
    [overdue] = of(SubmissionOverdue, await taken(rig))
    both = asyncio.Barrier(2)

    async def find(_attempt_id: str, _age: float) -> Absent:
        await both.wait()
        return Absent()

    rig.ledger.find = find
    await asyncio.gather(rig.deliver(overdue), rig.deliver(overdue))
    assert len(rig.ledger.taken) == 2, "the first one, and one more"


async def test_a_refusal_frees_slot_and_money_and_fails_the_scene(rig: Any, scene: Scene) -> None:
    rig.ledger.lose_answers(SubmissionRefused("moderation", "Not with us."))
    await ask(rig, scene())
    await offer(rig)
    [failed] = of(SceneFailed, await taken(rig))
    assert (failed.kind, failed.reason) == ("moderation", "Not with us.")
    assert await money(rig) == (Decimal("0.00"), Decimal("0.00"))
    assert await rig.rows(TAKEN) == [(0,)]


async def test_a_deferred_submission_waits_and_does_not_count_as_a_failure(rig: Any, scene: Scene) -> None:
    rig.ledger.lose_answers(SubmissionDeferred("outage", "It cannot be reached."))
    await ask(rig, scene())
    await offer(rig)
    assert await rig.rows("SELECT state, failures, attempts FROM renders") == [("waiting", 0, 1)]
    events = await taken(rig)
    assert of(SceneFailed, events) == []
    assert await rig.rows(TAKEN) == [(0,)]
    assert await money(rig) == (Decimal("0.00"), Decimal("0.00"))


async def test_a_process_that_resumes_too_late_submits_nothing(rig: Any, scene: Scene) -> None:
    """Frozen after INTENT for longer than a submission may take: another replica has given the attempt up."""
    rig.ledger.submit_seconds = -1.0
    await ask(rig, scene())
    await offer(rig)
    assert rig.ledger.taken == []
    assert await rig.rows("SELECT state FROM renders") == [("waiting",)]
    assert await money(rig) == (Decimal("0.00"), Decimal("0.00"))
    assert await rig.rows(TAKEN) == [(0,)]


async def submitted(rig: Any, scene: SceneRequested) -> CheckDue:
    await ask(rig, scene)
    await offer(rig)
    [check] = of(CheckDue, await taken(rig))
    return check


async def test_success_frees_the_slot_books_the_cost_and_lets_the_next_one_start(rig: Any, scene: Scene) -> None:
    check = await submitted(rig, scene())
    await rig.deliver(check)
    events = await taken(rig)
    assert len(of(ClipReady, events)) == 1
    assert await money(rig) == (Decimal("0.00"), Decimal("0.60"))
    assert await rig.rows(TAKEN) == [(0,)]


async def test_a_running_task_is_polled_and_its_progress_published(rig: Any, scene: Scene) -> None:
    check = await submitted(rig, scene())
    rig.ledger.status = Running(percent=40, eta=9, check_after=5)
    await rig.deliver(check)
    assert await taken(rig) == [check]
    [hint] = rig.ephemeral.events
    assert isinstance(hint, SceneProgressed)
    assert (hint.percent, hint.eta_seconds) == (40, 9)


async def test_a_silent_provider_does_not_use_up_an_attempt(rig: Any, scene: Scene) -> None:
    check = await submitted(rig, scene())
    rig.ledger.status = ProviderSilent()
    await rig.deliver(check)
    assert len(of(CheckDue, await taken(rig))) == 1
    assert await rig.rows(ATTEMPTS) == [("SUBMITTED", 1)]


async def long_ago(rig: Any, column: str) -> None:
    async with rig.database.sessions.begin() as session:
        await session.execute(text(f"UPDATE attempts SET {column} = '2020-01-01 00:00:00'"))


async def look(rig: Any, check: CheckDue, status: Any) -> CheckDue:
    """Check a running task; return the next check."""
    rig.ledger.status = status
    await rig.deliver(check)
    [after] = of(CheckDue, await taken(rig))
    return after


@pytest.mark.parametrize("seen", [None, Running()])
async def test_a_task_that_ends_while_its_provider_is_silent_for_long_is_collected(
    rig: Any, scene: Scene, seen: Running | None
) -> None:
    check = await submitted(rig, scene())
    if seen is not None:
        check = await look(rig, check, seen)
        await long_ago(rig, "running_since")
    await long_ago(rig, "submitted_at")
    for _ in range(3):
        check = await look(rig, check, ProviderSilent())
    rig.ledger.status = Succeeded(Decimal("0.60"))
    await rig.deliver(check)
    assert len(of(ClipReady, await taken(rig))) == 1
    assert (rig.ledger.cancelled, len(rig.ledger.taken)) == ([], 1)


async def test_after_hours_of_silence_a_person_settles_the_task(
    rig: Any, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = await look(rig, await submitted(rig, scene()), ProviderSilent())
    monkeypatch.setattr("scene_render.attempts.polling.SILENCE_SECONDS", -1)
    rig.ledger.status = ProviderSilent()
    await rig.deliver(check)
    [failed] = of(SceneFailed, await taken(rig))
    assert (failed.kind, "has not answered" in failed.reason) == ("submission_unknown", True)
    assert (rig.ledger.cancelled, len(rig.ledger.taken)) == ([], 1)


async def test_possible_time_in_the_queue_does_not_count_against_a_task(rig: Any, scene: Scene) -> None:
    check = await submitted(rig, scene())
    await long_ago(rig, "submitted_at")
    check = await look(rig, check, ProviderSilent())
    for _ in range(2):
        check = await look(rig, check, Running())
    assert rig.ledger.cancelled == []


async def test_time_in_the_queue_does_not_count_against_a_task(rig: Any, scene: Scene) -> None:
    check = await look(rig, await submitted(rig, scene()), Running(queued=True))
    await long_ago(rig, "submitted_at")
    rig.ledger.status = Running()
    await rig.deliver(CallbackReceived(video_id=UUID(int=1), attempt_id=check.attempt_id, task_id="t"))
    [hint] = await taken(rig)
    await rig.deliver(hint)
    await look(rig, check, Running())
    assert rig.ledger.cancelled == []


async def overdue(rig: Any, scene: SceneRequested) -> CheckDue:
    """A look at a task that has been worked on for too long."""
    check = await look(rig, await submitted(rig, scene), Running())
    await long_ago(rig, "running_since")
    return check


async def test_a_task_that_ends_while_it_is_being_cancelled_is_collected(rig: Any, scene: Scene) -> None:
    check = await overdue(rig, scene())

    async def cancel(_task_id: str) -> None:
        rig.ledger.status = Succeeded(Decimal("0.60"))

    rig.ledger.cancel = cancel
    await rig.deliver(await look(rig, check, Running()))
    assert len(of(ClipReady, await taken(rig))) == 1
    assert await money(rig) == (Decimal("0.00"), Decimal("0.60"))


async def test_a_task_that_ignores_its_cancellation_is_not_ordered_elsewhere(rig: Any, scene: Scene) -> None:
    check = await overdue(rig, scene())

    async def cancel(_task_id: str) -> None:
        """It does not listen."""

    rig.ledger.cancel = cancel
    await rig.deliver(check)
    assert [failed.kind for failed in of(SceneFailed, await taken(rig))] == ["submission_unknown"]


async def test_a_task_that_failed_for_good_fails_the_scene_with_what_it_cost(rig: Any, scene: Scene) -> None:
    check = await submitted(rig, scene())
    rig.ledger.status = Failed("moderation", "Too wild.", Decimal("0.10"), again=False)
    await rig.deliver(check)
    [failed] = of(SceneFailed, await taken(rig))
    assert (failed.reason, failed.cost_usd) == ("Too wild.", Decimal("0.1"))
    assert await rig.rows(TAKEN) == [(0,)]


async def film(path: Path, seconds: float, size: str = "320x180", rate: int = 30) -> Path:
    source = f"testsrc2=s={size}:r={rate}:d={seconds}"
    await Ffmpeg().run(["-f", "lavfi", "-i", source, "-pix_fmt", "yuv420p", "-y", str(path)], time_limit=30)
    return path


async def test_a_clip_in_another_format_is_conformed_stored_and_published(
    rig: Any, scene: Scene, tmp_path: Path
) -> None:
    rig.ledger.clip = await film(tmp_path / "clip.mp4", 2)
    await rig.deliver(await submitted(rig, scene()))
    [ready] = of(ClipReady, await taken(rig))
    newer = rig.ledger.models.standard.model_copy(update={"id": "newer than the order"})
    rig.ledger.models = rig.ledger.models.model_copy(update={"standard": newer})
    await rig.deliver(ready)
    [rendered] = of(SceneRendered, await taken(rig))
    assert (rendered.clip.width, rendered.clip.height, rendered.clip.frames) == (1280, 720, 24)
    assert (rendered.duration, rendered.cost_usd) == (1.0, Decimal("0.6"))
    assert (rendered.provider, rendered.model) == ("ledger", "test-1.0")
    assert rig.storage.path(rendered.clip.media.key).is_file()


TAIL = WantedClip((160, 90), 5 * FRAME_RATE, 5 * FRAME_RATE, continues=True)


async def test_the_last_part_of_a_long_scene_is_complete_at_any_frame_rate(tmp_path: Path) -> None:
    clip = await film(tmp_path / "clip.mp4", 5, "160x90", rate=30)
    accepted = await accept(clip, TAIL, Ffmpeg())
    assert accepted.facts.frames == 5 * FRAME_RATE


async def test_the_first_frame_handed_over_is_removed_at_any_frame_rate(tmp_path: Path) -> None:
    clip = await film(tmp_path / "clip.mp4", 10, "160x90", rate=12)
    accepted = await accept(clip, TAIL, Ffmpeg())
    assert accepted.facts.frames == 5 * FRAME_RATE
    got, old, new = [
        await frame_at(*moment, tmp_path / "frame") for moment in ((accepted.path, 2), (clip, 2), (clip, 7))
    ]
    assert difference(got, new) < difference(got, old) / 2


async def frame_at(path: Path, seconds: float, target: Path) -> bytes:
    """The picture at this moment, in grey."""
    arguments = ["-ss", str(seconds), "-f", "mov", "-i", str(path), "-frames:v", "1", "-pix_fmt", "gray"]
    await Ffmpeg().run([*arguments, "-f", "rawvideo", "-y", str(target)], time_limit=30)
    return target.read_bytes()


def difference(one: bytes, other: bytes) -> float:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / len(one)


@pytest.mark.parametrize(
    ("content", "state"),
    [
        (b"", "waiting"),
        (None, "waiting"),
        (b"<html>no</html>", "failed"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "failed"),
    ],
    ids=["empty", "too short", "a web page", "a playlist"],
)
async def test_an_unusable_clip_is_retried_if_that_may_help_and_its_cost_stays_booked(
    rig: Any, scene: Scene, tmp_path: Path, content: bytes | None, state: str
) -> None:
    path = tmp_path / "clip.mp4"
    if content is None:
        await film(path, 0.2)
    else:
        path.write_bytes(content)
    rig.ledger.clip = path
    await rig.deliver(await submitted(rig, scene()))
    [ready] = of(ClipReady, await taken(rig))
    await rig.deliver(ready)
    assert of(SceneRendered, await taken(rig)) == []
    assert await rig.rows("SELECT state, attempts FROM renders") == [(state, 1)]
    assert await money(rig) == (Decimal("0.00"), Decimal("0.60"))


async def test_scenes_of_a_cancelled_video_never_start(rig: Any, scene: Scene) -> None:
    await ask(rig, scene(1))
    await rig.deliver(VideoCancelled(video_id=UUID(int=1), by="me", reason="r"))
    await ask(rig, scene(2))
    await offer(rig)
    assert rig.ledger.taken == []


async def test_scenes_of_a_failed_video_wait_until_it_is_resumed(rig: Any, scene: Scene) -> None:
    await ask(rig, scene(1))
    await rig.deliver(VideoFailed(video_id=UUID(int=1), stage="composer", kind="k", reason="r"))
    await offer(rig)
    assert rig.ledger.taken == []
    await rig.deliver(VideoResumed(video_id=UUID(int=1)))
    await offer(rig)
    assert len(rig.ledger.taken) == 1


async def test_a_refused_request_of_the_same_id_stops_no_scene(rig: Any, scene: Scene) -> None:
    await ask(rig, scene(1, post_id="p-7"))
    await rig.deliver(VideoFailed(video_id=UUID(int=1), stage="request", kind="conflict", reason="r"))
    await offer(rig)
    assert len(rig.ledger.taken) == 1
    async with rig.database.reading() as session:
        known = await video_standing.owner_of(session, UUID(int=1))
    assert (known.owner, known.post_id) == ("o", "p-7")


@pytest.mark.connected
async def test_slots_are_created_while_a_frozen_replica_holds_their_locks(mariadb_rig: Any) -> None:
    rig = mariadb_rig
    slots = f"SELECT number FROM provider_slots WHERE provider = '{rig.ledger.name}'"
    state = f"SELECT * FROM provider_states WHERE provider = '{rig.ledger.name}'"
    before = len(await rig.rows(slots))
    rig.ledger.concurrency = before + 1
    async with rig.database.sessions.begin() as frozen:
        for locked in (slots, state):
            assert (await frozen.execute(text(f"{locked} FOR UPDATE"))).all()
        await provide_slots(rig.database, [rig.ledger])
        assert len(await rig.rows(slots)) == before + 1
        rig.ledger.concurrency = before - 1
        await provide_slots(rig.database, [rig.ledger])
    # The locked one is left to the next pass.
    assert len(await rig.rows(slots)) == before
    await provide_slots(rig.database, [rig.ledger])
    assert len(await rig.rows(slots)) == before - 1


async def test_the_order_is_fair_and_interactive_requests_come_first(rig: Any, scene: Scene) -> None:
    batch = [scene(n, video=9, owner="big", priority="batch") for n in (1, 2)]
    many = [scene(n, video=1, owner="big") for n in (1, 2, 3)]
    one = scene(1, video=2, owner="small")
    await ask(rig, *batch, *many, one)
    rig.ledger.concurrency = 6
    await provide_slots(rig.database, [rig.ledger])
    order = []
    for _ in range(6):
        await offer(rig)
        [row] = await rig.rows(
            "SELECT r.video_id, r.scene_number FROM renders r JOIN attempts a ON a.video_id = r.video_id "
            f"AND a.scene_number = r.scene_number WHERE a.id = '{rig.ledger.taken[-1]}'"
        )
        order.append((UUID(row[0]).int, row[1]))
    assert order == [(1, 1), (2, 1), (1, 2), (1, 3), (9, 1), (9, 2)]
