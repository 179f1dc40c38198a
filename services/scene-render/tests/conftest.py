import contextlib
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from scene_render import app as scene_render_app
from scene_render.animatic_provider import AnimaticStudio
from scene_render.handlers import Tools, story
from scene_render.models import Base
from scene_render.provider import Absent, Found, Running, Succeeded, Unknowable
from scene_render.turns import provide_slots
from shared.contracts.events import Event, SceneRequested
from shared.contracts.story import Scene
from shared.database import Database
from shared.ffmpeg import Ffmpeg
from shared.handling import Delivery
from shared.migrations import folder_of
from shared.storage import FolderStorage
from shared.testing import delivery, migrated

FRAMES = 24


class Ledger:
    """A paid provider that writes down every task it takes, and answers as it is told."""

    name = "ledger"
    concurrency = 2
    submit_seconds = 1.0
    attempt_seconds = 60.0

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.answer: Callable[[str], str] = lambda attempt_id: f"task-{attempt_id}"
        self.found: Found | Absent | Unknowable = Unknowable()
        self.status: Any = Succeeded(cost=Decimal("0.60"))
        self.clip: Path | None = None

    def lose_answers(self, error: Exception) -> None:
        """Take tasks from now on, but never say so."""

        def answer(_attempt_id: str) -> str:
            raise error

        self.answer = answer

    def price(self, _request: SceneRequested) -> Decimal:
        return Decimal("0.75")

    def expects(self, _request: SceneRequested) -> Running:
        return Running(percent=0, eta=30, check_after=10)

    async def submit(self, attempt_id: str, _request: SceneRequested) -> str:
        self.taken.append(attempt_id)
        return self.answer(attempt_id)

    async def find(self, _attempt_id: str) -> Found | Absent | Unknowable:
        return self.found

    async def check(self, _task_id: str) -> Any:
        if isinstance(self.status, Exception):
            raise self.status
        return self.status

    async def fetch(self, _task_id: str, target: Path) -> None:
        assert self.clip is not None
        target.write_bytes(self.clip.read_bytes())

    async def cancel(self, _task_id: str) -> bool:
        return True


class Hints:
    def __init__(self) -> None:
        self.told: list[Event] = []

    async def hint(self, event: Event) -> None:
        self.told.append(event)


class Desk:
    """The service's handlers on a database, with a provider that keeps a ledger."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.ledger = Ledger()
        self.hints = Hints()
        storage, ffmpeg = FolderStorage(folder), Ffmpeg()
        studio = AnimaticStudio(database, storage, ffmpeg, 2, None)
        providers: Any = {self.ledger.name: self.ledger, studio.name: studio}
        self.tools = Tools(database, providers, "ledger", studio, storage, ffmpeg, self.hints, None)
        self.database = database

    async def hear(self, event: Event, message_id: str | None = None) -> None:
        """Have the handler of this event handle it."""
        [subscription] = [one for one in story.subscriptions if one.event is type(event)]
        at_hand: Delivery = delivery(subscription.consumer, message_id)
        await subscription.handler(event, at_hand, self.tools)

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        async with self.database.reading() as session:
            return [tuple(row) for row in await session.execute(text(query))]


@contextlib.asynccontextmanager
async def _desk(url: str, folder: Path) -> AsyncIterator[Desk]:
    async with migrated(url, Base.metadata, folder_of(scene_render_app.__file__)) as database:
        desk = Desk(database, folder)
        await provide_slots(database, desk.tools.providers.values())
        yield desk


@pytest.fixture
async def sqlite_desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with _desk(f"sqlite+aiosqlite:///{tmp_path}/r.db", tmp_path / "media") as desk:
        yield desk


@pytest.fixture
async def mariadb_desk(sql_server, schema, tmp_path: Path) -> AsyncIterator[Desk]:
    async with _desk(sql_server.url(schema()), tmp_path / "media") as desk:
        yield desk


@pytest.fixture(params=["sqlite_desk", pytest.param("mariadb_desk", marks=pytest.mark.connected)])
def desk(request: pytest.FixtureRequest) -> Desk:
    desk: Desk = request.getfixturevalue(request.param)
    return desk


@pytest.fixture
def scene() -> Callable[..., SceneRequested]:
    def requested(number: int = 1, video: int = 1, **changes: Any) -> SceneRequested:
        return SceneRequested(
            **{
                "video_id": UUID(int=video),
                "scene": Scene(
                    scene_number=number, description="d", camera_angle="wide", duration=1, action="a", transition="cut"
                ),
                "scene_count": 5,
                "shot_prompt": "p",
                "clip_frames": FRAMES,
                "aspect_ratio": "16:9",
                "niche": "food",
                "owner": "o",
                "priority": "interactive",
                **changes,
            }
        )

    return requested
