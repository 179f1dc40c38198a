"""Authentication and authorization by keys, sessions and tokens, on every route and on sockets."""

import asyncio
import base64
import contextlib
import json
import re
import shutil
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import httpx
import pytest
import socketio
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import text, update
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from gateway import app as gateway_app
from gateway import procedures
from gateway.access import keys as keys_module
from gateway.access.keys import KeyRequest
from gateway.access.service import SESSION_COOKIE
from gateway.app import Gateway
from gateway.internal_messages import LiveEvent
from gateway.live.socket_server import MAX_CONCURRENT_EVENTS
from gateway.models import ApiKey, Upload, WebhookEndpoint
from gateway.settings import Settings
from gateway.upstream.sockets import RESERVED
from shared.catalogue.models import models_of
from shared.contracts.events import (
    PictureRendered,
    SceneCharged,
    SceneRendered,
    StoryboardCreated,
    StreamExtended,
    VideoComposed,
    VideoPreviewed,
    VideoRequested,
)
from shared.contracts.media import Clip, MediaReference, ScrubSheet, StreamSegment
from shared.contracts.story import Scene
from shared.persistence.database import now
from shared.persistence.migration_files import folder_of
from shared.persistence.migrations import migrate
from shared.persistence.unit_of_work import transaction
from shared_testing.servers import eventually, published

SECRET = "0123456789abcdef" * 2
WISH = {"prompt": "anna's secret fox", "sceneCount": 1, "duration": 15}
MEDIA = MediaReference(key="videos/1/film.mp4", content_type="video/mp4", size=1, sha256="0" * 64)
SCENES = (Scene(scene_number=1, description="d", camera_angle="wide", duration=15, action="a", transition="cut"),)

Open = Callable[..., Awaitable[Gateway]]
MakeKey = Callable[..., Awaitable[str]]


@pytest.fixture
async def opened(tmp_path: Path, empty_database: Path) -> AsyncIterator[Open]:
    """Open gateways that require keys, on one database, like replicas."""
    shutil.copy(empty_database, tmp_path / "gateway.db")
    gateways: list[Gateway] = []

    async def open_it(url: str = "", **settings: Any) -> Gateway:
        chosen = {"auth": "keys", "auth_secret": SecretStr(SECRET), **settings}
        database_url = SecretStr(url or f"sqlite+aiosqlite:///{tmp_path}/gateway.db")
        gateway = Gateway(
            Settings(
                database_url=database_url, storage_url=tmp_path.as_uri(), media_secret=SecretStr("secret"), **chosen
            )
        )
        gateways.append(gateway)
        if url:
            await migrate(gateway.database, folder_of(gateway_app.__file__))
        return gateway

    yield open_it
    for gateway in gateways:
        await gateway.database.close()


@pytest.fixture
async def gateway(opened: Open) -> Gateway:
    return await opened()


@pytest.fixture
def key(gateway: Gateway) -> MakeKey:
    """Create a key."""

    async def make(owner: str, *scopes: str, **more: Any) -> str:
        body = KeyRequest.model_validate({"owner": owner, "name": "n", "scopes": scopes or ("read", "write"), **more})
        return (await gateway.keys.create(body))[0]

    return make


@lru_cache(maxsize=4)
def app_of(gateway: Gateway) -> ASGIApp:
    return gateway.app(gateway.storage, routes=[])


def calling(gateway: Gateway, key: str | None = None, **more: Any) -> httpx.AsyncClient:
    """Return a client with this key."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    transport = httpx.ASGITransport(app=app_of(gateway), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers, **more)


# --- keys


async def test_calls_without_a_valid_key_are_rejected(gateway: Gateway, key: MakeKey) -> None:
    good = await key("anna")
    other = good[:-1] + ("A" if good[-1] != "A" else "B")
    for authorization in (None, "Bearer", "Bearer x", f"Bearer {other}", f"Basic {good}", good, "Bearer msk_ü", ""):
        headers = {} if authorization is None else {"authorization": authorization.encode()}
        answer = await calling(gateway).get("/api/v1/videos", headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json"), authorization
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert ("invalid_token" in answer.headers["www-authenticate"]) == (authorization is not None)
    assert (await calling(gateway, good).get("/api/v1/videos")).status_code == 200


@pytest.mark.parametrize(
    ("scopes", "read", "write", "admin"),
    [
        (("read",), 200, 403, 403),
        (("write",), 403, 202, 403),
        (("read", "write"), 200, 202, 403),
        (("admin",), 200, 202, 200),
    ],
)
async def test_scopes_decide_what_a_key_allows(
    gateway: Gateway, key: MakeKey, scopes: tuple[str, ...], read: int, write: int, admin: int
) -> None:
    api = calling(gateway, await key("anna", *scopes))
    assert (await api.get("/api/v1/videos")).status_code == read
    assert (await api.post("/api/v1/videos", json=WISH)).status_code == write
    assert (await api.get("/api/v1/keys")).status_code == admin


async def test_a_key_is_created_shown_once_listed_used_and_revoked(gateway: Gateway, key: MakeKey) -> None:
    admin = calling(gateway, await key("root", "admin"))
    body = {"owner": "anna", "name": "her server", "scopes": ["read", "write"], "callsPerMinute": 60, "days": 90}
    made = await admin.post("/api/v1/keys", json=body)
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    secret = made.json()["key"]
    assert made.headers["location"] == f"/api/v1/keys/{made.json()['keyId']}"
    shown = (await admin.get(made.headers["location"])).json()
    assert {name: shown[name] for name in ("owner", "name", "scopes", "callsPerMinute")} == {
        name: body[name] for name in ("owner", "name", "scopes", "callsPerMinute")
    }
    assert shown["expiresAt"] > shown["createdAt"]
    assert shown["lastUsedAt"] is None
    # Who knows the id alone, which is in every list, has not used the key.
    assert (await calling(gateway, secret[:-4] + "AAAA").get("/api/v1/session")).status_code == 401
    assert (await admin.get(made.headers["location"])).json()["lastUsedAt"] is None
    assert secret not in (await admin.get("/api/v1/keys")).text

    anna = calling(gateway, secret)
    assert (await anna.get("/api/v1/session")).json() == {
        "owner": "anna",
        "scopes": ["read", "write"],
        "expiresAt": None,
    }
    [listed] = (await admin.get("/api/v1/keys", params={"owner": "anna"})).json()["keys"]
    assert listed["lastUsedAt"] is not None
    assert (await admin.delete(made.headers["location"])).status_code == 204
    assert (await anna.get("/api/v1/videos")).status_code == 401
    assert (await admin.delete(made.headers["location"])).status_code == 204
    assert (await admin.delete("/api/v1/keys/none")).status_code == 404


async def test_the_database_stores_no_key(gateway: Gateway, key: MakeKey) -> None:
    secret = (await key("anna")).rpartition("_")[2]
    async with gateway.database.reading() as session:
        rows = (await session.execute(text("SELECT * FROM api_keys"))).all()
    assert len(rows) == 1
    assert secret not in str(rows)


@pytest.mark.parametrize(
    "wrong",
    [
        {"owner": ""}, {"name": ""}, {"scopes": []}, {"scopes": ["all"]}, {"callsPerMinute": 0}, {"days": 0},
        {"budgetDayUsd": -1}, {"owner": "o" * 256}, {"invented": 1},
    ],
)  # fmt: skip
async def test_an_invalid_key_request_is_rejected(gateway: Gateway, key: MakeKey, wrong: dict[str, Any]) -> None:
    admin = calling(gateway, await key("root", "admin"))
    body = {"owner": "anna", "name": "n", "scopes": ["read"], **wrong}
    assert (await admin.post("/api/v1/keys", json=body)).status_code == 422


async def test_a_revoked_key_stops_working_on_other_replicas_and_keys_expire(
    gateway: Gateway, opened: Open, key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = await opened()
    revoked, expired = await key("anna"), await key("anna", days=1)
    clock = time.monotonic()
    for secret in (revoked, expired):
        assert (await calling(replica, secret).get("/api/v1/videos")).status_code == 200
    await gateway.keys.revoke(revoked.split("_")[1])
    async with gateway.database.sessions.begin() as session:
        gone = update(ApiKey).where(ApiKey.key_id == expired.split("_")[1]).values(expires_at=now(-1))
        await session.execute(gone)
    monkeypatch.setattr(keys_module.time, "monotonic", lambda: clock + keys_module.CACHE_SECONDS + 60)
    for secret in (revoked, expired):
        assert (await calling(replica, secret).get("/api/v1/videos")).status_code == 401


async def test_calls_with_a_cached_key_cost_no_query(
    gateway: Gateway, key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = calling(gateway, await key("anna"))
    loads = 0
    load = gateway.keys._load

    async def counted(key_id: str, shown: str | None) -> ApiKey | None:
        nonlocal loads
        loads += 1
        return await load(key_id, shown)

    monkeypatch.setattr(gateway.keys, "_load", counted)
    for _ in range(20):
        assert (await api.get("/api/v1/session")).status_code == 200
    assert loads == 1


async def test_the_api_creates_no_keys_where_none_are_required(opened: Open) -> None:
    gateway = await opened(auth="none")
    answer = await calling(gateway).post("/api/v1/keys", json={"owner": "a", "name": "n", "scopes": ["admin"]})
    assert answer.status_code == 409
    assert await gateway.keys.all(None) == []
    assert (await calling(gateway, "nonsense").get("/api/v1/videos")).status_code == 200
    signed_in = await calling(gateway).post("/api/v1/session", json={"key": "nonsense"})
    assert (signed_in.json()["owner"], "set-cookie" in signed_in.headers) == ("anonymous", False)


# --- sessions and tokens


async def signed_in(gateway: Gateway, secret: str) -> httpx.AsyncClient:
    browser = calling(gateway)
    answer = await browser.post("/api/v1/session", json={"key": secret})
    assert answer.status_code == 200
    return browser


async def test_a_browser_signs_in_with_an_http_only_cookie_and_out_again(gateway: Gateway, key: MakeKey) -> None:
    secret = await key("anna")
    browser = calling(gateway)
    assert (await browser.post("/api/v1/session", json={"key": "msk_wrong"})).status_code == 401
    answer = await browser.post("/api/v1/session", json={"key": secret})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert secret not in cookie
    assert (await browser.get("/api/v1/videos")).status_code == 200
    assert (await browser.post("/api/v1/videos", json=WISH)).json()["owner"] == "anna"
    assert (await browser.delete("/api/v1/session")).status_code == 204
    assert (await browser.get("/api/v1/videos")).status_code == 401


async def test_the_cookie_is_secure_over_https(opened: Open) -> None:
    gateway = await opened(public_url="https://video.example")
    secret, _ = await gateway.keys.create(KeyRequest(owner="anna", name="n", scopes={"read"}))
    answer = await calling(gateway).post("/api/v1/session", json={"key": secret})
    assert "; secure" in answer.headers["set-cookie"].lower()


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None]
)
async def test_a_form_of_another_site_cannot_use_the_cookie(
    gateway: Gateway, key: MakeKey, content_type: str | None
) -> None:
    browser = await signed_in(gateway, await key("anna"))
    video = (await browser.post("/api/v1/videos", json=WISH)).json()
    headers = {"content-type": content_type} if content_type else {}
    forged = await browser.post(f"/api/v1/videos/{video['videoId']}/cancel", content=b"{}", headers=headers)
    assert forged.status_code == 401
    made = await browser.post("/api/v1/videos", content=b'{"prompt": "a fox"}', headers=headers)
    assert made.status_code in (401, 415)
    listed = (await browser.get("/api/v1/videos")).json()
    assert [video["status"] for video in listed["videos"]] == ["pending"]


async def test_a_token_in_the_url_is_read_only(gateway: Gateway, key: MakeKey) -> None:
    secret = await key("anna")
    anna = calling(gateway, secret)
    video = (await anna.post("/api/v1/videos", json=WISH)).json()
    answer = await anna.post("/api/v1/token")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    by_token = {"token": answer.json()["token"]}
    stranger = calling(gateway)
    seen = (await stranger.get("/api/v1/videos", params={"limit": 1, **by_token})).json()["videos"]
    assert [one["videoId"] for one in seen] == [video["videoId"]]
    assert (await stranger.get(video["links"]["self"], params=by_token)).json()["videoId"] == video["videoId"]
    assert (await stranger.get("/api/v1/keys", params=by_token)).status_code == 403
    for path in ("/api/v1/token", video["links"]["cancel"]):
        assert (await stranger.post(path, params=by_token, json={})).status_code == 401
    bearer = {"authorization": f"Bearer {by_token['token']}"}
    assert (await stranger.post("/api/v1/token", headers=bearer)).status_code == 401


async def test_sessions_and_tokens_are_valid_on_every_replica_until_expired_tampered_or_revoked(
    gateway: Gateway, opened: Open, key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = await opened()
    secret = await key("anna")
    browser = await signed_in(gateway, secret)
    session = browser.cookies[SESSION_COOKIE]
    token = (await calling(gateway, secret).post("/api/v1/token")).json()["token"]

    async def statuses(session: str, token: str, at: Gateway = replica) -> set[int]:
        by_session = await calling(at, cookies={SESSION_COOKIE: session}).get("/api/v1/videos")
        by_token = await calling(at).get("/api/v1/videos", params={"token": token})
        return {by_session.status_code, by_token.status_code}

    assert await statuses(session, token) == {200}
    assert await statuses(token, session) == {401}, "each for its own purpose"
    for wrong in ("", "x", "a.b.c", "a.1", ".".join([*session.split(".")[:2], "ü"]), session[:-2] + "xx"):
        by_session = {"cookie": f"{SESSION_COOKIE}={wrong}".encode()}
        assert (await calling(replica).get("/api/v1/videos", headers=by_session)).status_code == 401
        assert (await calling(replica).get("/api/v1/videos", params={"token": wrong})).status_code == 401
    payload, signature = token.rsplit(".", 1)
    key_id, end, nonce = json.loads(base64.urlsafe_b64decode(payload + "=="))
    changed = base64.urlsafe_b64encode(json.dumps([key_id, end + 1000, nonce], separators=(",", ":")).encode())
    assert await statuses(session, f"{changed.decode().rstrip('=')}.{signature}") == {200, 401}
    other_secret = await opened(auth_secret=SecretStr("f" * 32))
    assert await statuses(session, token, at=other_secret) == {401}

    moment = time.time()
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: moment + 301)
        assert (await calling(replica).get("/api/v1/videos", params={"token": token})).status_code == 401
        assert (await calling(replica, cookies={SESSION_COOKIE: session}).get("/api/v1/videos")).status_code == 200
        patched.setattr(time, "time", lambda: moment + 12 * 3600 + 1)
        assert await statuses(session, token) == {401}
    await replica.keys.revoke(secret.split("_")[1])
    assert await statuses(session, token) == {401}


# --- ownership


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.connected)])
async def either(request: pytest.FixtureRequest, opened: Open) -> Gateway:
    """A gateway that requires keys, on each database."""
    if request.param == "sqlite":
        return await opened()
    schema = request.getfixturevalue("schema")()
    return await opened(request.getfixturevalue("sql_server").url(schema))


async def test_a_video_belongs_to_the_owner_of_the_key_and_owner_names_are_case_sensitive(either: Gateway) -> None:
    async def make(owner: str) -> httpx.AsyncClient:
        return calling(
            either, (await either.keys.create(KeyRequest(owner=owner, name="n", scopes={"read", "write"})))[0]
        )

    anna, other = await make("anna"), await make("Anna")
    assert (await anna.post("/api/v1/videos", json={**WISH, "owner": "bob"})).status_code == 422
    assert (await anna.post("/api/v1/videos", json=WISH)).json()["owner"] == "anna"
    [request] = [event for event in await published(either.database) if isinstance(event, VideoRequested)]
    assert request.owner == "anna"
    assert [(await api.get("/api/v1/videos")).json()["total"] for api in (anna, other)] == [1, 0]


async def test_a_key_can_lower_its_owners_daily_budget(either: Gateway) -> None:
    gateway = either
    gateway.billing.estimates.providers, gateway.billing.estimates.models = (
        ("runway",),
        {
            "runway": models_of(
                "runway", uses={"standard": "gen4.5", "text": "", "picture": "", "referenced_picture": ""}
            )
        },
    )
    keys = [
        (
            await gateway.keys.create(
                KeyRequest.model_validate({"owner": owner, "name": "n", "scopes": {"read", "write"}, **more})
            )
        )[0]
        for owner, more in (("anna", {}), ("anna", {"budget_day_usd": "2.00"}), ("bob", {}))
    ]
    anna, annas_other, bob = (calling(gateway, secret) for secret in keys)
    body = {"prompt": "a fox", "sceneCount": 1, "duration": 15}
    quote = (await anna.post("/api/v1/estimates", json=body)).json()
    assert (float(quote["estimateUsd"]), float(quote["capPerOwnerAndDayUsd"])) == (1.8, 2)
    assert (await anna.post("/api/v1/videos", json=body)).status_code == 202
    for api in (anna, annas_other):
        refused = await api.post("/api/v1/videos", json=body)
        assert (refused.status_code, refused.json()["capUsd"]) == (402, 2)
    assert (await bob.post("/api/v1/videos", json=body)).status_code == 202
    await gateway.keys.revoke(keys[1].split("_")[1])
    assert (await anna.post("/api/v1/videos", json=body)).status_code == 202


def routes_of(gateway: Gateway) -> Iterator[tuple[str, str]]:
    """Return every method and path of the app, documented or not."""

    def walk(routes: list[BaseRoute], before: str = "") -> Iterator[tuple[str, str]]:
        for route in routes:
            included = getattr(route, "original_router", None)
            if included is not None:
                yield from walk(included.routes, before)
            elif isinstance(route, Mount) and route.routes:
                yield from walk(list(route.routes), before + route.path)
            elif isinstance(route, Mount):
                yield "GET", before + route.path + "/"
            elif isinstance(route, Route) or hasattr(route, "methods"):
                methods = getattr(route, "methods", None) or {"GET", "POST"}
                yield from ((method, before + route.path) for method in sorted(methods - {"HEAD", "OPTIONS"}))

    app: Any = gateway.app(gateway.storage, routes=[])
    while not isinstance(app, FastAPI):
        app = getattr(app, "other_asgi_app", None) or app.app
    return walk(app.routes)


OPEN = {
    ("GET", "/"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/docs/oauth2-redirect"),
    ("GET", "/problems"),
    ("GET", "/redoc"),
    ("GET", "/problems"),
    ("GET", "/static-offline-docs/"),
    ("GET", "/media/{key:path}"),
    ("POST", "/api/v1/session"),
    ("DELETE", "/api/v1/session"),
    *((method, "/api/trpc/{path:path}") for method in ("GET", "POST", "PUT", "PATCH", "DELETE")),
}
"""What anybody may call: documents hold nothing secret, media have signed links, a session is for who shows a key.

tRPC asks for a key at each of its procedures.
"""

BODIES: dict[str, Any] = {
    "/api/v1/videos": {"prompt": "bob's hen"},
    "/api/v1/storyboards": {"prompt": "bob's hen"},
    "/api/v1/estimates": {"prompt": "bob's hen"},
    "/api/v1/charges/{attempt_id}/settle": {"paid": False},
    "/api/v1/videos/{video_id}/rating": {"rating": 1},
    "/api/v1/videos/{video_id}/retention": {"keep": True},
    "/api/v1/videos/{video_id}/scenes/{scene_number}/frame": {"description": "bob's hen"},
    "/api/v1/keys": {"owner": "bob", "name": "n", "scopes": ["admin"]},
}
"""A good body for each route that wants more than `{}`, so that it comes to the question whose it is."""


@pytest.fixture
async def annas(gateway: Gateway, key: MakeKey) -> dict[str, str]:
    """Anna's objects by the names of path parameters: a finished video, a storyboard, a charge, a key."""
    secret = await key("anna", "read", "write")
    anna = calling(gateway, secret)
    video_id = (await anna.post("/api/v1/videos", json=WISH)).json()["videoId"]
    storyboard_id, attempt_id = str(uuid4()), str(uuid4())
    gateway.storyboards.wait_seconds = 0
    await anna.post("/api/v1/storyboards", json={"prompt": "anna's secret fox", "storyboardId": storyboard_id})
    clip = Clip(media=MEDIA, width=1280, height=720, frames=360, has_audio=True)
    events = (
        StoryboardCreated(
            video_id=video_id, title="anna's secret title", niche="n", overall_prompt="p", total_duration=15,
            scenes=SCENES, story_script="s", aspect_ratio="16:9",
        ),
        SceneCharged(
            video_id=video_id, scene_number=1, attempt_id=attempt_id, revision=1, owner="anna", provider="runway",
            day="2026-11-20", state="unknown", held_usd="1", booked_usd="0",
        ),
        PictureRendered(
            video_id=video_id, purpose="reference", cast_name="Ana", picture=MEDIA, cost_usd="0", provider="p"
        ),
        PictureRendered(
            video_id=video_id, purpose="first_frame", scene_number=1, picture=MEDIA, cost_usd="0", provider="p"
        ),
        SceneRendered(video_id=video_id, scene_number=1, clip=clip, duration=15, cost_usd="0", provider="p"),
        StreamExtended(
            video_id=video_id, piece_number=1, piece_count=1, init=MEDIA, longest_frames=360,
            segments=(StreamSegment(media=MEDIA, frames=360),),
        ),
        VideoComposed(video_id=video_id, film=MEDIA, thumbnail=MEDIA, duration=15, width=1280, height=720),
        VideoPreviewed(
            video_id=video_id, contact_sheet=MEDIA, animation=MEDIA, scrub_sheet=MEDIA,
            scrub_layout=ScrubSheet(columns=5, count=15, width=160, height=90, seconds=1),
        ),
    )  # fmt: skip
    endpoint_id, upload_id = str(uuid4()), str(uuid4())
    async with transaction(gateway.database) as work:
        for event in events:
            await gateway.projector.record(work, event)
        stored = MEDIA.model_dump(mode="json")
        work.session.add(Upload(upload_id=upload_id, owner="anna", kind="picture", media=stored, created_at=now()))
        work.session.add(
            WebhookEndpoint(
                endpoint_id=endpoint_id, owner="anna", url="https://anna.example", types=["video.failed"],
                secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", created_at=now(),
            )
        )  # fmt: skip
    return {
        "endpoint_id": endpoint_id,
        "delivery_id": str(uuid4()),
        "key": secret,
        "video_id": video_id,
        "storyboard_id": storyboard_id,
        "attempt_id": attempt_id,
        "key_id": secret.split("_")[1],
        "scene_number": "1",
        "upload_id": upload_id,
        "name:path": "Ana",
    }


def filled(path: str, things: dict[str, str]) -> str:
    for name, value in things.items():
        path = path.replace("{" + name + "}", value)
    return path


async def test_every_route_except_the_public_ones_requires_a_key(gateway: Gateway, annas: dict[str, str]) -> None:
    routes = set(routes_of(gateway))
    assert len(routes) > 20
    for method, path in sorted(routes - OPEN):
        answer = await calling(gateway).request(method, filled(path, annas), json=BODIES.get(path, {}))
        assert answer.status_code == 401, (method, path, answer.text)


async def test_no_route_exposes_another_owners_videos(gateway: Gateway, annas: dict[str, str], key: MakeKey) -> None:
    before = (await calling(gateway, annas["key"]).get(f"/api/v1/videos/{annas['video_id']}")).json()
    bob = calling(gateway, await key("bob"))
    asked = 0
    named = {"owner": "anna", "videoId": annas["video_id"]}
    for method, path in sorted(set(routes_of(gateway)) - OPEN):
        answer = await bob.request(method, filled(path, annas), json=BODIES.get(path, {}), params=named)
        told = (method, path, answer.status_code, answer.text)
        assert "anna" not in answer.text, told
        if "{" in path:
            # 403 where bob's key allows such a thing to nobody; what is there does not show either way.
            assert answer.status_code in (404, 403), told
            asked += answer.status_code == 404
        if answer.status_code == 403:
            elsewhere = {name: str(uuid4()) if "_id" in name else value for name, value in annas.items()}
            assert (await bob.request(method, filled(path, elsewhere), json=BODIES.get(path, {}))).status_code == 403
    assert asked >= 8
    assert (await calling(gateway, annas["key"]).get(f"/api/v1/videos/{annas['video_id']}")).json() == before


@pytest.mark.parametrize("name", sorted(procedures.router.procedures))
async def test_no_trpc_procedure_is_public_or_exposes_another_owners_videos(
    gateway: Gateway, annas: dict[str, str], key: MakeKey, name: str
) -> None:
    async def call(secret: str | None, video_id: str) -> tuple[int, str]:
        given: dict[str, Any] = {"prompt": "bob's hen"} if name == "video.generate" else {"videoId": video_id}
        given |= {"sceneNumber": 1, "description": "bob's hen"} if name == "video.rejectFrame" else {}
        if name == "video.list":
            given = {}
        # Every kind takes a POST, so one way of asking is enough.
        answer = await calling(gateway, secret).post(f"/api/trpc/{name}", json=given)
        return answer.status_code, answer.text.replace(annas["video_id"], "").replace(video_id, "")

    bobs = await key("bob")
    status, text = await call(None, annas["video_id"])
    assert status == 401 or "UNAUTHORIZED" in text
    other = await call(bobs, annas["video_id"])
    assert "anna" not in other[1]
    if name not in ("video.generate", "video.list"):
        assert "NOT_FOUND" in other[1]
        unknown = await call(bobs, str(uuid4()))
        assert re.sub(r'"requestId":"\w+"', "", other[1]) == re.sub(r'"requestId":"\w+"', "", unknown[1])
        assert "NOT_FOUND" not in (await call(annas["key"], annas["video_id"]))[1]


async def test_the_owner_and_an_administrator_find_a_video_on_every_route(
    gateway: Gateway, annas: dict[str, str], key: MakeKey
) -> None:
    root = await key("root", "admin")
    of_hers = [one for one in set(routes_of(gateway)) - OPEN if "{video_id}" in one[1] or "{storyboard_id}" in one[1]]
    looks = sorted(one for one in of_hers if one[0] != "DELETE")
    # What is deleted is gone for the next one: from the inside out, and once.
    deletes = sorted((one for one in of_hers if one[0] == "DELETE"), key=lambda one: -len(one[1]))
    for secret, routes in ((annas["key"], looks), (root, [*looks, *deletes])):
        api = calling(gateway, secret)
        assert (await api.get("/api/v1/videos")).json()["total"] >= 1
        for method, path in routes:
            answer = await api.request(method, filled(path, annas), json=BODIES.get(path, {}))
            assert answer.status_code not in (401, 403, 404), (method, path, answer.text)


# --- sockets


@contextlib.asynccontextmanager
async def serving(gateway: Gateway) -> AsyncIterator[str]:
    """Serve the gateway on a local port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        app = gateway.app(gateway.storage, routes=[])
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            await eventually(lambda: server.started, 20, "it serves", every=0.01)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


@contextlib.asynccontextmanager
async def connected(
    url: str, auth: object = None, headers: dict[str, str] | None = None
) -> AsyncIterator[tuple[socketio.AsyncClient, list[tuple[str, Any]]]]:
    """Connect a socket; yields it with the events that it gets."""
    client, heard = socketio.AsyncClient(reconnection=False), list[tuple[str, Any]]()
    client.on("*", lambda name, data: heard.append((name, data)))
    await client.connect(url, auth=auth, headers=headers or {}, transports=["websocket"], wait_timeout=10)
    try:
        yield client, heard
    finally:
        await client.disconnect()


async def test_a_socket_gets_only_its_owners_videos(gateway: Gateway, annas: dict[str, str], key: MakeKey) -> None:
    video = UUID(annas["video_id"])
    token = (await calling(gateway, annas["key"]).post("/api/v1/token")).json()["token"]
    browser = await signed_in(gateway, annas["key"])
    cookie = {"Cookie": f"{SESSION_COOKIE}={browser.cookies[SESSION_COOKIE]}"}
    async with serving(gateway) as url, contextlib.AsyncExitStack() as stack:

        async def open_socket(auth: object = None, **headers: str) -> Any:
            return await stack.enter_async_context(connected(url, auth, headers))

        bob, bob_heard = await open_socket({"token": await key("bob")})
        eve, eve_heard = await open_socket({"token": await key("eve")})
        annas_heard = [
            (await open_socket({"token": annas["key"]}))[1],
            (await open_socket({"token": token}))[1],
            (await open_socket(**cookie))[1],
            (await open_socket(Authorization=f"Bearer {annas['key']}"))[1],
            (await open_socket({"token": await key("root", "admin")}))[1],
        ]
        for body in ({"videoId": str(video)}, {"videoId": str(video), "lastSeq": 0}, str(video), str(uuid4())):
            answer = await bob.call("subscribe_video_updates", body, timeout=10)
            assert answer["ok"] is False
            assert "secret" not in answer["error"]
        seq = (await gateway.queries.newest_event(video))[0].seq or 0
        told = LiveEvent(seq=seq + 1, after=seq, type="video_failed", data={"videoId": str(video), "seq": seq + 1})
        await gateway.event_stream.publish(video, "anna", told)
        # An answer comes after whatever was sent before it.
        assert (await eve.call("subscribe_video_updates", str(uuid4()), timeout=10))["ok"] is False
        assert (await bob.call("subscribe_video_updates", str(uuid4()), timeout=10))["ok"] is False
        assert (bob_heard, eve_heard) == ([], [])
        await eventually(lambda: all(annas_heard), 10, "all of anna's sockets hear it", every=0.02)
        assert {data["videoId"] for heard in annas_heard for _, data in heard} == {str(video)}


async def test_a_socket_with_an_invalid_token_is_refused(gateway: Gateway, key: MakeKey) -> None:
    good = await key("anna")
    writer = await key("anna", "write")
    async with serving(gateway) as url:
        for auth in (
            None,
            {},
            {"token": ""},
            {"token": "x"},
            {"token": 5},
            {"token": good[:-3] + "xxx"},
            "x",
            {"token": writer},
        ):
            with pytest.raises(socketio.exceptions.ConnectionError):
                async with connected(url, auth):
                    pass
        assert not [room for room in gateway.live.server.manager.rooms.get("/", {}) if room is not None]
        async with connected(url, {"token": good}):
            pass


async def test_sockets_and_streams_end_when_their_key_is_revoked(
    gateway: Gateway, annas: dict[str, str], key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.live.rooms.CACHE_SECONDS", 0.1)
    monkeypatch.setattr("gateway.videos.event_stream.LOOK_EVERY_SECONDS", 0.1)
    secret, other = await key("anna"), await key("anna")
    video = (await calling(gateway, annas["key"]).post("/api/v1/videos", json={"prompt": "a fox"})).json()
    trpc = f"/api/trpc/video.events?input={json.dumps({'videoId': video['videoId']})}"

    async def listen(path: str) -> str:
        async with httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {secret}"}) as client:
            return (await client.get(path)).text

    async with (
        serving(gateway) as url,
        connected(url, {"token": secret}) as (socket, _),
        connected(url, {"token": other}) as (stays, _),
    ):
        listening = [asyncio.create_task(listen(path)) for path in (video["links"]["events"], trpc)]
        await asyncio.sleep(0.5)
        assert socket.connected
        assert not any(task.done() for task in listening)
        await gateway.keys.revoke(secret.split("_")[1])
        await eventually(lambda: not socket.connected, 10, "the socket is closed", every=0.02)
        told = await asyncio.wait_for(asyncio.gather(*listening), 10)
        assert "Reconnect" in told[1]
        assert stays.connected


@pytest.mark.parametrize("name", sorted(RESERVED))
async def test_an_event_with_a_reserved_name_does_not_keep_a_revoked_socket_open(
    gateway: Gateway, key: MakeKey, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("gateway.live.rooms.CACHE_SECONDS", 0.1)
    secret = await key("anna")
    async with serving(gateway) as url, connected(url, {"token": secret}) as (socket, _):
        for _ in range(3):
            await socket.emit(name, ("client namespace disconnect", {"token": secret}))
        assert (await socket.call("unsubscribe_video_updates", str(uuid4()), timeout=10)) == {"ok": True}
        assert len(gateway.live.key_checks) == 1
        assert len(gateway.live.tasks) <= 1
        await gateway.keys.revoke(secret.split("_")[1])
        await eventually(lambda: not socket.connected, 10, "the socket is closed", every=0.02)
    assert gateway.live.key_checks == {}


@pytest.mark.parametrize("event", ["unsubscribe_video_updates", "subscribe_video_updates", "not_an_event"])
async def test_every_socket_event_counts_against_the_rate_limit(gateway: Gateway, key: MakeKey, event: str) -> None:
    secret = await key("anna", callsPerMinute=20)
    async with serving(gateway) as url, connected(url, {"token": secret}) as (socket, _):
        for _ in range(30):
            await socket.emit(event, str(uuid4()))
        answer = await socket.call("unsubscribe_video_updates", str(uuid4()), timeout=10)
    assert answer["ok"] is False
    assert "More than 20 calls in a minute" in answer["error"]
    assert (await calling(gateway, secret).get("/api/v1/videos")).status_code == 429


async def test_events_of_one_socket_are_handled_with_limited_concurrency(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await opened(auth="none")
    going, most, may_end = 0, 0, asyncio.Event()

    async def handle(_sid: str, _data: object = None) -> str:
        nonlocal going, most
        going += 1
        most = max(most, going)
        await may_end.wait()
        going -= 1
        return "done"

    gateway.live.server.on("slow", handle)
    async with serving(gateway) as url, connected(url) as (socket, _):
        for _ in range(100):
            await socket.emit("slow", 1)
        await eventually(lambda: going == MAX_CONCURRENT_EVENTS, 10, "some are handled", every=0.02)
        async with connected(url) as (other, _):
            assert (await other.call("unsubscribe_video_updates", timeout=10)) == {"ok": True}
        may_end.set()
        assert (await socket.call("slow", 1, timeout=10)) == "done"
    assert most == MAX_CONCURRENT_EVENTS


async def test_unsigned_connections_are_closed_and_limited_in_number(
    gateway: Gateway, key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.live.socket_server.SIGN_IN_SECONDS", 0.5)
    monkeypatch.setattr("gateway.live.socket_server.MAX_UNSIGNED", 2)
    good = {"token": await key("anna")}
    async with serving(gateway) as url, aiohttp.ClientSession() as session, connected(url, good) as (stays, _):
        address = f"{url}/socket.io/?EIO=4&transport=websocket"
        silent = [await session.ws_connect(address) for _ in range(2)]
        await silent[0].send_str('40{"token":"no"}')  # refused, and stays
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(address)

        async def end(connection: aiohttp.ClientWebSocketResponse) -> None:
            async for _ in connection:
                pass

        await asyncio.wait_for(asyncio.gather(*map(end, silent)), 10)
        assert gateway.live.server.unsigned == {}
        async with connected(url, good):
            pass
        assert stays.connected


async def test_malformed_packets_have_no_effect(gateway: Gateway, key: MakeKey) -> None:
    async with serving(gateway) as url, connected(url, {"token": await key("anna")}) as (socket, _):
        for packet in ("2[]", "2{}", "2[1]", "2[null]", '2[["disconnect"]]', "2"):
            await socket.eio.send(packet)
        assert (await socket.call("subscribe_video_updates", timeout=10))["ok"] is True


async def test_signing_out_ends_this_session_on_every_replica(
    gateway: Gateway, opened: Open, key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys_module, "CACHE_SECONDS", 0.1)
    monkeypatch.setattr("gateway.live.rooms.CACHE_SECONDS", 0.1)
    replica, secret = await opened(), await key("anna")
    browser, other = await signed_in(gateway, secret), await signed_in(gateway, secret)
    stolen, kept = browser.cookies[SESSION_COOKIE], other.cookies[SESSION_COOKIE]

    async def status(at: Gateway, session: str) -> int:
        return (await calling(at, cookies={SESSION_COOKIE: session}).get("/api/v1/videos")).status_code

    assert [await status(at, one) for at in (gateway, replica) for one in (stolen, kept)] == [200] * 4
    cookie = {"Cookie": f"{SESSION_COOKIE}={stolen}"}
    async with serving(gateway) as url, connected(url, headers=cookie) as (socket, _):
        assert (await browser.delete("/api/v1/session")).status_code == 204
        assert (await calling(gateway, cookies={SESSION_COOKIE: stolen}).delete("/api/v1/session")).status_code == 204
        assert await status(gateway, stolen) == 401
        await eventually(lambda: not socket.connected, 10, "its socket is closed", every=0.02)
    await asyncio.sleep(0.2)
    assert await status(replica, stolen) == 401
    assert [await status(at, kept) for at in (gateway, replica)] == [200, 200]
    for nothing in ("", "x.y"):
        answer = await calling(gateway, cookies={SESSION_COOKIE: nothing}).delete("/api/v1/session")
        assert answer.status_code == 204


@pytest.mark.parametrize(
    ("origins", "page", "opens"),
    [
        (("*",), "http://evil.example", False),
        (("*",), "null", False),
        (("*",), "file://", False),
        (("*", "http://app.example"), "http://app.example", True),
        (("http://app.example",), "http://app.example", True),
        (("*",), None, True),
    ],
)
async def test_with_any_origin_allowed_the_cookie_is_ignored(
    opened: Open, origins: tuple[str, ...], page: str | None, opens: bool
) -> None:
    gateway = await opened(cors_origins=origins)
    secret, _ = await gateway.keys.create(KeyRequest(owner="anna", name="n", scopes={"read"}))
    session = (await signed_in(gateway, secret)).cookies[SESSION_COOKIE]
    headers = {"Cookie": f"{SESSION_COOKIE}={session}", **({"Origin": page} if page else {})}
    async with serving(gateway) as url:
        if opens:
            async with connected(url, headers=headers):
                pass
        else:
            with pytest.raises(socketio.exceptions.ConnectionError):
                async with connected(url, headers=headers):
                    pass
        async with connected(url, {"token": secret}, headers={"Origin": page} if page else {}):
            pass


@pytest.mark.parametrize("page", ["https://evil.example", "null", "file://"])
@pytest.mark.parametrize("origins", [(), ("https://good.example",)])
async def test_only_pages_of_listed_origins_open_a_socket(opened: Open, origins: tuple[str, ...], page: str) -> None:
    gateway = await opened(cors_origins=origins)
    secret, _ = await gateway.keys.create(KeyRequest(owner="anna", name="n", scopes={"read"}))
    async with serving(gateway) as url:
        with pytest.raises(socketio.exceptions.ConnectionError):
            async with connected(url, {"token": secret}, headers={"Origin": page}):
                pass


async def test_the_id_derived_from_an_idempotency_key_is_unpredictable(opened: Open) -> None:
    seen = set()
    for secret in ("a" * 32, "b" * 32):
        gateway = await opened(auth_secret=SecretStr(secret), storyboard_wait_seconds=0)
        made, _ = await gateway.keys.create(KeyRequest(owner="anna", name="n", scopes={"read", "write"}))
        api = calling(gateway, made)
        api.headers["idempotency-key"] = "1"
        ids = {(await api.post("/api/v1/storyboards", json=WISH)).json()["storyboardId"] for _ in range(2)}
        assert len(ids) == 1, "the same each time"
        seen |= ids
    assert len(seen) == 2, "and another one under another secret"
