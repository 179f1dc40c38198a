"""The findings and fixes of `doctor` in the composer."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from composer import app
from composer.internal_messages import ClipsCollected
from composer.models import Base, Film, FilmClip
from composer.settings import Settings
from shared.contracts.media import film_key
from shared.doctor.examination import examine
from shared.messaging.event_router import NullPublisher
from shared.persistence.database import Database, now
from shared.persistence.migration_files import folder_of
from shared_testing.servers import migrated, published

VIDEO = UUID(int=7)
MIGRATIONS = folder_of(app.__file__)
STORYBOARD = {"scenes": [{"sceneNumber": 1}, {"sceneNumber": 2}]}


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with migrated(f"sqlite+aiosqlite:///{tmp_path}/c.db", Base.metadata, MIGRATIONS) as database:
        yield database


async def plant(database: Database, *rows: Any) -> None:
    async with database.sessions.begin() as session:
        session.add_all(rows)


async def doctor(folder: Path, *, fix: bool = False) -> str:
    media = folder / "media"
    media.mkdir(exist_ok=True)
    settings = Settings(database_url=f"sqlite+aiosqlite:///{folder}/c.db", storage_url=media.as_uri())
    return str(await examine(app.build(settings, NullPublisher()), MIGRATIONS, fix=fix))


def film(state: str, **values: Any) -> Film:
    return Film(video_id=str(VIDEO), state=state, begun_at=now(-10_000), **values)


def store(folder: Path, video_id: UUID) -> Path:
    path = folder / "media" / film_key(video_id)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"film")
    os.utime(path, (0, 0))
    return path


async def test_nothing_differs(database: Database, tmp_path: Path) -> None:
    await plant(database, film("composed", film={"title": "t"}))
    store(tmp_path, VIDEO)
    assert await doctor(tmp_path) == "composer: nothing differs."


async def test_a_film_with_a_lost_message_is_composed_again(database: Database, tmp_path: Path) -> None:
    await plant(database, film("composing"))
    assert "whose composing no message continues: 1" in await doctor(tmp_path)
    assert await published(database) == []
    assert "fixed 1 of 1" in await doctor(tmp_path, fix=True)
    assert await doctor(tmp_path) == "composer: nothing differs."
    assert await published(database) == [ClipsCollected(video_id=VIDEO)]


async def test_a_film_that_missed_its_last_clip_is_composed(database: Database, tmp_path: Path) -> None:
    clips = [FilmClip(video_id=str(VIDEO), scene_number=number, clip={}) for number in (1, 2)]
    await plant(database, film("gathering", storyboard=STORYBOARD), clips[0])
    assert await doctor(tmp_path) == "composer: nothing differs."
    await plant(database, clips[1])
    assert f"films whose clips are all there but which are not composed: 1 ({VIDEO})" in await doctor(tmp_path)
    await doctor(tmp_path, fix=True)
    assert await published(database) == [ClipsCollected(video_id=VIDEO)]


@pytest.mark.parametrize("state", ["cancelled", "composed"])
async def test_films_of_videos_that_are_gone_are_removed(database: Database, tmp_path: Path, state: str) -> None:
    await plant(database, film(state, film=None))
    path = store(tmp_path, VIDEO)
    assert "that are still stored: 1" in await doctor(tmp_path)
    assert path.exists()
    assert "fixed 1 of 1" in await doctor(tmp_path, fix=True)
    assert not path.exists()


async def test_a_film_of_an_unknown_video_is_reported_and_kept(database: Database, tmp_path: Path) -> None:
    path = store(tmp_path, VIDEO)
    report = await doctor(tmp_path, fix=True)
    assert f"stored films of videos that the composer does not know: 1 ({VIDEO})" in report
    assert "--fix does nothing" in report
    assert path.exists()
