"""The adapter answers fixed requests as the real @trpc/server did, recorded by `clients/newest/record.mjs`."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from starlette.applications import Starlette
from starlette.requests import Request

from gateway.trpc.errors import TRPCError
from gateway.trpc.request_handler import Config, Limits
from gateway.trpc.router import Call, Router, Tracked
from gateway.trpc.server import Server
from gateway.trpc.superjson import UNDEFINED
from shared.http.json_bounds import check_json

RECORDED = json.loads(Path(__file__).with_name("clients").joinpath("golden.json").read_text())
OTHER_TEXT = {
    "superjson: text": 'Unsupported content-type "text/plain"',
    "plain: a form": 'Unsupported content-type "application/x-www-form-urlencoded"',
}
"""Where the real one forgets a quotation mark."""

router: Router[None] = Router()


class Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class VideoInput(Model):
    video_id: str


class EventsInput(VideoInput):
    last_event_id: str | None = None


class Page(Model):
    limit: Annotated[int, Field(ge=1, le=100, strict=True)] = 20
    offset: Annotated[int, Field(ge=0, strict=True)] = 0


class Wish(Model):
    prompt: Annotated[str, Field(min_length=1, max_length=20)]
    scene_count: Annotated[int, Field(ge=1, le=5, strict=True)] = 3
    tags: Annotated[list[str], Field(max_length=2)] | None = None


class Generated(Model):
    prompt: str
    scene_count: int


class Video(Model):
    video_id: str
    progress: float
    created_at: datetime
    completed_at: datetime | None


class Tick(Model):
    seq: int
    at: datetime


AT = datetime(2026, 10, 25, 12, 0, 0, 123000, tzinfo=UTC)


@router.query("echo")
async def echo(_call: Call[None], value: Any) -> Any:
    return value


@router.query("nothing")
async def nothing(_call: Call[None]) -> Any:
    return UNDEFINED


@router.query("empty")
async def empty(_call: Call[None]) -> None:
    return None


@router.query("video.get")
async def get(_call: Call[None], video: VideoInput) -> Video:
    if video.video_id == "gone":
        raise TRPCError("NOT_FOUND", "Video gone not found")
    if video.video_id == "ended":
        raise TRPCError("CONFLICT", "Video ended has ended")
    return Video(video_id=video.video_id, progress=42.5, created_at=AT, completed_at=None)


@router.query("video.list")
async def list_videos(_call: Call[None], page: Page | None = None) -> Page:
    return page or Page()


@router.mutation("video.generate")
async def generate(_call: Call[None], wish: Wish) -> Generated:
    return Generated(prompt=wish.prompt, scene_count=wish.scene_count)


@router.subscription("video.events")
async def events(_call: Call[None], wish: EventsInput) -> AsyncIterator[Tracked[Tick]]:
    if wish.video_id == "gone":
        raise TRPCError("NOT_FOUND", "Video gone not found")
    for seq in range(int(wish.last_event_id or 0) + 1, 4):
        yield Tracked(str(seq), Tick(seq=seq, at=AT))


async def no_context(_request: Request, _calls: int) -> Any:
    return "nobody"


@pytest.fixture
async def api() -> AsyncIterator[httpx.AsyncClient]:
    server = Server(Config(router, no_context, check_json=check_json, limits=Limits(body=1000)))
    transport = httpx.ASGITransport(app=Starlette(routes=[server.route("/api/trpc")]))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway/api/trpc/") as client:
        yield client


@pytest.mark.parametrize("recorded", RECORDED, ids=[one["name"] for one in RECORDED])
async def test_answers_equal_those_of_the_real_server(api: httpx.AsyncClient, recorded: dict[str, Any]) -> None:
    answer = await api.request(
        recorded["method"], recorded["path"], headers=recorded["headers"], content=recorded.get("body")
    )
    assert answer.status_code == recorded["status"]
    if (recorded["contentType"] or "").startswith("text/event-stream"):
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert _events(answer.text) == _events(recorded["text"])
        return
    if recorded["text"]:
        # The real one sends some errors as text, which they are not.
        assert answer.headers["content-type"] == "application/json"
    expected = json.loads(recorded["text"] or "null")
    if recorded["name"] in OTHER_TEXT:
        error = expected["error"]
        error.get("json", error)["message"] = OTHER_TEXT[recorded["name"]]
    assert _known(json.loads(answer.text or "null")) == _known(expected)


def _events(text: str) -> list[dict[str, Any]]:
    """Return the events of a stream as fields."""
    blocks = (dict(line.split(": ", 1) for line in block.split("\n") if line) for block in text.split("\n\n"))
    return [{**block, "data": _known(json.loads(block["data"] or "null"))} for block in blocks if block]


def _known(value: Any) -> Any:
    """Return what both servers answer: with issues parsed from their JSON text, without our own additions."""
    if isinstance(value, list):
        return [_known(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "requestId" in value:
        assert value["requestId"]
    known = {key: _known(item) for key, item in value.items() if key != "requestId"}
    if isinstance(known.get("message"), str) and known["message"].startswith("[\n"):
        known["message"] = json.loads(known["message"])
    return known
