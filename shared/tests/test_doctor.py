"""The checks of every service, and the handling of failed checks and fixes."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import aio_pika
import pytest
from sqlalchemy import update

from shared.consistency import Check, Examined, Finding
from shared.contracts.events import VideoComposing, VideoRequested
from shared.doctor.common import OF_EVERY_SERVICE
from shared.doctor.examination import Report, carry_out
from shared.doctor.queues import connected
from shared.messaging.topology import queues_of
from shared.persistence.database import Database, now
from shared.persistence.unit_of_work import transaction
from shared.storage.folder import FolderStorage


async def look(examined: Examined, *checks: Check, fix: bool = False) -> Report:
    report = Report("tested")
    for check in checks or OF_EVERY_SERVICE:
        await carry_out(check, examined, report, fix=fix)
    return report


async def emit(database: Database, **values: Any) -> None:
    async with transaction(database) as work:
        await work.emit(VideoComposing(video_id=UUID(int=7)))
        await work.session.execute(update(database.metadata.tables["outbox"]).values(values))


async def test_unsent_messages_are_reported_while_the_service_runs(database: Database) -> None:
    await emit(database, available_at=now(-300))
    assert not (await look(Examined(database, queues={}))).differs
    await emit(database, available_at=now(-3600))
    report = await look(Examined(database, queues={}))
    assert report.differs
    assert "outbox messages due for more than 10 minutes: 2" in str(report)
    # In the embedded mode a row stays until its message is handled.
    assert not (await look(Examined(database))).differs
    assert not (await look(Examined(database, queues={}, is_running=False))).differs


async def test_messages_that_the_broker_refuses_are_reported_by_name(database: Database) -> None:
    await emit(database, attempts=10)
    report = await look(Examined(database))
    assert "could not be sent in 10 attempts or more: 1 (video.composing)" in str(report)


async def test_a_storage_that_cannot_be_used_is_reported(sqlite: Database, tmp_path: Path) -> None:
    assert not (await look(Examined(sqlite, FolderStorage(tmp_path)))).differs
    report = await look(Examined(sqlite, FolderStorage(tmp_path / "missing")))
    assert "storage that cannot be used: 1; --fix does nothing: correct STORAGE_URL" in str(report)


async def raises(*_: object) -> AsyncIterator[Finding]:
    raise ConnectionError("the storage is away")
    yield


async def half(*_: object) -> AsyncIterator[Finding]:
    async def fix() -> int:
        return 1

    yield Finding("things", 2, "mend them", ["a", "b", "c", "d"], fix)


async def test_a_check_that_fails_differs_and_stops_no_other(sqlite: Database) -> None:
    report = await look(Examined(sqlite), Check("the moon", raises), Check("things", half))
    assert report.lines == [
        "tested: Could not check the moon: the storage is away",
        "tested: things: 2 (a, b, c, ...); --fix would mend them.",
    ]


async def test_what_a_fix_does_not_reach_still_differs(sqlite: Database) -> None:
    report = await look(Examined(sqlite), Check("things", half), fix=True)
    assert report.lines == ["tested: things: 2; fixed 1 of 2 (mend them)."]
    assert report.differs


@pytest.mark.connected
async def test_queues_that_are_missing_are_declared_and_bound(broker_url: str, sqlite: Database, hearing: Any) -> None:
    subscriptions = hearing(sqlite).router("tested", VideoRequested).subscriptions
    bound = queues_of("tested", subscriptions)
    consumed = [one.consumer for one in subscriptions]

    async def look_again(*, fix: bool = False) -> Report:
        async with connected(broker_url, "tested", bound, consumed) as queues:
            ready = await queues.look()
            return await look(Examined(sqlite, queues=ready), Check("queues", queues.find), fix=fix)

    assert "queues missing on RabbitMQ: 7" in str(await look_again())
    assert "fixed 7 of 7 (declare and bind them)" in str(await look_again(fix=True))
    report = await look_again()
    assert report.lines == [
        "tested: queues that no process consumes: 1 (tested.video.requested); --fix does nothing: start tested."
    ]
    async with await aio_pika.connect(broker_url) as connection, await connection.channel() as channel:
        for exchange, key in (("video", "video.requested"), ("video.return", "tested.video.requested")):
            target = await channel.get_exchange(exchange)
            await target.publish(aio_pika.Message(b"{}"), routing_key=key)
        dead = await channel.get_exchange("video.dead")
        await dead.publish(aio_pika.Message(b"{}"), routing_key="tested.video.requested")
        queue = await channel.get_queue("tested.video.requested")
        assert queue.declaration_result.message_count == 2
    assert "dead letters: 1; --fix does nothing: `make redrive`" in str(await look_again())
