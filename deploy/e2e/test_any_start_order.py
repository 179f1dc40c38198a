"""An empty broker, and services that start one by one: no event is lost to one that has not run yet."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.contracts.events import EVENTS
from shared.messaging import topology
from shared_testing.broker import BrokerCorner
from shared_testing.servers import eventually
from shared_testing.sql_server import SqlServer

pytestmark = pytest.mark.connected


@pytest.mark.parametrize(
    ("order", "has_definitions"),
    [
        pytest.param(("composer", "scene-render", "storyboard"), False, id="last first, declared"),
        pytest.param(
            ("storyboard", "scene-render", "composer"),
            True,
            id="first first, loaded by the broker",
            marks=pytest.mark.long,
        ),
    ],
)
async def test_a_film_is_made_in_every_start_order(
    order: tuple[str, ...],
    has_definitions: bool,
    run_stack: Callable[..., Any],
    rabbitmq: Callable[[], BrokerCorner],
    sql_server: SqlServer,
    schema: Callable[[], str],
    s3: Any,
    simulator: Any,
) -> None:
    broker = rabbitmq()
    settings = {} if has_definitions else {"BROKER_URL": broker.url}
    with run_stack(broker, sql_server, schema, s3, simulator, start=False, settings=settings) as stack:
        if has_definitions:
            broker.load(topology.definitions(EVENTS, broker.vhost))
        stack.migrate()
        await stack.add("gateway").ready()
        video_id = stack.ask(sceneCount=1)["videoId"]
        for service in order:
            # All events so far have left the outboxes: they are confirmed but not consumed yet.
            await eventually(lambda: not stack.rows("gateway", "SELECT name FROM outbox"), what="the outbox is empty")
            await stack.add(service).ready()
        video = await stack.ended(video_id)
        assert video["status"] == "completed", video
        await stack.is_quiet()
