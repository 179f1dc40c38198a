"""The findings and fixes of `doctor` in the storyboard service."""

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from shared.doctor.examination import examine
from shared.messaging.event_router import NullPublisher
from shared.persistence.database import Database, now
from shared.persistence.migration_files import folder_of
from shared_testing.servers import migrated
from storyboard import app
from storyboard.models import Base, LlmAnswerRow, StoryboardRow, budgets
from storyboard.settings import Settings

MIGRATIONS = folder_of(app.__file__)
VIDEO = "00000000-0000-0000-0000-000000000007"
NOTHING = "storyboard: nothing differs."


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with migrated(f"sqlite+aiosqlite:///{tmp_path}/s.db", Base.metadata, MIGRATIONS) as database:
        yield database


async def doctor(folder: Path, *, fix: bool = False) -> str:
    settings = Settings(database_url=f"sqlite+aiosqlite:///{folder}/s.db")
    return str(await examine(app.build(settings, NullPublisher()), MIGRATIONS, fix=fix))


def answer(**values: Any) -> LlmAnswerRow:
    row = {"request_hash": "h", "model": "m", "turn": 0, "video_id": VIDEO, "answer": "", "refused": False}
    tokens = {"input_tokens": 1, "output_tokens": 1, "cost_usd": Decimal("0.000123"), "created_at": now()}
    return LlmAnswerRow(**(row | tokens | values))


def storyboard(**values: Any) -> StoryboardRow:
    empty = {"request": {}, "storyboard": {}, "repairs": None}
    return StoryboardRow(**({"video_id": VIDEO, "request_hash": "h", "created_at": now()} | empty | values))


@pytest.mark.parametrize(
    "rows",
    [
        [storyboard(state="deleted", request={"prompt": "secret"})],
        [storyboard(state="deleted"), answer(answer="secret")],
    ],
    ids=["request", "answer"],
)
async def test_text_of_a_deleted_video_is_erased(database: Database, tmp_path: Path, rows: list[Any]) -> None:
    async with database.sessions.begin() as session:
        session.add_all(rows)
    assert f"deleted videos whose text is still saved: 1 ({VIDEO}); --fix would erase it." in await doctor(tmp_path)
    assert "fixed 1 of 1" in await doctor(tmp_path, fix=True)
    assert await doctor(tmp_path) == NOTHING


async def test_a_reservation_without_an_answer_is_reported_and_kept(database: Database, tmp_path: Path) -> None:
    budget = {"scope": f"video:{VIDEO}", "day": "", "used": 2, "opened_at": now(-7200)}
    async with database.sessions.begin() as session:
        session.add(answer())
        await session.execute(insert(budgets).values(budget))
    assert await doctor(tmp_path) == NOTHING
    async with database.sessions.begin() as session:
        await session.execute(budgets.update().values(used=3))
    for fix in (False, True, False):
        report = await doctor(tmp_path, fix=fix)
        assert f"videos with money held for model answers that are not saved: 1 ({VIDEO})" in report
