"""A storyboard service on a database of its own and the simulated language model, in this process."""

import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import hypothesis
import pytest
import structlog
from httpx import ASGITransport, AsyncClient
from sqlalchemy import select

from shared.contracts.events import VideoRequested
from shared.messaging.event_router import Delivery
from shared.messaging.message_processor import Outcome, Service, fails_video, process
from shared.money.budget import Caps
from shared.money.prices import TokenPrices
from shared.persistence.database import Database
from shared.persistence.migration_files import folder_of
from shared_testing.servers import migrated
from simulator.llm.app import llm_app
from storyboard import app
from storyboard.agent import LanguageModelWriter
from storyboard.answers import UNCAPPED, Answers
from storyboard.endpoint import FREE_OF_CHARGE, Endpoint, Form
from storyboard.handlers import Dependencies, router
from storyboard.models import Base, LlmAnswerRow, StoryboardRow
from storyboard.rules import SceneSeconds


def pytest_configure(config: pytest.Config) -> None:
    everything = config.getoption("--all", default=False)
    hypothesis.settings.register_profile(
        "storyboard",
        # The same answers each time, unless there is time to look for new ones.
        derandomize=not everything,
        max_examples=5000 if everything else 300,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    hypothesis.settings.load_profile("storyboard")


@dataclass
class Rig:
    """The service, and the simulator it talks to."""

    database: Database
    client: AsyncClient
    url: str = "http://llm"
    prices: TokenPrices = FREE_OF_CHARGE

    def request(self, prompt: str = "A lighthouse keeper befriends a storm", **fields: Any) -> VideoRequested:
        return VideoRequested(**({"video_id": uuid4(), "prompt": prompt} | fields))

    def writer(
        self,
        form: Form | None = "tool",
        seconds: SceneSeconds | None = None,
        timeout: float = 20,
        caps: Caps = UNCAPPED,
    ) -> LanguageModelWriter:
        endpoint = Endpoint(
            self.client, f"{self.url}/v1", "secret-key", "simulated-1", form=form, prices=self.prices, seconds=timeout
        )
        return LanguageModelWriter(endpoint, Answers(self.database, "simulated-1", caps), seconds or SceneSeconds())

    def service(self, writer: LanguageModelWriter | None = None) -> Service[Dependencies]:
        deps = Dependencies(self.database, writer or self.writer())
        return Service(router, deps, self.database, on_dead_letter=fails_video("storyboard"))

    async def process(
        self, request: VideoRequested, service: Service[Dependencies] | None = None, attempt: int = 1
    ) -> Outcome:
        """Deliver the request as a new message."""
        delivery = Delivery("storyboard.video.requested", secrets.token_hex(8), attempt=attempt)
        body = request.model_dump_json().encode()
        return await process(service or self.service(), router.subscriptions[0], delivery, body)

    async def fault(self, fault: str, times: int | None = None, **more: Any) -> None:
        body = {"fault": fault, "times": times, **more}
        answer = await self.client.post(f"{self.url}/control/llm/faults", json=body)
        assert answer.status_code == 200, answer.text

    async def forget_calls(self) -> None:
        await self.client.delete(f"{self.url}/control/llm/calls")

    async def heal(self) -> None:
        await self.client.delete(f"{self.url}/control/llm/faults")

    async def bodies(self) -> list[dict[str, Any]]:
        return (await self.client.get(f"{self.url}/control/llm/calls")).json()["bodies"]

    async def calls(self) -> int:
        return (await self.client.get(f"{self.url}/control/llm/calls")).json()["calls"]

    async def rows(self, kind: type[StoryboardRow] | type[LlmAnswerRow]) -> list[Any]:
        async with self.database.reading() as session:
            return list(await session.scalars(select(kind)))


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[Any]]:
    """What was logged; printing tracebacks in colours takes seconds."""
    with structlog.testing.capture_logs() as entries:
        yield entries


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    url = f"sqlite+aiosqlite:///{tmp_path}/storyboard.db"
    async with migrated(url, Base.metadata, folder_of(app.__file__)) as database:
        # Raw: an error of the simulator's own would otherwise end the test instead of the connection.
        transport = ASGITransport(llm_app(), raise_app_exceptions=False)
        async with AsyncClient(transport=transport) as client:
            yield Rig(database, client)
