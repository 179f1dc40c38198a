"""Callbacks have their own port, without metrics and probes."""

from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from scene_render import app as scene_render_app
from scene_render.providers.callback_server import serving
from scene_render.providers.callbacks import Callbacks, route
from scene_render.settings import Settings
from shared.settings import ServiceSettings
from shared.worker import Worker


async def test_the_callback_port_serves_only_callbacks(sqlite_rig: Any) -> None:
    callbacks = Callbacks("https://calls.example", b"secret")
    door = route(callbacks, sqlite_rig.providers, sqlite_rig.database)
    async with serving(door, "127.0.0.1", 0) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        for path in ("/metrics", "/healthz", "/readyz", "/"):
            assert (await client.get(path)).status_code == 404
        assert (await client.post(f"/callbacks/ledger/{'0' * 8}-0000-0000-0000-{'0' * 12}/no")).status_code == 404
        with pytest.raises(OSError, match="in use"):
            async with serving(door, "127.0.0.1", port):
                pass
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize("url", ["", "https://calls.example"])
async def test_the_probe_port_serves_no_callbacks(tmp_path: Any, url: str) -> None:
    settings = Settings(
        database_url=SecretStr("sqlite+aiosqlite://"), storage_url=tmp_path.as_uri(),
        callback_url=url, callback_secret=SecretStr("secret"), callback_port=0,
    )  # fmt: skip

    def build(ephemeral: Any) -> Any:
        return scene_render_app.build(settings, ephemeral)

    worker = Worker(build, ServiceSettings(database_url=settings.database_url), tmp_path)
    assert {getattr(one, "path", "") for one in worker.routes()} == {"/healthz", "/readyz", "/metrics"}
    await worker.service.database.close()
