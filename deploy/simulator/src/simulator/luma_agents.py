"""The wire format of Luma Agents: create, look. Source: luma-agents 0.5 and docs.agents.lumalabs.ai."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulator.account import Account
from simulator.faults import Fault
from simulator.ledger import Kind, Task
from simulator.pictures import Given, decoded, digested, size_of

BASE = "/luma-agents/v1"
"""The real API has the path `/v1` on a host of its own."""
PRICES: dict[str, dict[str, Decimal]] = {
    "540p": {"5s": Decimal("0.15"), "10s": Decimal("0.45")},
    "720p": {"5s": Decimal("0.30"), "10s": Decimal("0.90")},
    "1080p": {"5s": Decimal("1.20"), "10s": Decimal("3.60")},
}
PICTURE_PRICE, REFERENCE_PRICE = Decimal("0.0404"), Decimal("0.003")
PICTURE_SHORT_SIDE = 1080
WORK_SECONDS_PER_SECOND = 8.0
PICTURE_WORK_SECONDS = 6.0
VIDEO_RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4", "21:9")
STATES = {"queued": "queued", "running": "processing", "succeeded": "completed", "failed": "failed"}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Source(_Strict):
    data: str | None = None
    media_type: str | None = None
    url: str | None = None
    generation_id: str | None = None
    file_id: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(one is not None for one in (self.data, self.url, self.generation_id, self.file_id)) != 1:
            raise ValueError("Provide exactly one of url, data, generation_id, or file_id")
        if self.data is not None and (decoded(self.data) is None or not (self.media_type or "").startswith("image/")):
            raise ValueError("data must be base64 with an image media_type")
        if self.url is not None and urlsplit(self.url).scheme != "https":
            raise ValueError("url must be a public HTTPS URL")
        return self


class _Video(_Strict):
    resolution: Literal["540p", "720p", "1080p"] = "720p"
    duration: Literal["5s", "10s"] = "5s"
    start_frame: _Source | None = None
    end_frame: _Source | None = None
    loop: bool = False

    @model_validator(mode="after")
    def _short(self) -> Self:
        if self.duration != "5s" and (self.start_frame or self.end_frame or self.loop):
            raise ValueError("start_frame, end_frame and loop need a duration of 5s")
        return self


class Order(_Strict):
    """`POST /generations`, of pictures and clips."""

    model: Literal["uni-1", "ray-3.2"] = "uni-1"
    type: Literal["image", "video"] = "image"
    prompt: Annotated[str, Field(min_length=1, max_length=6000)]
    aspect_ratio: (
        Literal["3:1", "2:1", "21:9", "16:9", "4:3", "3:2", "1:1", "3:4", "2:3", "9:16", "1:2", "1:3"] | None
    ) = None
    image_ref: Annotated[list[_Source], Field(max_length=9)] = []
    output_format: Literal["png", "jpeg"] | None = None
    style: Literal["auto", "manga"] = "auto"
    user_id: str | None = None
    video: _Video | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.model == "ray-3.2") != (self.type == "video"):
            raise ValueError(f"model {self.model} does not support type {self.type}")
        if self.type == "video" and (self.image_ref or self.output_format):
            raise ValueError("image_ref and output_format are for images")
        if self.type == "image" and self.video is not None:
            raise ValueError("video is for type video")
        if self.type == "video" and self.aspect_ratio not in (None, *VIDEO_RATIOS):
            raise ValueError(f"aspect_ratio must be one of {', '.join(VIDEO_RATIOS)}")
        return self


def routes(account: Account) -> list[Route]:
    """Return the API of Luma Agents for this account."""

    async def create(request: Request) -> Response:
        if (refused := _refused(request)) is not None:
            return refused
        body = await request.body()
        try:
            order = Order.model_validate_json(body)
        except ValidationError as error:
            return _error(422, "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()))
        sent = from_json(body)

        def good(fault: Fault | None) -> Response:
            task = account.accept(_task_of(order, digested(sent)), fault)
            return JSONResponse(_shown(task, account), 201)

        kind: Kind = "clip" if order.type == "video" else "picture"
        return await account.answer(request, "luma-agents", "create", good, order.prompt, kind, sent)

    async def look(request: Request) -> Response:
        if (refused := _refused(request)) is not None:
            return refused

        def good(_fault: Fault | None) -> Response:
            task = account.ledger.find("luma-agents", str(request.path_params["task_id"]))
            if task is None:
                return _error(404, "Generation not found")
            task.looks.append(account.ledger.clock())
            return JSONResponse(_shown(task, account))

        return await account.answer(request, "luma-agents", "get", good)

    return [
        Route(f"{BASE}/generations", create, methods=["POST"]),
        Route(f"{BASE}/generations/{{task_id:uuid}}", look, methods=["GET"]),
    ]


def _task_of(order: Order, request: dict[str, Any]) -> Task:
    across, down = map(int, (order.aspect_ratio or "16:9").split(":"))
    if order.type == "image":
        return Task(
            provider="luma-agents",
            model=order.model,
            prompt=order.prompt,
            seconds=0,
            size=size_of(across, down, PICTURE_SHORT_SIDE),
            price=PICTURE_PRICE + REFERENCE_PRICE * len(order.image_ref),
            work_seconds=PICTURE_WORK_SECONDS,
            request=request,
            kind="picture",
            pictures=tuple(_given("reference", source) for source in order.image_ref),
        )
    video = order.video or _Video()
    seconds = int(video.duration[:-1])
    return Task(
        provider="luma-agents",
        model=order.model,
        prompt=order.prompt,
        seconds=seconds,
        size=size_of(across, down, int(video.resolution[:-1])),
        price=PRICES[video.resolution][video.duration],
        work_seconds=seconds * WORK_SECONDS_PER_SECOND,
        request=request,
        first_frame=video.start_frame is not None,
        pictures=(_given("first_frame", video.start_frame),) if video.start_frame else (),
    )


def _given(role: str, source: _Source) -> Given:
    data = decoded(source.data) if source.data is not None else None
    return Given(role, data, source.url or source.generation_id or source.file_id)


def _shown(task: Task, account: Account) -> dict[str, Any]:
    created = datetime.fromtimestamp(task.created_at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    shown: dict[str, Any] = {
        "id": task.id,
        "created_at": created,
        "model": task.model,
        "state": STATES[task.state],
        "type": "video" if task.kind == "clip" else "image",
        "output": [],
    }
    if task.state == "succeeded":
        shown["output"] = [{"type": shown["type"], "url": account.clip_url(task)}]
    if task.state == "failed" and task.ending is not None:
        shown |= {"failure_code": task.ending.code or "generation_failed", "failure_reason": task.ending.reason}
    return shown


def _refused(request: Request) -> Response | None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or not key.startswith("luma-api-") or "invalid" in key:
        return _error(401, "Invalid API key")
    return None


def _error(status: int, detail: str) -> Response:
    return JSONResponse({"detail": detail}, status, {"X-API-Version": "2026-04-01"})
