"""After a kill at any point, paid answers are used and there is one storyboard."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import uvicorn
from pydantic import SecretStr
from sqlalchemy import func, select

from shared.contracts.events import StoryboardCreated, VideoRequested
from shared.messaging.event_router import Delivery
from shared.messaging.message_processor import Handled, process
from shared.persistence.migration_files import folder_of
from shared_testing.ports import free_port
from shared_testing.servers import eventually, fetch_json, migrated, published
from simulator.llm.app import llm_app
from storyboard import app
from storyboard.handlers import router
from storyboard.models import Base, StoryboardRow
from storyboard.settings import Settings

pytestmark = pytest.mark.slow

DYING = """
import asyncio, json, os, signal, sys
from pydantic import SecretStr
from shared.messaging.message_processor import process
from shared.messaging.event_router import Delivery
from storyboard import agent, app, handlers
from storyboard.answers import Answers
from storyboard.settings import Settings

url, llm, messages = sys.argv[1:]
keep = Answers.keep

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def run(moment, message_id, body):
    async def dying(*arguments):
        if moment == "answered":
            die()
        answer = await keep(*arguments)
        if moment == "kept":
            die()
        return answer

    Answers.keep = dying
    service = app.build(Settings(database_url=SecretStr(url), llm_api_url=llm), None)
    delivery = Delivery("storyboard.video.requested", message_id)
    asyncio.run(process(service, handlers.router.subscriptions[0], delivery, body.encode()))
    die()

# A process for each, forked from one that has imported everything, which takes seconds.
for moment, message_id, body in json.loads(messages):
    child = os.fork()
    if not child:
        run(moment, message_id, body)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
"""
EXTRA_CALLS = {"answered": 1, "kept": 0, "committed": 0}
"""The number of repeated model calls, by the moment of the kill."""


@contextlib.asynccontextmanager
async def simulator() -> AsyncIterator[str]:
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(llm_app(), port=port, log_level="warning", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    await eventually(lambda: server.started, what="the simulator listens", every=0.02)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await serving


async def test_a_kill_between_the_answer_and_the_commit_costs_one_call_at_most(tmp_path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/storyboard.db"
    requests = {moment: VideoRequested(video_id=uuid4(), prompt=f"A fox is {moment}") for moment in EXTRA_CALLS}
    messages = [(moment, moment, request.model_dump_json()) for moment, request in requests.items()]
    async with simulator() as llm, migrated(url, Base.metadata, folder_of(app.__file__)) as database:
        arguments = (sys.executable, "-c", DYING, url, llm, json.dumps(messages))
        killed = await asyncio.create_subprocess_exec(*arguments, cwd=tmp_path)
        assert await killed.wait() == 0
        service = app.build(Settings(database_url=SecretStr(url), llm_api_url=llm), None)
        for moment, message_id, body in messages:
            delivery = Delivery("storyboard.video.requested", message_id)
            for _ in range(2):
                assert await process(service, router.subscriptions[0], delivery, body.encode()) == Handled(), moment
        _, calls = await asyncio.to_thread(fetch_json, f"{llm}/control/llm/calls")
        asked = [json.loads(body["messages"][1]["content"])["prompt"] for body in calls["bodies"]]
        for moment, request in requests.items():
            assert asked.count(request.prompt) == 1 + EXTRA_CALLS[moment], moment
        async with database.reading() as session:
            assert await session.scalar(select(func.count()).select_from(StoryboardRow)) == len(requests)
        said = await published(database)
        assert [type(event) for event in said].count(StoryboardCreated) == len(requests)
        assert len(said) == len(requests) * (1 + 1 + 3)
        await service.database.close()
