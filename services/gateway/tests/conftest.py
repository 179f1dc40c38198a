from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from gateway import app as gateway_app
from gateway.app import Gateway
from gateway.settings import Settings
from shared.frame import Service
from shared.migrations import folder_of, migrate


class Nobody:
    async def hint(self, event: object) -> None:
        """Nobody listens."""


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    settings = Settings(
        database_url=SecretStr(f"sqlite+aiosqlite:///{tmp_path}/gateway.db"),
        storage_url=(tmp_path / "media").as_uri(),
        media_secret=SecretStr("secret"),
    )
    gateway = Gateway(settings)
    await migrate(gateway.database, folder_of(gateway_app.__file__))
    yield gateway
    await gateway.database.close()


@pytest.fixture
def service(gateway: Gateway) -> Service[Any]:
    return gateway.service(Nobody())


@pytest.fixture
async def api(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    app = gateway.app(gateway.storage, routes=[])
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client
