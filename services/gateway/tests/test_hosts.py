"""The gateway answers only for known hosts, so that DNS rebinding does not reach it."""

import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import httpx
import pytest
from pydantic import SecretStr

from gateway.app import Gateway
from gateway.http.hosts import AllowedHosts
from gateway.settings import Settings


@pytest.fixture(autouse=True)
def called_by_these_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_HOSTS", '["gateway", "*.inside.example"]')
    monkeypatch.setenv("PUBLIC_URL", "https://video.example:8443/films")


KNOWN = (
    "localhost", "localhost:8000", "LocalHost:8000", "localhost.", "app.localhost:3000", "127.0.0.1", "127.0.0.1:8000",
    "10.1.2.3:8000", "[::1]", "[::1]:8000", "gateway:8000", "video.example", "video.example:8443", "VIDEO.example",
    "one.inside.example", "one.two.inside.example:1",
)  # fmt: skip
UNKNOWN = (
    "evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "gateway.evil.example",
    "evilvideo.example", "inside.example.evil", "eviltinside.example", "localhost@evil.example",
    "evil.example/localhost", "127.0.0.1@evil.example", "0x7f.1", "", "[::1", "a" * 5000,
)  # fmt: skip
PATHS = ("/", "/api/v1/videos", "/openapi.json", "/readyz", "/nowhere", "/media/x", "/api/trpc/video.list")


@pytest.mark.parametrize(("names", "taken"), [(KNOWN, True), (UNKNOWN, False)], ids=["known", "unknown"])
def test_ip_addresses_and_own_names_are_allowed(names: tuple[str, ...], taken: bool) -> None:
    hosts = AllowedHosts("https://video.example:8443/films", ("gateway", "*.inside.example"))
    assert {name: hosts.allows(name) for name in names} == dict.fromkeys(names, taken)
    assert AllowedHosts("", ("*",)).allows("evil.example")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("upstream", ["", "http://127.0.0.1:9"])
async def test_a_call_for_an_unknown_host_is_rejected(tmp_path: Path, upstream: str, path: str) -> None:
    settings = Settings(
        database_url=SecretStr("sqlite+aiosqlite://"), storage_url=tmp_path.as_uri(), app_upstream_url=upstream
    )
    app = Gateway(settings).app(contextlib.nullcontext(), routes=[])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://evil.example:8000") as client:
        for method in ("GET", "POST", "OPTIONS"):
            answer = await client.request(method, path)
            assert (answer.status_code, answer.headers["content-type"]) == (421, "application/problem+json")
            assert "ALLOWED_HOSTS" in answer.json()["detail"]
        known = await client.get("/openapi.json", headers={"host": "video.example"})
        assert known.status_code == 200


async def test_a_page_of_an_unknown_host_opens_no_socket(url: str, open_page: Callable[..., Awaitable[object]]) -> None:
    port = url.rpartition(":")[2]
    address = f"{url}/socket.io/?EIO=4&transport=websocket"
    evil = {"Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"}
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(address, headers=evil)
        polled = await session.get(f"{url}/socket.io/?EIO=4&transport=polling", headers=evil)
        assert polled.status == 421
        good = {"Host": f"localhost:{port}", "Origin": f"http://localhost:{port}"}
        async with session.ws_connect(address, headers=good) as socket:
            assert (await socket.receive_str()).startswith("0{")
