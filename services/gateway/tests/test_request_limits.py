"""What applies to every call: limits, request ids, security headers and CORS."""

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

from gateway.access.keys import KeyRequest
from gateway.app import Gateway
from gateway.http.preconditions import wait_of
from gateway.http.problems import error_response
from gateway.http.rate_limit import RateLimiter, TooManyCalls
from gateway.http.request_limits import MAX_BYTES, RequestLimitMiddleware
from gateway.settings import Settings
from shared.http.json_bounds import MOST_LEVELS, MOST_VALUES

PAGE = "https://app.example"
FOREIGN = "https://evil.example"
JSON = {"content-type": "application/json"}


@pytest.fixture
async def gateway(tmp_path: Path, empty_database: Path) -> AsyncIterator[Gateway]:
    shutil.copy(empty_database, tmp_path / "gateway.db")
    gateway = Gateway(
        Settings(
            database_url=SecretStr(f"sqlite+aiosqlite:///{tmp_path}/gateway.db"),
            storage_url=tmp_path.as_uri(),
            media_secret=SecretStr("secret"),
            auth_secret=SecretStr("s" * 32),
            auth="keys",
            cors_origins=(PAGE,),
            calls_per_minute=30,
            storyboard_wait_seconds=0,
        )
    )
    yield gateway
    await gateway.database.close()


@pytest.fixture
async def key(gateway: Gateway) -> str:
    return (await gateway.keys.create(KeyRequest(owner="anna", name="n", scopes={"read", "write"})))[0]


@pytest.fixture
async def api(gateway: Gateway, key: str) -> AsyncIterator[httpx.AsyncClient]:
    """The API, called with a key."""
    transport = httpx.ASGITransport(app=gateway.app(gateway.storage, routes=[]), raise_app_exceptions=False)
    headers = {"authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as client:
        yield client


def is_problem(answer: httpx.Response, status: int) -> bool:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert answer.json()["status"] == status
    return bool(answer.headers["x-request-id"])


# --- rate limit


@pytest.mark.parametrize(
    ("limit", "calls", "then"),
    [
        # calls as (when, how many, whether they are taken)
        (60, [(0, 60, True), (0, 1, False), (0.5, 1, False), (1, 1, True), (1, 1, False)], 0),
        (60, [(0, 10, True), (0, 50, True), (0, 1, False), (30, 30, True), (30, 1, False)], 0),
        (7, [(0, 1, True)] * 7 + [(0, 1, False), (60, 7, True), (60, 1, False)], 0),
        (5, [(0, 6, False), (0, 5, True)], 0),
        (60, [(0, 60, True), (3600, 60, True), (3600, 1, False)], 0),
        (60, [(100, 59, True)], 1),
    ],
)
def test_the_token_bucket_refills_evenly_and_takes_a_batch_whole_or_not_at_all(
    limit: int, calls: list[tuple[float, int, bool]], then: int
) -> None:
    limits = RateLimiter()
    left = None
    for when, many, taken in calls:
        if taken:
            left = limits.take("anna", limit, many, when).left
            continue
        with pytest.raises(TooManyCalls) as refused:
            limits.take("anna", limit, many, when)
        assert refused.value.seconds > 0
        if many <= limit:
            limits_later = RateLimiter()
            limits_later.full_at = dict(limits.full_at)
            limits_later.take("anna", limit, many, when + refused.value.seconds)
    if calls[-1][2]:
        assert left == then
    assert limits.take("bob", limit, limit, 0).left == 0


async def test_calls_beyond_the_rate_limit_are_rejected_with_retry_after(
    gateway: Gateway, api: httpx.AsyncClient
) -> None:
    other_request = KeyRequest(owner="anna", name="her other one", scopes={"read"})
    hers, _ = await gateway.keys.create(other_request)
    bobs, _ = await gateway.keys.create(KeyRequest(owner="bob", name="n", scopes={"read"}))
    narrow, _ = await gateway.keys.create(KeyRequest(owner="anna", name="n", scopes={"read"}, calls_per_minute=2))
    first = await api.get("/api/v1/session")
    assert first.headers["ratelimit-policy"] == '"calls";q=30;w=60'
    assert first.headers["ratelimit"].startswith('"calls";r=29;t=')
    for _ in range(29):
        assert (await api.get("/api/v1/session")).status_code == 200
    for key in (None, hers):
        answer = await api.get("/api/v1/session", headers={"authorization": f"Bearer {key}"} if key else {})
        assert is_problem(answer, 429)
        assert 1 <= int(answer.headers["retry-after"]) <= 3
    for key, statuses in ((bobs, [200, 200, 200]), (narrow, [200, 200, 429])):
        headers = {"authorization": f"Bearer {key}"}
        assert [(await api.get("/api/v1/session", headers=headers)).status_code for _ in range(3)] == statuses


async def test_every_call_of_a_batch_counts(gateway: Gateway, key: str) -> None:
    caller = await gateway.access.identify_socket({}, {"token": key})
    for _ in range(3):
        await gateway.access.count(caller, 10)
    with pytest.raises(TooManyCalls):
        await gateway.access.count(caller, 1)


# --- size, depth and duration


async def sent(size: int) -> AsyncIterator[bytes]:
    """Yield a body of this size, without a content length."""
    for _ in range(size // 65_536):
        yield b" " * 65_536
    yield b" " * (size % 65_536)


async def test_a_body_over_the_limit_is_rejected_with_or_without_content_length(api: httpx.AsyncClient) -> None:
    good = json.dumps({"prompt": "a fox"}).encode()
    fits = good + b" " * (MAX_BYTES - len(good))
    assert (await api.post("/api/v1/videos", content=fits, headers=JSON)).status_code == 202
    for path in ("/api/v1/videos", "/api/v1/storyboards", "/api/v1/session", "/api/v1/estimates"):
        assert is_problem(await api.post(path, content=fits + b" ", headers=JSON), 413)
        assert is_problem(await api.post(path, content=sent(MAX_BYTES + 1), headers=JSON), 413)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("[" * 3_000 + "]" * 3_000, 400),
        ('{"a":' * 3_000 + "1" + "}" * 3_000, 400),
        ("[" * 500_000, 400),
        ("[" * (MOST_LEVELS + 1), 400),
        ("[]" * (MOST_LEVELS + 1) + '"' + r"\"" * 500_000, 400),  # looked at once, however the string goes on
        ('{"prompt": "' + "[{" * 100 + '"}', 202),
        ('{"prompt": "' + r"\"[" * 100 + '"}', 202),
        ('{"prompt": "a fox", "metadata": {"list": [' + ",".join(["[]"] * 1_000) + "]}}", 202),
        ('{"prompt": "a fox", "metadata": ' + '{"a":' * (MOST_LEVELS - 1) + "1" + "}" * (MOST_LEVELS - 1) + "}", 202),
        ('{"prompt": "a fox", "metadata": ' + '{"a":' * MOST_LEVELS + "1" + "}" * MOST_LEVELS + "}", 400),
    ],
)
async def test_the_depth_of_json_is_limited_and_strings_do_not_count(
    api: httpx.AsyncClient, body: str, status: int
) -> None:
    answer = await api.post("/api/v1/videos", content=body, headers=JSON)
    assert answer.status_code == status, answer.text
    assert status == 202 or is_problem(answer, status)


HOSTILE = {
    "wrong members": "{" + ",".join(f'"{n}": 1' for n in range(90_000)) + "}",
    "wrong scenes": '{"prompt": "a fox", "storyboard": {"scenes": [' + ",".join(["{}"] * 150_000) + "]}}",
    "wrong numbers": '{"prompt": [' + ",".join(["1"] * 400_000) + "]}",
    "empty strings": "[" + '""' * 400_000,
    "just below the limit": "{" + ",".join(f'"{n}": 1' for n in range(MOST_VALUES - 10)) + "}",
    "long names": "{" + ",".join(f'"{n:08}{"x" * 9_000}": 1' for n in range(100)) + "}",
}


@pytest.mark.parametrize(
    "path", ["/api/v1/videos", "/api/v1/storyboards", "/api/v1/webhook-endpoints", "/api/trpc/video.generate"]
)
@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
async def test_a_body_with_many_errors_gets_a_short_answer(api: httpx.AsyncClient, path: str, body: str) -> None:
    answer = await api.post(path, content=body, headers=JSON)
    assert answer.status_code in (400, 422), answer.text[:500]
    assert len(answer.content) < 50_000
    assert len(answer.json().get("errors", [])) <= 50


async def test_other_calls_are_served_while_hostile_bodies_are_rejected(
    gateway: Gateway, api: httpx.AsyncClient
) -> None:
    other, _ = await gateway.keys.create(KeyRequest(owner="bob", name="n", scopes={"read"}))
    silences = []

    async def beat() -> None:
        while True:
            begun = time.thread_time()  # of this thread alone: others may use the machine
            await asyncio.sleep(0)
            silences.append(time.thread_time() - begun)

    beating = asyncio.create_task(beat())
    attack = asyncio.gather(*(api.post("/api/v1/videos", content=body, headers=JSON) for body in HOSTILE.values()))
    answers = [await api.get("/api/v1/session", headers={"authorization": f"Bearer {other}"}) for _ in range(10)]
    assert {answer.status_code for answer in answers} == {200}
    assert all(answer.status_code in (400, 422) for answer in await attack)
    beating.cancel()
    assert max(silences) < 5, "no call holds all others up"


async def test_a_call_that_takes_too_long_is_answered_with_503(
    gateway: Gateway, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.settings = gateway.settings.model_copy(update={"call_seconds": 1.5})
    given_up = asyncio.Event()

    async def hang(*_: Any, **__: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()

    monkeypatch.setattr(gateway.queries, "get", hang)
    transport = httpx.ASGITransport(app=gateway.app(gateway.storage, routes=[]))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        headers = {"origin": PAGE, "authorization": f"Bearer {key}"}
        answer = await client.get(f"/api/v1/videos/{uuid4()}", headers=headers)
    assert is_problem(answer, 503)
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["retry-after"]
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert given_up.is_set()


async def test_a_trpc_call_that_takes_too_long_gets_a_trpc_error(
    gateway: Gateway, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.settings = gateway.settings.model_copy(update={"call_seconds": 0.2})

    async def hang(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(gateway.queries, "page", hang)
    transport = httpx.ASGITransport(app=gateway.app(gateway.storage, routes=[]))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        answer = await client.get("/api/trpc/video.list", headers={"authorization": f"Bearer {key}"})
        late = await client.post("/api/trpc/video.cancel", headers={"authorization": f"Bearer {key}"}, content=slowly())
    for told in (answer, late):
        assert (told.status_code, told.json()["error"]["data"]["code"]) == (408, "TIMEOUT")


async def slowly() -> AsyncIterator[bytes]:
    """Yield a body that never ends."""
    yield b"{"
    await asyncio.sleep(5)


@pytest.mark.parametrize(
    ("path", "prefer", "seconds"),
    [
        ("/api/v1/videos", "", 30),
        ("/api/v1/videos", "wait=20", 50),
        ("/api/v1/videos", "respond-async, wait = 5", 35),
        ("/api/v1/videos", "wait=99999", 60),
        ("/api/v1/videos", 'wait="20"', 50),
        ("/api/v1/videos", "wait=x", 30),
        ("/api/v1/storyboards", "", 130),
        ("/api/v1/storyboards/1", "wait=10", 140),
    ],
)
def test_calls_that_ask_to_wait_have_more_time(path: str, prefer: str, seconds: float) -> None:
    async def nothing(*_: Any) -> None:
        """Never called."""

    scope = {"type": "http", "path": path, "headers": [(b"prefer", prefer.encode())]}
    assert (
        RequestLimitMiddleware(nothing, 30, {"/api/v1/storyboards": 100}, wait_of, (), error_response)._seconds_for(
            scope
        )
        == seconds
    )


async def test_an_answer_that_has_begun_has_no_time_limit() -> None:
    async def slow() -> AsyncIterator[str]:
        for n in range(4):
            yield f"{n} "
            await asyncio.sleep(0.5)

    streaming = Starlette(routes=[Route("/", lambda _request: StreamingResponse(slow()))])
    transport = httpx.ASGITransport(app=RequestLimitMiddleware(streaming, 1, {}, wait_of, (), error_response))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        assert (await client.get("/")).text == "0 1 2 3 "


# --- errors


async def test_internal_errors_stay_in_the_log_under_the_request_id(
    gateway: Gateway, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("secret dsn mysql://root:hunter2@db")

    monkeypatch.setattr(gateway.queries, "get", broken)
    answer = await api.get(f"/api/v1/videos/{uuid4()}", headers={"origin": PAGE})
    assert is_problem(answer, 500)
    assert answer.json()["title"] == "Internal server error"
    assert "hunter2" not in answer.text + str(answer.headers)
    assert "Traceback" not in answer.text
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["x-request-id"] in "".join(capsys.readouterr())


async def test_every_answer_has_a_request_id_and_takes_the_callers_if_valid(api: httpx.AsyncClient) -> None:
    ids = {
        (await api.get(path)).headers["x-request-id"] for path in ("/", "/api/v1/videos", "/nothing", "/openapi.json")
    }
    assert len(ids) == 4
    for own, kept in (("trace-12345", True), ("x" * 65, False), ("short", False), ("a b\tc;d<script>", False)):
        answer = await api.get("/api/v1/videos", headers={"x-request-id": own})
        assert (answer.headers["x-request-id"] == own) is kept


async def test_answers_have_security_headers_and_the_page_runs_only_its_own_script(
    api: httpx.AsyncClient,
) -> None:
    for path in ("/", "/api/v1/videos", "/nothing", "/openapi.json"):
        headers = (await api.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] in ("private, no-cache", "no-store")
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
    policy = (await api.get("/")).headers["content-security-policy"]
    assert "unsafe" not in policy
    assert policy.count("'sha256-") == 2


async def test_redirects_ignore_the_host_that_the_caller_names(api: httpx.AsyncClient) -> None:
    for path in ("/api/v1/videos/", "/metrics", "/docs/"):
        answer = await api.get(path, headers={"host": "evil.example"})
        assert "evil" not in answer.headers.get("location", "")


# --- pages of other origins


@pytest.mark.parametrize("path", ["/api/v1/videos", "/api/trpc/video.get", "/api/v1/nothing"])
async def test_a_page_of_a_listed_origin_may_call(api: httpx.AsyncClient, path: str) -> None:
    names = "content-type, authorization, trpc-accept, idempotency-key, if-none-match, last-event-id, prefer"
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        asked = {"origin": PAGE, "access-control-request-method": method, "access-control-request-headers": names}
        answer = await api.options(path, headers=asked)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert answer.headers["access-control-allow-credentials"] == "true"
        allowed = {name.strip().lower() for name in answer.headers["access-control-allow-headers"].split(",")}
        assert {name.strip() for name in names.split(",")} <= allowed
        assert method in answer.headers["access-control-allow-methods"]


async def test_a_foreign_page_gets_no_cors_headers_and_a_listed_one_can_read_errors(api: httpx.AsyncClient) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    refused = await api.options("/api/v1/videos", headers={**asked, "origin": FOREIGN})
    assert is_problem(refused, 400)
    for answer in (refused, await api.get("/api/v1/videos", headers={"origin": FOREIGN})):
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert "origin" in answer.headers["vary"].lower()
    calls = [
        ("GET", "/api/v1/nothing", None, 404),
        ("PUT", "/api/v1/videos", None, 405),
        ("POST", "/api/v1/videos", b"x", 415),
        ("GET", "/api/v1/keys", None, 403),
    ]
    for method, path, content, status in calls:
        answer = await api.request(method, path, content=content, headers={"origin": PAGE})
        assert is_problem(answer, status)
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert "x-request-id" in answer.headers["access-control-expose-headers"]
    nobody = await api.get("/api/v1/videos", headers={"origin": PAGE, "authorization": "Bearer x"})
    assert is_problem(nobody, 401)
    assert nobody.headers["access-control-allow-origin"] == PAGE


async def test_content_types_that_a_form_can_send_are_rejected(api: httpx.AsyncClient) -> None:
    for content_type in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
        None,
    ):
        headers = {} if content_type is None else {"content-type": content_type}
        for path in ("/api/v1/videos", "/api/v1/storyboards", "/api/v1/session", "/api/v1/estimates"):
            answer = await api.post(path, content=b'{"prompt": "a fox", "key": "k"}', headers=headers)
            assert is_problem(answer, 415)
    assert (await api.get("/api/v1/videos")).json()["total"] == 0
