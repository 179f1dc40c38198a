"""Outbox rows are sent after the commit, when they are due, and kept until they are confirmed."""

import asyncio
import contextlib
import json
from collections import Counter
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from shared.contracts.events import VideoComposing
from shared.contracts.messages import InternalMessage
from shared.persistence.database import Database
from shared.persistence.outbox import OutboxMessage, Relay
from shared.persistence.unit_of_work import transaction
from shared_testing.servers import eventually, published

VIDEO = UUID("2f1c9b9e-8f57-4a3f-9f9d-0d2b1b7f0b11")
EVENT = VideoComposing(video_id=VIDEO)


class Post:
    """A broker that records messages, and that a test can make unreachable."""

    def __init__(self) -> None:
        self.messages: list[OutboxMessage] = []
        self.away = False

    async def send(self, outbox_message: OutboxMessage) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise ConnectionError("away")
        self.messages.append(outbox_message)


@contextlib.asynccontextmanager
async def relaying(database: Database, post: Post, count: int = 1):
    tasks = [asyncio.create_task(Relay(database, post.send).run()) for _ in range(count)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_committed_messages_are_sent_and_deleted(database: Database) -> None:
    post = Post()
    async with relaying(database, post):
        async with transaction(database) as work:
            await work.emit(EVENT)
        await eventually(lambda: post.messages)
        await eventually(lambda: _is_empty(database))
    [outbox_message] = post.messages
    assert (outbox_message.name, outbox_message.ordering_key) == ("video.composing", str(VIDEO))
    assert VideoComposing.model_validate_json(outbox_message.body) == EVENT


async def test_rolled_back_messages_are_never_sent(database: Database) -> None:
    post = Post()
    async with relaying(database, post):
        with pytest.raises(ZeroDivisionError):
            async with transaction(database) as work:
                await work.emit(EVENT)
                raise ZeroDivisionError
        await asyncio.sleep(1.5)
    assert post.messages == []


async def test_events_wait_while_the_broker_is_unreachable(database: Database) -> None:
    post = Post()
    post.away = True
    async with relaying(database, post):
        async with transaction(database) as work:
            await work.emit(EVENT)
        await asyncio.sleep(0.5)
        assert len(await published(database, take=False)) == 1
        post.away = False
        await eventually(lambda: post.messages)


async def test_a_delayed_event_is_not_sent_early(database: Database) -> None:
    post = Post()
    async with relaying(database, post):
        async with transaction(database) as work:
            await work.emit(EVENT, after=1.2)
        await asyncio.sleep(0.6)
        assert post.messages == []
        await eventually(lambda: post.messages, seconds=5)


class Picky(Post):
    """A broker that refuses, or never confirms, each message with an id that starts with "bad"."""

    def __init__(self, hangs: bool = False) -> None:
        super().__init__()
        self.hangs = hangs
        self.refuses = True
        self.attempts: Counter[str] = Counter()

    async def send(self, outbox_message: OutboxMessage) -> None:
        if self.refuses and outbox_message.message_id.startswith("bad"):
            self.attempts[outbox_message.message_id] += 1
            if self.hangs:
                await asyncio.Event().wait()
            raise ValueError("unroutable")
        await super().send(outbox_message)

    def got(self) -> list[str]:
        return [outbox_message.message_id for outbox_message in self.messages]


async def emit(database: Database, *message_ids: str, video_id: UUID = VIDEO) -> None:
    async with transaction(database) as work:
        for message_id in message_ids:
            await work.emit(VideoComposing(video_id=video_id), message_id=message_id)


async def test_while_rows_keep_failing_others_are_sent_at_once(database: Database) -> None:
    post, bad, good = Picky(), [f"bad {n}" for n in range(50)], [str(n) for n in range(100)]
    await emit(database, *bad)
    async with relaying(database, post):
        for message_id in good:
            await emit(database, message_id)
            await eventually(lambda sent=message_id: sent in post.got(), every=0.005)
            # Each row has its own delay: with a common delay it would be retried together with every other row.
            assert max(post.attempts.values()) < 12
        assert set(post.attempts) == set(bad)
        assert post.got() == good
        await eventually(lambda: _holds(database, len(bad)))


async def test_rows_that_fail_with_the_same_error_are_logged_once(sqlite: Database) -> None:
    await emit(sqlite, *(f"bad {n}" for n in range(50)))
    with capture_logs() as logs:
        await Relay(sqlite, Picky().send).send_due()
    [line] = logs
    assert (line["event"], line["rows"], line["attempts"]) == ("outbox.not_sent", 50, 1)
    assert (line["event_name"], line["ordering_key"]) == ("video.composing", str(VIDEO))
    assert "unroutable" in line["error"]


@pytest.mark.connected
async def test_while_rows_hang_others_are_sent(mariadb: Database) -> None:
    post, bad, good = Picky(hangs=True), [f"bad {n}" for n in range(50)], [str(n) for n in range(200)]
    for n, message_id in enumerate((*bad, *good)):
        await emit(mariadb, message_id, video_id=UUID(int=n % 50) if n % 2 else VIDEO)
    async with relaying(mariadb, post):
        await eventually(lambda: len(post.got()) == len(good))
        assert sum(post.attempts.values()) < len(bad)
        assert sorted(post.got()) == sorted(good)


async def test_messages_of_one_video_stay_in_order_and_a_refused_one_is_sent_late_and_once(
    database: Database,
) -> None:
    post, accepted = Picky(), ["a", "b", "c", "d"]
    await emit(database, "a", "bad 1", "b", "c")
    async with relaying(database, post):
        await eventually(lambda: post.attempts["bad 1"] >= 2)
        await emit(database, "d")
        await eventually(lambda: len(post.got()) == len(accepted))
        post.refuses = False
        await eventually(lambda: _is_empty(database))
    assert post.got() == [*accepted, "bad 1"]


class ReportDue(InternalMessage):
    """A message about no video."""

    name = "hearer.report.due"

    report_id: str

    @property
    def ordering_key(self) -> str:
        return self.report_id


async def test_an_internal_message_has_a_key_of_its_own_and_no_video(database: Database) -> None:
    post = Post()
    async with transaction(database) as work:
        await work.emit(ReportDue(report_id="r-1"))
    async with relaying(database, post):
        await eventually(lambda: post.messages)
    [outbox_message] = post.messages
    assert (outbox_message.name, outbox_message.ordering_key) == ("hearer.report.due", "r-1")
    assert json.loads(outbox_message.body) == {"version": 1, "reportId": "r-1"}


async def test_a_row_that_an_earlier_version_saved_is_sent(database: Database) -> None:
    post = Post()
    columns = "message_id, name, video_id, headers, body, attempts, available_at, created_at"
    values = f"'m', 'video.composing', '{VIDEO}', '{{}}', '{EVENT.model_dump_json()}', 0, '2026-01-01', '2026-01-01'"
    async with database.sessions.begin() as session:
        connection = await session.connection()
        await connection.exec_driver_sql(f"INSERT INTO outbox ({columns}) VALUES ({values})")
    async with relaying(database, post):
        await eventually(lambda: post.messages)
    assert post.messages == [OutboxMessage("m", "video.composing", str(VIDEO), {}, EVENT.model_dump_json())]


@pytest.mark.connected
async def test_several_relays_send_each_event_once(mariadb: Database) -> None:
    post = Post()
    async with relaying(mariadb, post, count=3):
        for _ in range(20):
            async with transaction(mariadb) as work:
                for _ in range(10):
                    await work.emit(EVENT)
        await eventually(lambda: _is_empty(mariadb))
    assert len(post.messages) == 200
    assert len({outbox_message.message_id for outbox_message in post.messages}) == 200


async def _holds(database: Database, count: int) -> bool:
    return len(await published(database, take=False)) == count


async def _is_empty(database: Database) -> bool:
    return not await published(database, take=False)
