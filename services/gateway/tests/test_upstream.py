"""The gateway in front of an application: real Express, tRPC and Socket.IO, also while they are down."""

import asyncio
import contextlib
import hashlib
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest
import socketio
from pydantic import SecretStr, ValidationError

from gateway.access.keys import KeyRequest
from gateway.app import Gateway
from gateway.settings import Settings
from gateway.trpc.fallback import line_of, status_of
from gateway.trpc.requests import PLAIN, SUPERJSON
from gateway.upstream import proxy, sockets
from shared_testing.ports import free_port
from shared_testing.servers import _or_skip, eventually

CLIENTS = Path(__file__).with_name("clients")
SECRET = "s" * 32

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("telling")]


def _start(kind: str, port: int = 0) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        ["node", "upstream/server.mjs", kind, str(port)],
        cwd=CLIENTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    return process, f"http://127.0.0.1:{int(process.stdout.readline())}"


def _stop(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


@pytest.fixture(scope="module", params=["superjson"])
def application(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of the application."""
    if shutil.which("node") is None or not (CLIENTS / "node_modules").is_dir():
        _or_skip(request, "Node.js", "no node, or its packages are not installed (make test does it where npm is)")
    process, url = _start(request.param)
    yield url
    _stop(process)


@pytest.fixture
def more_settings(application: str) -> dict[str, Any]:
    return {"app_upstream_url": application}


@pytest.fixture
async def client(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client that stores no cookies."""
    async with httpx.AsyncClient(base_url=url, timeout=20) as client:
        yield client


# --- tRPC


@pytest.mark.parametrize("application", ["superjson", "plain"], indirect=True)
async def test_a_mixed_batch_is_answered_in_order(
    url: str, node: Callable[..., Any], application: str, request: pytest.FixtureRequest
) -> None:
    kind = request.node.callspec.params["application"]
    report = await node("upstream/talk.mjs", kind, url)
    is_rich = kind == "superjson"
    moment = "2026-01-02T03:04:05.678Z"
    now = {"date": moment} if is_rich else moment
    for link, steps in report.items():
        assert steps["posts"] == {
            "posts": [{"id": 1, "at": now}],
            "tags": {"map": [["a", {"bigint": "1"}]]} if is_rich else {},
        }, link
        assert steps["now"] == now
        assert steps["fail"] == {"error": "Not for you", "data": ["FORBIDDEN", 403, "agents.fail"]}
        assert steps["missing"]["data"] == ["NOT_FOUND", 404, "video.get"]
        assert steps["me"]["cookie"] == "app=1"
        assert steps["list"]["total"] == list(report).index(link)
        at = {"at": {"date": "2026-05-06T07:08:09.010Z"}} if is_rich else {}
        assert steps["created"] == {"text": "hello", **at, "id": 7}
        assert steps["generated"]["success"]
        assert steps["invalid"]["data"] == ["BAD_REQUEST", 400, "posts.create"]
        assert len(steps["requests"]) == (2 if "Batch" in link else 9)


def query(*names: str) -> str:
    return f"/api/trpc/{','.join(names)}?batch=1&input={quote(json.dumps({'0': {'json': None}}))}"


async def test_cookies_of_a_mixed_batch_reach_the_browser(client: httpx.AsyncClient) -> None:
    body = {"0": {"json": None}, "1": {"json": {"prompt": "a fox"}}}
    answer = await client.post("/api/trpc/auth.login,video.generate?batch=1", json=body)
    assert (answer.status_code, answer.json()[0]) == (200, {"result": {"data": {"json": "welcome"}}})
    assert answer.headers.get_list("set-cookie") == ["app=1; Path=/; HttpOnly", "theme=dark"]


async def test_the_status_of_a_mixed_batch_is_that_of_its_calls_or_207(client: httpx.AsyncClient) -> None:
    assert (await client.get(query("video.list", "posts.list"))).status_code == 200
    assert (await client.get(query("video.list", "agents.fail"))).status_code == 207
    answer = await client.get(query("video.list", "no.such", "posts.list"))
    assert [("result" in one) for one in answer.json()] == [True, False, True]
    assert answer.json()[1]["error"]["json"]["data"]["code"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("item", "status"),
    [
        ({"result": {"data": 1}}, 200),
        ({"error": {"json": {"data": {"httpStatus": 409}}}}, 409),
        ({"error": {"data": {"httpStatus": 404}}}, 404),
        ({"error": {"json": {}}}, 500),
        ({"error": "odd"}, 500),
        ({"error": {"data": {"httpStatus": 9999}}}, 500),
    ],
)
def test_the_status_of_an_encoded_answer_is_read(item: dict[str, Any], status: int) -> None:
    assert status_of(item) == status


@pytest.mark.parametrize(
    ("item", "line"),
    [
        (
            {"result": {"data": {"json": 1, "meta": {"values": ["Date"]}}}},
            {"json": [3, 0, [[{"result": {"data": 1}}]]], "meta": {"values": {"2.0.0.result.data": ["Date"]}, "v": 0}},
        ),
        (
            {"error": {"json": {"a": 0}, "meta": {"values": {"a": ["bigint"]}, "v": 1}}},
            {"json": [3, 0, [[{"error": {"a": 0}}]]], "meta": {"values": {"2.0.0.error.a": ["bigint"]}, "v": 1}},
        ),
        ({"result": {"data": {"json": 1}}}, {"json": [3, 0, [[{"result": {"data": 1}}]]]}),
        ({"result": {}}, {"json": [3, 0, [[{"result": {}}]]]}),
    ],
)  # fmt: skip
def test_a_streamed_line_keeps_the_annotations_of_its_answer(item: dict[str, Any], line: Any) -> None:
    assert line_of(3, item, SUPERJSON) == line
    assert line_of(3, item, PLAIN) == [3, 0, [[item]]]


# --- everything else


async def test_a_call_is_forwarded_unchanged(client: httpx.AsyncClient) -> None:
    target = "/echo/%2e%2e%2Fa%20b/%C3%BC;p=1?x=1&x=2&y=%26&token=theirs"
    headers = {"x-own": "1", "content-type": "application/octet-stream", "cookie": "a=1; multishot_session=s; b=2"}
    large = b"\x00\xff" * 1_500_000
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"):
        content = large if method != "GET" else None
        answer = await client.request(method, target, content=content, headers=headers)
        told = answer.json()
        assert (told["method"], told["url"]) == (method, target)
        if content is not None:
            assert told["body"] == {"length": len(large), "sha256": hashlib.sha256(large).hexdigest()}
        assert (told["headers"]["x-own"], told["headers"]["cookie"]) == ("1", "a=1; b=2")
        assert answer.headers["x-powered-by"] == "the application"
    answer = await client.head(target)
    assert (answer.status_code, answer.content, int(answer.headers["content-length"]) > 100) == (200, b"", True)


async def test_hop_by_hop_headers_are_removed_and_forwarded_headers_set(
    client: httpx.AsyncClient, application: str
) -> None:
    own = {"connection": "keep-alive, x-private", "x-private": "1", "te": "trailers"}
    answer = await client.get("/echo", headers=own)
    told = answer.json()["headers"]
    assert told.keys().isdisjoint({"x-private", "te", "expect"})
    assert told["host"] == application.removeprefix("http://")
    assert told["x-forwarded-host"] == client.base_url.netloc.decode()
    assert (told["x-forwarded-for"], told["x-forwarded-proto"]) == ("127.0.0.1", "http")
    way = "203.0.113.9, 198.51.100.7"
    before = {"x-forwarded-for": way, "x-forwarded-proto": "https", "x-forwarded-host": "a.example"}
    told = (await client.get("/echo", headers=before)).json()["headers"]
    assert before.items() <= told.items()
    assert answer.headers.get("connection", "") == ""
    assert "x-hop" not in answer.headers
    assert len(answer.headers.get_list("date")) == 1
    # What the gateway says of its own answers says nothing of these.
    assert answer.headers.keys().isdisjoint({"content-security-policy", "x-request-id"})


async def test_gateway_credentials_are_not_forwarded(client: httpx.AsyncClient) -> None:
    for given, passed in (
        ("Bearer msk_0123", None),
        ("bearer  msk_0123", None),
        ("Bearer own", "Bearer own"),
        ("Basic YTpi", "Basic YTpi"),
    ):
        headers = {"authorization": given, "cookie": "multishot_session=s"}
        told = (await client.get("/echo", headers=headers)).json()["headers"]
        assert (told.get("authorization"), told.get("cookie")) == (passed, None)


async def test_every_cookie_is_set_and_none_leaks_to_the_next_caller(url: str, client: httpx.AsyncClient) -> None:
    answer = await client.get("/cookies")
    assert (answer.status_code, answer.headers.get_list("set-cookie")) == (201, ["a=1; Path=/", "b=2; HttpOnly"])
    async with httpx.AsyncClient(base_url=url) as other:
        assert "cookie" not in (await other.get("/echo")).json()["headers"]


async def test_redirects_to_the_application_point_to_the_gateway(client: httpx.AsyncClient) -> None:
    assert (await client.get("/moved")).headers["location"] == "/echo?x=1"
    assert (await client.get("/elsewhere")).headers["location"] == "https://elsewhere.example/x"


async def test_answers_are_streamed(client: httpx.AsyncClient) -> None:
    async with client.stream("GET", "/stream") as answer:
        parts = answer.aiter_bytes()
        assert await anext(parts) == b"first\n"
        await client.post("/go")
        assert await anext(parts) == b"second\n"


async def test_request_bodies_are_streamed(client: httpx.AsyncClient) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        assert await eventually(lambda: _came(client))
        yield b"y"

    assert (await client.post("/grow", content=body())).text == "whole"
    assert (await client.get("/came")).json() == 1001


async def _came(client: httpx.AsyncClient) -> bool:
    return bool((await client.get("/came")).json() == 1000)


async def test_a_callers_disconnect_reaches_the_application(client: httpx.AsyncClient) -> None:
    async with client.stream("GET", "/stream") as answer:
        await anext(answer.aiter_bytes())
    assert (await client.get("/left")).text == "left"


async def test_a_truncated_answer_is_not_passed_on_as_complete(client: httpx.AsyncClient) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get("/broken")


async def test_the_gateways_own_paths_are_never_forwarded(client: httpx.AsyncClient) -> None:
    for path in ("/api/v1/mine", "/media/mine", "/api/v1/videos/" + str(uuid4())):
        answer = await client.get(path)
        assert answer.status_code in (404, 422)
        assert answer.headers["content-type"] == "application/problem+json"
    assert "<h1>The application</h1>" in (await client.get("/")).text
    assert "Multishot" in (await client.get("/multishot")).text
    assert (await client.get("/openapi.json")).json()["info"]["title"] == "Multishot"
    assert (await client.delete("/openapi.json")).status_code == 405
    assert (await client.post("/api/v1/videos", json={"prompt": "a fox"})).status_code == 202


class TestWithKeys:
    """The application authenticates its own callers."""

    @pytest.fixture
    def more_settings(self, application: str) -> dict[str, Any]:
        return {"app_upstream_url": application, "auth": "keys", "auth_secret": SecretStr(SECRET)}

    async def test_the_application_is_open_to_those_without_a_key_and_nothing_of_ours_is(
        self, client: httpx.AsyncClient
    ) -> None:
        assert (await client.get("/echo")).status_code == 200
        assert (await client.get("/api/v1/videos")).status_code == 401
        answer = await client.get(query("posts.list", "video.list"))
        assert answer.status_code == 207
        assert "result" in answer.json()[0]
        assert answer.json()[1]["error"]["json"]["data"]["code"] == "UNAUTHORIZED"

    async def test_what_a_browser_says_to_the_application_counts(
        self, gateway: Gateway, url: str, open_page: Any
    ) -> None:
        body = KeyRequest.model_validate({"owner": "anna", "name": "n", "scopes": ["read"], "callsPerMinute": 3})
        page = await open_page(url, {"token": (await gateway.keys.create(body))[0]})
        first, *_, last = [await page.client.call("join", "loud", timeout=20) for _ in range(5)]
        assert first == ("joined", {"room": "loud"})
        assert last["ok"] is False
        assert "calls in a minute" in last["error"]
        [(name, handshake)] = page.heard
        assert (name, handshake["auth"]) == ("status_update", {})


# --- sockets


async def test_one_socket_exchanges_events_with_both(url: str, node: Callable[..., Any]) -> None:
    seen = await node("upstream/listen.mjs", url)
    assert "error" not in seen
    assert seen["joined"] == ["joined", {"room": "loud"}]
    (name, handshake), *others = seen["heard"]
    assert name == "status_update"
    assert handshake["cookie"] == 'app=1; odd={"a":1}'
    assert (handshake["authorization"], handshake["page"]) == ("Basic YTpi", "studio")
    assert handshake["auth"] == {"token": "mine"}
    assert others == [
        ["post_created", {"id": 7}, {"bytes": "cafe"}],
        ["video_generation_started", 1],
        ["job_stopped", "job_stopped", 2],
        ["error", "error", 2],
        ["job_complete"],
    ]


async def test_a_browser_sees_one_application(
    url: str, node: Callable[..., Any], filmed: Callable[[], Any], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        _or_skip(request, "Chromium", "no chromium is installed")
    video = await filmed()
    seen = await node("upstream/browse.mjs", str(browser), url, str(tmp_path))
    assert seen.pop("complaints") == []
    assert sorted(seen.pop("heard")) == [["status_update", "visit=1"], ["video_generation_started", 1]]
    assert seen == {
        "title": "The application",
        "cookie": "visit=1",
        "download": [f"t-{video['videoId']}.mp4", video["videoId"], None],
    }


async def test_a_browser_acknowledges_events_of_the_application(url: str) -> None:
    page = socketio.AsyncClient(handle_sigint=False)
    heard: list[Any] = []
    page.on("status_update", heard.append)
    page.on("job_stopped", lambda asked: (asked, "yes"))
    await page.connect(url, transports=["websocket"], wait_timeout=10)
    await page.emit("ask me")
    await eventually(lambda: {"told": "sure?"} in heard)
    await page.disconnect()


async def test_a_browser_can_decline_the_application(client: httpx.AsyncClient, url: str, open_page: Any) -> None:
    page = await open_page(url, {"application": False})
    await page.subscribe()
    assert (await client.get("/sockets")).json() == 0


async def test_closing_a_socket_closes_its_counterpart(client: httpx.AsyncClient, url: str, open_page: Any) -> None:
    async def count() -> int:
        return int((await client.get("/sockets")).json())

    pages = [await open_page(url) for _ in range(3)]
    await eventually(lambda: _is(count, 3))
    for page in pages:
        await page.close()
    await eventually(lambda: _is(count, 0))


async def _is(count: Any, wanted: int) -> bool:
    return bool(await count() == wanted)


# --- outages


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(sockets, "LONGEST_PAUSE_SECONDS", 0.1)


class TestAway:
    @pytest.fixture
    def port(self) -> int:
        return free_port()

    @pytest.fixture
    def more_settings(self, port: int) -> dict[str, Any]:
        return {"app_upstream_url": f"http://127.0.0.1:{port}"}

    async def test_a_call_is_told_so_and_ours_are_answered(self, client: httpx.AsyncClient, port: int) -> None:
        answer = await client.get("/anything")
        assert (answer.status_code, answer.headers["content-type"]) == (502, "application/problem+json")
        assert answer.json()["type"] == "/problems#application-away"
        assert str(port) not in answer.text
        for headers in ({}, {"trpc-accept": "application/jsonl"}):
            answer = await client.get(query("posts.list", "video.list", "posts.list"), headers=headers)
            assert "No answer" not in answer.text
            assert answer.text.count('"BAD_GATEWAY"') == 2
            assert '"total":0' in answer.text
            assert str(port) not in answer.text

    @pytest.mark.usefixtures("quick")
    async def test_our_own_events_are_told_and_what_the_browser_says_waits(
        self, client: httpx.AsyncClient, url: str, port: int, request: pytest.FixtureRequest
    ) -> None:
        if shutil.which("node") is None or not (CLIENTS / "node_modules").is_dir():
            _or_skip(request, "Node.js", "no node, or its packages are not installed (make test does it where npm is)")
        page = socketio.AsyncClient(reconnection_delay=0.05, reconnection_delay_max=0.1, handle_sigint=False)
        heard: list[tuple[str, Any]] = []
        connections = 0

        @page.on("connect")
        async def connected() -> None:
            nonlocal connections
            connections += 1
            await page.emit("join", "loud", callback=lambda *answer: heard.append(("answer", answer)))

        page.on("*", lambda name, *values: heard.append((name, values)))
        await page.connect(url, transports=["websocket"], wait_timeout=10)
        await page.call("subscribe_video_updates")
        await client.post("/api/v1/videos", json={"prompt": "a fox"})
        await eventually(lambda: [name for name, _ in heard] == ["video_generation_started"])
        for turn in (1, 2):
            process, _ = await asyncio.to_thread(_start, "superjson", port)
            with contextlib.ExitStack() as stack:
                stack.callback(_stop, process)
                # The second time the browser is made to come again, so that it joins its room once more.
                await eventually(lambda turn=turn: [name for name, _ in heard].count("answer") == turn)
                assert connections == turn
        await page.shutdown()

    async def test_one_that_is_silent_is_given_up(
        self, client: httpx.AsyncClient, port: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(proxy, "ANSWER_SECONDS", 0.2)
        gone = asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()
            gone.set()

        async with await asyncio.start_server(silent, "127.0.0.1", port):
            answer = await client.get("/anything")
            assert (answer.status_code, answer.json()["type"]) == (504, "/problems#application-silent")
            answer = await client.get(query("posts.list", "video.list"))
            assert [one.get("error", {}).get("json", {}).get("data", {}).get("code") for one in answer.json()] == [
                "GATEWAY_TIMEOUT",
                None,
            ]
            await gone.wait()

    async def test_an_answer_that_is_none_of_trpc_is_told_as_such(self, client: httpx.AsyncClient, port: int) -> None:
        bodies = [b"<html>", b"[]", b"5", b'[{"result":{}},1]', b"", b'{"a":1}']
        left = iter(bodies)

        async def odd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            body = next(left)
            writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(odd, "127.0.0.1", port):
            for _ in bodies:
                own, other = (await client.get(query("video.list", "posts.list"))).json()
                assert "result" in own
                assert other["error"]["json"]["data"]["code"] == "BAD_GATEWAY"
        assert list(left) == []


class TestWithout:
    """Without an application."""

    @pytest.fixture
    def more_settings(self) -> dict[str, Any]:
        return {}

    async def test_what_is_not_ours_is_not_found(self, client: httpx.AsyncClient) -> None:
        assert (await client.get("/echo")).status_code == 404
        answer = await client.get(query("video.list", "posts.list"))
        assert answer.status_code == 207
        assert answer.json()[1]["error"]["json"]["data"]["code"] == "NOT_FOUND"
        assert "Multishot" in (await client.get("/")).text


@pytest.mark.parametrize(
    "url", ["localhost:3000", "ftp://a", "http://", "http://a?b=1", "http://u:p@a", "http://a#b", "//a"]
)
def test_an_invalid_upstream_url_is_rejected(url: str) -> None:
    with pytest.raises(ValidationError, match="must be the address of a server"):
        Settings(database_url=SecretStr("sqlite://"), storage_url="file:///", app_upstream_url=url)
