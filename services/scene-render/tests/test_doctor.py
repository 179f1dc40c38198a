"""The findings and fixes of `doctor` in the scene-render service."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, select, update

from scene_render import app
from scene_render.internal_messages import ClipReady
from scene_render.models import Attempt, Base, ProviderSlot, ProviderState, Render, Spend, budgets
from scene_render.settings import Settings
from shared.contracts.media import Clip, MediaReference, clip_key
from shared.doctor.examination import examine
from shared.messaging.event_router import NullPublisher
from shared.persistence.database import Database, now
from shared.persistence.migration_files import folder_of
from shared_testing.servers import migrated, published

MIGRATIONS = folder_of(app.__file__)
VIDEO, ATTEMPT = UUID(int=7), UUID(int=8)
NOTHING = "scene-render: nothing differs."
Doctor = Callable[..., Awaitable[str]]


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with migrated(f"sqlite+aiosqlite:///{tmp_path}/r.db", Base.metadata, MIGRATIONS) as database:
        yield database


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    async def run(*, fix: bool = False, storage_url: str = (tmp_path / "media").as_uri()) -> str:
        settings = Settings(database_url=f"sqlite+aiosqlite:///{tmp_path}/r.db", storage_url=storage_url)
        return str(await examine(app.build(settings, NullPublisher()), MIGRATIONS, fix=fix))

    return run


def render(state: str, **values: Any) -> Render:
    known = {"video_id": str(VIDEO), "scene_number": 1, "request": {}, "owner": "anna", "batch": False}
    times = {"available_at": now(), "requested_at": now()}
    return Render(**(known | times | {"provider": "luma", "state": state, "parts": []} | values))


def attempt(state: str, **values: Any) -> Attempt:
    known = {"id": str(ATTEMPT), "video_id": str(VIDEO), "scene_number": 1, "number": 1, "provider": "luma"}
    return Attempt(**(known | {"state": state, "intended_at": now(-10_000), "part": 0} | values))


def clip() -> dict[str, Any]:
    media = MediaReference(key=clip_key(VIDEO, 1, 1), content_type="video/mp4", size=1, sha256="0" * 64)
    return Clip(media=media, width=1, height=1, frames=1, has_audio=False).model_dump(mode="json")


async def plant(database: Database, *rows: Any) -> None:
    async with database.sessions.begin() as session:
        for row in rows:
            session.add(row)
            await session.flush()


def store(folder: Path) -> Path:
    path = folder / "media" / clip_key(VIDEO, 1, 1)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"c")
    os.utime(path, (0, 0))
    return path


async def test_nothing_differs_while_a_scene_is_rendered(database: Database, doctor: Doctor) -> None:
    slot = ProviderSlot(provider="luma", number=0, attempt_id=str(ATTEMPT))
    await plant(database, render("running"), attempt("SUBMITTED"), slot)
    assert await doctor() == NOTHING


@pytest.mark.parametrize("state", ["SUCCEEDED", "FAILED", "CANCELLED", None])
async def test_a_slot_of_an_attempt_that_has_ended_is_freed(
    database: Database, doctor: Doctor, state: str | None
) -> None:
    rows = [render("failed"), attempt(state)] if state else []
    await plant(database, *rows, ProviderSlot(provider="luma", number=0, attempt_id=str(ATTEMPT)))
    assert f"held by attempts that have ended or do not exist: 1 ({ATTEMPT})" in await doctor()
    assert "fixed 1 of 1 (free them)" in await doctor(fix=True)
    assert await doctor() == NOTHING


@pytest.mark.parametrize("state", ["INTENT", "SUBMITTED", "UNKNOWN"])
async def test_a_slot_of_an_attempt_that_may_still_run_stays_taken(
    database: Database, doctor: Doctor, state: str
) -> None:
    slot = ProviderSlot(provider="luma", number=0, attempt_id=str(ATTEMPT))
    await plant(database, render("failed"), attempt(state), slot)
    await doctor(fix=True)
    async with database.reading() as session:
        assert await session.scalar(select(ProviderSlot.attempt_id)) == str(ATTEMPT)


async def test_differences_in_money_are_reported_and_not_changed(database: Database, doctor: Doctor) -> None:
    spend = Spend(
        attempt_id=str(ATTEMPT), video_id=str(VIDEO), owner="anna", provider="luma", day="2026-01-01",
        reserved_usd=Decimal("0.5"), reserved_at=now(),
    )  # fmt: skip
    used = {"scope": "all", "day": "2026-01-01", "used": 5000, "opened_at": now()}
    await plant(database, render("failed"), attempt("FAILED"), spend)
    async with database.sessions.begin() as session:
        await session.execute(insert(budgets).values(used))
    for fix in (False, True, False):
        report = await doctor(fix=fix)
        assert f"reservations of attempts that have ended or do not exist: 1 ({ATTEMPT})" in report
        assert "daily budgets" not in report
    async with database.sessions.begin() as session:
        await session.execute(update(budgets).values(used=4999))
        await session.execute(update(Attempt).values(state="UNKNOWN"))
    report = await doctor(fix=True)
    assert "daily budgets that differ from what attempts reserved and cost: 1 (all 2026-01-01)" in report
    assert f"attempts that may have been paid without an answer: 1 ({ATTEMPT})" in report


@pytest.mark.parametrize("open_until", [None, now(60)])
async def test_overdue_scenes_and_attempts_are_reported(database: Database, doctor: Doctor, open_until: Any) -> None:
    late = now(-1000)
    state = ProviderState(provider="luma", failures=0, open_until=open_until)
    await plant(database, render("waiting", available_at=late), attempt("SUBMITTED", next_check_at=late), state)
    assert "while a slot is free" not in await doctor()
    await plant(database, ProviderSlot(provider="luma", number=0))
    report = await doctor()
    assert ("while a slot is free: 1" in report) == (open_until is None)
    assert f"attempts whose check is overdue by more than 10 minutes: 1 ({ATTEMPT})" in report


async def test_a_scene_without_an_attempt_is_reported_and_never_ordered(database: Database, doctor: Doctor) -> None:
    await plant(database, render("running"), attempt("FAILED"))
    assert f"running scenes that no attempt can complete: 1 ({VIDEO} scene 1)" in await doctor(fix=True)
    async with database.reading() as session:
        assert await session.scalar(select(Render.state)) == "running"
    assert await published(database) == []


async def test_a_clip_with_a_lost_message_is_fetched(database: Database, doctor: Doctor) -> None:
    await plant(database, render("running"), attempt("SUCCEEDED", ended_at=now(-10_000)))
    assert f"that no message fetches: 1 ({VIDEO} scene 1)" in await doctor()
    assert "fixed 1 of 1 (fetch them)" in await doctor(fix=True)
    assert await doctor() == NOTHING
    assert await published(database) == [ClipReady(video_id=VIDEO, attempt_id=ATTEMPT)]


async def test_a_rendered_scene_without_its_clip_is_reported(
    database: Database, doctor: Doctor, tmp_path: Path
) -> None:
    await plant(database, render("rendered", clip=clip()))
    assert f"rendered scenes whose clip is missing from the storage: 1 ({VIDEO} scene 1)" in await doctor(fix=True)
    store(tmp_path)
    assert await doctor() == NOTHING


async def test_clips_of_an_expired_video_are_removed(database: Database, doctor: Doctor, tmp_path: Path) -> None:
    await plant(database, render("rendered", clip=None))
    path = store(tmp_path)
    assert "clips of expired videos that are still stored: 1" in await doctor()
    assert path.exists()
    assert "fixed 1 of 1 (remove them)" in await doctor(fix=True)
    assert not path.exists()


async def test_clips_of_an_unknown_video_are_reported_and_kept(
    database: Database, doctor: Doctor, tmp_path: Path
) -> None:
    path = store(tmp_path)
    assert f"stored clips of videos that scene-render does not know: 1 ({VIDEO})" in await doctor(fix=True)
    assert path.exists()


@pytest.mark.connected
async def test_missing_bucket_rules_are_added_to_existing_ones(
    database: Database, doctor: Doctor, s3: Any, bucket: str
) -> None:
    client = s3.client()
    foreign = {"ID": "backups", "Status": "Enabled", "Filter": {"Prefix": "b/"}, "Expiration": {"Days": 9}}
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [foreign]})
    url = f"s3://{bucket}?endpoint={s3.endpoint}"
    missing = "lifecycle rules missing from the bucket: 2 (multishot-uploads, multishot-animatics)"
    assert missing in await doctor(storage_url=url)
    assert "fixed 2 of 2 (set them)" in await doctor(storage_url=url, fix=True)
    assert await doctor(storage_url=url) == NOTHING
    rules = client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert {rule["ID"] for rule in rules} == {"backups", "multishot-uploads", "multishot-animatics"}
