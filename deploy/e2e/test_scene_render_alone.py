"""The scene-render service on real servers, judged by the providers' own ledger.

Whatever happens to it at whatever point of the paid step: nothing is paid twice, no scene ends in a lie. However many
scenes wait: a provider never has more at once than it may. Runway cannot be asked whether it took a task; Luma can.
"""

import asyncio
import contextlib
import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from PIL import Image

from shared.contracts.events import CastRequested, SceneRequested
from shared.contracts.media import MediaReference
from shared.contracts.story import CastMember, Scene
from shared.persistence.database import Database
from shared.persistence.migration_files import folder_of
from shared.persistence.migrations import migrate
from shared_testing.broker import BrokerCorner
from shared_testing.ports import free_port
from shared_testing.s3_server import S3Server
from shared_testing.servers import eventually, fetch_json
from shared_testing.sql_server import SqlServer

pytestmark = pytest.mark.connected

RENDERED = ("rendered", 1)
UNKNOWN_UNSENT = ("submission_unknown", 0)
UNKNOWN = ("submission_unknown", 1)
FROZEN_SECONDS = 20
LANES_AT_ONCE = 5
"""Each reserves some hundred and twenty files of RabbitMQ."""
SIGNALS = ("SIGKILL", "SIGTERM", "SIGSTOP")

EXPECTED: dict[tuple[str, str], tuple[tuple[str, int], tuple[str, int], tuple[str, int]]] = {
    # The end of the scene and the number of the provider's tasks after SIGKILL, SIGTERM and a freeze of 20 s.
    ("runway", "before_intent"): (RENDERED, RENDERED, RENDERED),
    ("runway", "after_intent"): (UNKNOWN_UNSENT, RENDERED, RENDERED),
    ("runway", "post_in_flight"): (UNKNOWN, RENDERED, UNKNOWN),
    ("runway", "answer_lost"): (UNKNOWN, UNKNOWN, UNKNOWN),
    ("runway", "id_not_committed"): (UNKNOWN, RENDERED, RENDERED),
    ("runway", "polling"): (RENDERED, RENDERED, RENDERED),
    ("runway", "download_half"): (RENDERED, RENDERED, RENDERED),
    ("runway", "stored_uncommitted"): (RENDERED, RENDERED, RENDERED),
    ("luma", "after_intent"): (RENDERED, RENDERED, RENDERED),
    ("luma", "answer_lost"): (RENDERED, RENDERED, RENDERED),
    ("luma", "id_not_committed"): (RENDERED, RENDERED, RENDERED),
}


PICTURES_EXPECTED: dict[tuple[str, str], tuple[str, int]] = {
    # The end of the scene, and the number of tasks for this picture, after SIGKILL at Runway. Without its reference a
    # scene is described instead.
    ("reference", "before_intent"): ("rendered", 1),
    ("reference", "after_intent"): ("rendered", 0),
    ("reference", "answer_lost"): ("rendered", 1),
    ("reference", "id_not_committed"): ("rendered", 1),
    ("reference", "stored_uncommitted"): ("rendered", 1),
    ("first_frame", "before_intent"): ("rendered", 1),
    ("first_frame", "after_intent"): ("submission_unknown", 0),
    ("first_frame", "answer_lost"): ("submission_unknown", 1),
    ("first_frame", "id_not_committed"): ("submission_unknown", 1),
    ("first_frame", "polling"): ("rendered", 1),
    ("first_frame", "download_half"): ("rendered", 1),
    ("first_frame", "stored_uncommitted"): ("rendered", 1),
}


class Nursery:
    """Forks services that are ready in a moment."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("failing.py")
        self.popen = subprocess.Popen(
            [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def fork(self, **order: Any) -> int:
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        self.popen.stdin.write(json.dumps(order) + "\n")
        return int(self.popen.stdout.readline())


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.popen.terminate()
    nursery.popen.wait(10)


def runs(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@dataclass
class Lane:
    """One point at one provider: a vhost and a schema of its own, and the services that work on them."""

    nursery: Nursery
    simulator: Any
    rabbitmq: Callable[[], BrokerCorner]
    sql: SqlServer
    schema: str
    storage: dict[str, str]
    folder: Path
    provider: str
    pids: list[int] = field(default_factory=list)
    broker: BrokerCorner = field(init=False)

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        self.broker = self.rabbitmq()
        try:
            yield
        finally:
            for pid in filter(runs, self.pids):
                os.kill(pid, signal.SIGKILL)
            self.broker.remove()

    async def start(self, **failure: str) -> int:
        port = free_port()
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        environment = kept | self.simulator.environment(self.provider) | self.storage
        environment |= {"BROKER_URL": self.broker.url, "DATABASE_URL": self.sql.url(self.schema)}
        environment |= {"SUBMIT_SECONDS": "6", "HEALTH_PORT": str(port), "WORK_FOLDER": str(self.folder)}
        pid = self.nursery.fork(environment=environment, log=str(self.folder / "log"), **failure)
        self.pids.append(pid)

        async def is_ready() -> bool:
            url = f"http://127.0.0.1:{port}/readyz"
            return (await asyncio.to_thread(fetch_json, url, None, 2))[0] == 200

        await eventually(is_ready, 60, f"scene-render is ready, {self.log()}", every=0.2)
        return pid

    async def end(self) -> None:
        for pid in self.pids:
            if runs(pid):
                os.kill(pid, signal.SIGTERM)
        await eventually(lambda: not any(runs(pid) for pid in self.pids), 15, "the services end")
        self.pids.clear()

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text()[-2000:] if path.exists() else ""

    async def ask(
        self, prompt: str, *, scenes: int = 1, videos: int = 1, owner: str = "o", cast: tuple[CastMember, ...] = ()
    ) -> list[str]:
        """Ask for so many scenes of so many videos, with this cast; returns the videos' ids."""
        ids = [uuid.uuid4() for _ in range(videos)]
        connection = await aio_pika.connect(self.broker.url)
        async with connection:
            channel = await connection.channel()
            exchange = await channel.get_exchange("video")
            # No other service runs here to consume scene-render's events.
            others = await channel.declare_queue("others", arguments={"x-max-length": 1})
            await others.bind(exchange, "#")

            async def publish(event: CastRequested | SceneRequested) -> None:
                message = aio_pika.Message(event.model_dump_json().encode(), message_id=str(uuid.uuid4()))
                await exchange.publish(message, routing_key=event.name, mandatory=True)

            for video_id in ids if cast else ():
                await publish(CastRequested(video_id=video_id, cast=cast, owner=owner, priority="interactive"))
            for video_id, number in itertools.product(ids, range(1, scenes + 1)):
                scene = Scene(
                    scene_number=number, description="d", camera_angle="wide", duration=4, action="a", transition="cut"
                )
                request = SceneRequested(
                    video_id=video_id, scene=scene, scene_count=scenes, shot_prompt=prompt, clip_frames=96,
                    aspect_ratio="16:9", niche="n", owner=owner, priority="interactive", cast=cast,
                )  # fmt: skip
                await publish(request)
        return [str(video_id) for video_id in ids]

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.sql.run(f"USE {self.schema}", query)

    async def ended(self, video_id: str) -> str:
        """How the scene ended: rendered, or the kind of its failure. A failure may still be mended by late news."""
        query = f"SELECT state, failure_kind FROM renders WHERE video_id = '{video_id}' AND scene_number < 100"

        def end() -> str | None:
            found = self.rows(query)
            state, kind = found[0] if found else ("", None)
            return {"rendered": "rendered", "failed": kind}.get(state)

        return await eventually(end, 60, f"the scene ends: {self.rows(query)}; {self.log()}", every=0.3)

    def tasks(self, prompt: str) -> list[dict[str, Any]]:
        return [task for task in self.simulator.tasks() if prompt in task["prompt"]]


@pytest.fixture(scope="module")
def lane(
    nursery: Nursery, simulator: Any, rabbitmq: Callable[[], BrokerCorner], sql_server: SqlServer,
    schema: Callable[[], str], s3: S3Server, tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Lane]:  # fmt: skip
    import scene_render.app
    from scene_render.models import Base

    bucket = s3.new_bucket()
    storage = {**s3.environment, "STORAGE_URL": f"s3://{bucket}?endpoint={s3.endpoint}"}

    def make(provider: str) -> Lane:
        name, folder = schema(), tmp_path_factory.mktemp("lane")

        async def prepare() -> None:
            database = Database(sql_server.url(name), Base.metadata)
            await migrate(database, folder_of(scene_render.app.__file__))
            await database.close()

        asyncio.run(prepare())
        return Lane(nursery, simulator, rabbitmq, sql_server, name, storage, folder, provider)

    return make


async def fail(lane: Lane, point: str, number: str) -> tuple[str, int]:
    """Let the service fail at this point, help it up again, and see how its scene ends."""
    prompt = f"{lane.provider} {point} {number} {uuid.uuid4().hex}"
    marker = lane.folder / f"{point}-{number}"
    ledger = f"{lane.simulator.url}/control/ledger"
    pid = await lane.start(point=point, signal=number, prompt=prompt, ledger=ledger, marker=str(marker))
    [video_id] = await lane.ask(prompt)
    await eventually(marker.exists, 60, f"{point} is reached; {lane.log()}", every=0.05)
    if number == "SIGSTOP":
        await lane.start()
        await asyncio.sleep(FROZEN_SECONDS)
        os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(3)
    else:
        await eventually(lambda: not runs(pid), 12, f"the service ends within ten seconds of {number}")
        await lane.start()
    how = await lane.ended(video_id)
    if number == "SIGSTOP" and how != "rendered":
        await asyncio.sleep(3)
        how = await lane.ended(video_id)
    tasks = lane.tasks(prompt)
    spend = f"SELECT SUM(reserved_usd), SUM(booked_usd) FROM spend WHERE video_id = '{video_id}'"
    held, booked = lane.rows(spend)[0]
    charged = sum(Decimal(task["chargedUsd"]) for task in tasks)
    if how == "rendered":
        assert (held, booked) == (0, charged), f"{point} {number}: the books are not the provider's"
    else:
        assert (held > 0, booked) == (True, 0), f"{point} {number}: the money of an unknown attempt is held"
    taken = "SELECT a.state FROM provider_slots s JOIN attempts a ON a.id = s.attempt_id"
    assert {state for (state,) in lane.rows(taken)} <= {"UNKNOWN"}, f"{point} {number}: a slot is lost"
    await lane.end()
    return how, len(tasks)


def test_at_every_point_of_the_paid_step(lane: Callable[[str], Lane], simulator: Any) -> None:
    seats = asyncio.Semaphore(LANES_AT_ONCE)
    lanes = {key: lane(key[0]) for key in EXPECTED}

    async def drive(key: tuple[str, str]) -> tuple[tuple[str, int], ...]:
        provider, point = key
        async with seats:
            with lanes[key].open():
                await asyncio.to_thread(_prepare_faults, simulator, provider, point)
                return tuple([await fail(lanes[key], point, number) for number in SIGNALS])

    async def drive_all() -> dict[tuple[str, str], Any]:
        # A task of Luma's beforehand: its list shows markers, so that what is missing in it is surely absent.
        beforehand = next(one for one in lanes.values() if one.provider == "luma")
        with beforehand.open():
            await beforehand.start()
            await beforehand.ended(*await beforehand.ask("beforehand"))
            await beforehand.end()
        results = await asyncio.gather(*(drive(key) for key in EXPECTED), return_exceptions=True)
        return dict(zip(EXPECTED, results, strict=True))

    try:
        assert asyncio.run(drive_all()) == EXPECTED
    finally:
        simulator.control("faults/clear", {})


async def fail_at_picture(lane: Lane, product: str, point: str, own: MediaReference) -> tuple[str, int]:
    """Kill the service at this point of a picture, help it up again, and see how its scene ends."""
    prompt = f"{lane.provider} {point} {product} {uuid.uuid4().hex}"
    marker = lane.folder / f"{point}-{product}"
    ledger = f"{lane.simulator.url}/control/ledger"
    pid = await lane.start(point=point, signal="SIGKILL", prompt=prompt, ledger=ledger, marker=str(marker))
    # The first paid step is the reference picture, or with a picture from the request, the first frame.
    is_reference = product == "reference"
    mara = CastMember(name="Mara", look=prompt if is_reference else "", image=None if is_reference else own)
    [video_id] = await lane.ask(f"The harbour of {uuid.uuid4().hex}" if is_reference else prompt, cast=(mara,))
    await eventually(marker.exists, 60, f"{point} is reached; {lane.log()}", every=0.05)
    await eventually(lambda: not runs(pid), 12, "the service is killed")
    await lane.start()
    how = await lane.ended(video_id)
    of_video = f"FROM attempts WHERE video_id = '{video_id}'"
    ids = {task_id for (task_id,) in lane.rows(f"SELECT task_id {of_video} AND task_id IS NOT NULL")}
    pictures = [task for task in lane.tasks(prompt) if task["kind"] == "picture"]
    charged = {task["id"]: Decimal(task["chargedUsd"]) for task in lane.simulator.tasks()}
    [(held, booked)] = lane.rows(f"SELECT SUM(reserved_usd), SUM(booked_usd) FROM spend WHERE video_id = '{video_id}'")
    unknown = lane.rows(f"SELECT product {of_video} AND state = 'UNKNOWN'")
    assert booked == sum(charged[task_id] for task_id in ids), f"{product} {point}: the books are not the provider's"
    assert (held > 0) == bool(unknown), f"{product} {point}: the money of an unknown attempt is held"
    await lane.end()
    return how, len(pictures)


def test_at_every_point_of_a_paid_picture(lane: Callable[[str], Lane], simulator: Any, s3: S3Server) -> None:
    seats = asyncio.Semaphore(LANES_AT_ONCE)
    lanes = {key: lane("runway") for key in PICTURES_EXPECTED}

    async def drive(key: tuple[str, str]) -> tuple[str, int]:
        one, (product, point) = lanes[key], key
        async with seats:
            with one.open():
                if point == "answer_lost":
                    about = f"runway {point} {product} "
                    fault = _fault(about, times=1, drop=True, done=True)
                    await asyncio.to_thread(simulator.control, "faults", fault)
                return await fail_at_picture(one, product, point, await _portrait(one, s3))

    async def drive_all() -> dict[tuple[str, str], Any]:
        results = await asyncio.gather(*map(drive, PICTURES_EXPECTED), return_exceptions=True)
        return dict(zip(PICTURES_EXPECTED, results, strict=True))

    try:
        assert asyncio.run(drive_all()) == PICTURES_EXPECTED
    finally:
        simulator.control("faults/clear", {})


async def _portrait(lane: Lane, s3: S3Server) -> MediaReference:
    """Store a picture of a person, as the request brings one."""
    path = lane.folder / "portrait.jpg"
    Image.linear_gradient("L").resize((640, 640)).convert("RGB").save(path)
    bucket = lane.storage["STORAGE_URL"].removeprefix("s3://").partition("?")[0]
    data = path.read_bytes()
    await asyncio.to_thread(s3.client().put_object, Bucket=bucket, Key="uploads/portrait.jpg", Body=data)
    digest = hashlib.sha256(data).hexdigest()
    return MediaReference(key="uploads/portrait.jpg", content_type="image/jpeg", size=len(data), sha256=digest)


def _prepare_faults(simulator: Any, provider: str, point: str) -> None:
    about = f"{provider} {point} "
    if point == "post_in_flight":
        simulator.control("faults", _fault(about, hang=1.5, done=True))
    if point == "answer_lost":
        simulator.control("faults", _fault(about, drop=True, done=True))


def _fault(about: str, **what: Any) -> dict[str, Any]:
    return {"operation": "create", "times": None, "prompt": about, **what}


def test_a_provider_never_has_more_tasks_than_it_may_and_owners_take_turns(
    lane: Callable[[str], Lane], simulator: Any, request: pytest.FixtureRequest
) -> None:
    """Sixty scenes in `make test`, five hundred in `make test-all`, on two replicas and a limit of five."""
    count = 500 if request.config.getoption("--all") else 60
    one = lane("pika")

    async def drive() -> None:
        await asyncio.gather(one.start(), one.start())
        await one.ask("of the large owner", scenes=5, videos=count // 5 - 1, owner="large")
        await eventually(lambda: len(one.tasks("of the large owner")) >= 10, 60, "the first ten are ordered")
        await one.ask("of the small owner", scenes=5, owner="small")
        rendered = "SELECT COUNT(*) FROM renders WHERE state = 'rendered'"
        await eventually(lambda: one.rows(rendered) == [(count,)], 400, f"{one.rows(rendered)} {one.log()}", every=1.0)
        await one.end()

    with one.open():
        asyncio.run(drive())
    assert simulator.peak("pika") == 5
    tasks = sorted(one.tasks("owner"), key=lambda task: task["createdAt"])
    assert len(tasks) == count
    places = [place for place, task in enumerate(tasks) if "small" in task["prompt"]]
    assert places[-1] - places[0] <= 12, f"the small owner's five scenes were ordered at {places} of {count}"
    [(held, booked)] = one.rows("SELECT SUM(reserved_usd), SUM(booked_usd) FROM spend")
    assert (held, booked) == (0, sum(Decimal(task["chargedUsd"]) for task in tasks))
    assert one.rows("SELECT COUNT(*) FROM provider_slots WHERE attempt_id IS NOT NULL") == [(0,)]
