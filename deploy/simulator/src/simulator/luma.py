"""Luma's wire format (Dream Machine): create, look, list, delete. Source: lumaai 1.21 and Luma's openapi.yaml."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulator.account import Account
from simulator.faults import Fault
from simulator.ledger import Task

BASE = "/dream-machine/v1"
PRICES: dict[tuple[str, str], dict[str, Decimal]] = {
    ("ray-2", "540p"): {"5s": Decimal("0.40"), "9s": Decimal("0.72")},
    ("ray-2", "720p"): {"5s": Decimal("0.71"), "9s": Decimal("1.27")},
    ("ray-2", "1080p"): {"5s": Decimal("1.59"), "9s": Decimal("2.87")},
    ("ray-flash-2", "540p"): {"5s": Decimal("0.14"), "9s": Decimal("0.25")},
    ("ray-flash-2", "720p"): {"5s": Decimal("0.24"), "9s": Decimal("0.43")},
    ("ray-flash-2", "1080p"): {"5s": Decimal("0.55"), "9s": Decimal("0.99")},
}
SHORT_SIDE = {"540p": 540, "720p": 720, "1080p": 1080}
WORK_SECONDS_PER_SECOND = 9.0
STATES = {
    "queued": "queued",
    "running": "dreaming",
    "succeeded": "completed",
    "failed": "failed",
    "cancelled": "failed",
}
CONCEPTS = frozenset(
    "static pan_left pan_right tilt_up tilt_down zoom_in zoom_out push_in pull_out truck_left truck_right pedestal_up "
    "pedestal_down roll_left roll_right orbit_left orbit_right crane_up crane_down dolly_zoom handheld aerial "
    "aerial_drone overhead low_angle high_angle eye_level ground_level over_the_shoulder pov selfie bolt_cam "
    "tiny_planet elevator_doors".split()
)


def _concept(key: str) -> str:
    if key not in CONCEPTS:
        raise ValueError(f"Unknown concept {key}")
    return key


def _https(url: str) -> str:
    if urlsplit(url).scheme != "https":
        raise ValueError("the image must be a public HTTPS URL")
    return url


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Concept(_Strict):
    key: Annotated[str, AfterValidator(_concept)]


class _Picture(_Strict):
    type: Literal["image"]
    url: Annotated[str, AfterValidator(_https)]


class _Earlier(_Strict):
    type: Literal["generation"]
    id: str


class _Keyframes(_Strict):
    frame0: _Picture | _Earlier | None = None
    frame1: _Picture | _Earlier | None = None


class Order(_Strict):
    """`POST /generations/video`."""

    model: Literal["ray-2", "ray-flash-2"]
    prompt: str = ""
    aspect_ratio: Literal["1:1", "16:9", "9:16", "4:3", "3:4", "21:9", "9:21"] = "16:9"
    duration: Literal["5s", "9s"] = "5s"
    resolution: Literal["540p", "720p", "1080p"] = "720p"
    loop: bool = False
    keyframes: _Keyframes | None = None
    concepts: Annotated[list[_Concept], Field(max_length=4)] = []
    callback_url: str | None = None
    generation_type: Literal["video"] = "video"


def routes(account: Account) -> list[Route]:
    """Return Luma's API for this account."""

    async def create(request: Request) -> Response:
        if (refused := _refused(request)) is not None:
            return refused
        try:
            order = Order.model_validate_json(await request.body())
        except ValidationError as error:
            return _error(400, "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()))
        if (wrong := _wrong_with(order, account)) is not None:
            return _error(400, wrong)

        def good(fault: Fault | None) -> Response:
            task = Task(
                provider="luma",
                model=order.model,
                prompt=order.prompt,
                seconds=int(order.duration[:-1]),
                size=_size(order),
                price=PRICES[order.model, order.resolution][order.duration],
                work_seconds=int(order.duration[:-1]) * WORK_SECONDS_PER_SECOND,
                request=order.model_dump(mode="json", exclude_none=True),
                callback_url=order.callback_url,
                first_frame=order.keyframes is not None,
            )
            account.accept(task, fault)
            return JSONResponse(shown(task, account), 201)

        return await account.answer(request, "luma", "create", good, order.prompt)

    async def look(request: Request) -> Response:
        if (refused := _refused(request)) is not None:
            return refused

        def good(_fault: Fault | None) -> Response:
            task = account.ledger.find("luma", str(request.path_params["task_id"]))
            if task is None:
                return _error(404, "Generation not found")
            task.looks.append(account.ledger.clock())
            return JSONResponse(shown(task, account))

        return await account.answer(request, "luma", "get", good)

    async def listed(request: Request) -> Response:
        if (refused := _refused(request)) is not None:
            return refused

        def good(_fault: Fault | None) -> Response:
            limit = min(int(request.query_params.get("limit", 100)), 100)
            offset = int(request.query_params.get("offset", 0))
            tasks = account.ledger.of("luma")
            page = [shown(task, account) for task in tasks[offset : offset + limit]]
            more = offset + limit < len(tasks)
            return JSONResponse(
                {"generations": page, "has_more": more, "count": len(page), "limit": limit, "offset": offset}
            )

        return await account.answer(request, "luma", "list", good)

    async def delete(request: Request) -> Response:
        if (refused := _refused(request)) is not None:
            return refused

        def good(_fault: Fault | None) -> Response:
            task = account.ledger.find("luma", str(request.path_params["task_id"]))
            if task is None:
                return _error(404, "Generation not found")
            account.ledger.cancel(task)
            task.deleted = True
            return Response(status_code=204)

        return await account.answer(request, "luma", "cancel", good)

    return [
        Route(f"{BASE}/generations/video", create, methods=["POST"]),
        Route(f"{BASE}/generations", listed, methods=["GET"]),
        Route(f"{BASE}/generations/{{task_id:uuid}}", look, methods=["GET"]),
        Route(f"{BASE}/generations/{{task_id:uuid}}", delete, methods=["DELETE"]),
    ]


def shown(task: Task, account: Account) -> dict[str, Any]:
    """A Generation, as every answer and every callback carries it."""
    clip = account.clip_url(task) if task.state == "succeeded" else None
    created = datetime.fromtimestamp(task.created_at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "id": task.id,
        "generation_type": "video",
        "state": STATES[task.state],
        "failure_reason": task.ending.reason if task.state == "failed" and task.ending else None,
        "created_at": created,
        "assets": {"video": clip, "image": None, "progress_video": None} if clip else None,
        "model": task.model,
        "request": task.request,
    }


def _wrong_with(order: Order, account: Account) -> str | None:
    first = order.keyframes.frame0 if order.keyframes else None
    if not order.prompt and first is None:
        return "Prompt is required"
    if len(order.prompt) < 3:
        return "Prompt is too short, minimum length is 3 characters"
    if len(order.prompt) > 5000:
        return "Prompt is too long, maximum length is 5000 characters"
    if order.keyframes is not None and first is None and order.keyframes.frame1 is None:
        return "No keyframes provided"
    if isinstance(first, _Earlier) and not _is_finished(first.id, account):
        return "Generation of frame0 is not completed"
    return None


def _is_finished(task_id: str, account: Account) -> bool:
    try:
        task = account.ledger.find("luma", str(UUID(task_id)))
    except ValueError:
        return False
    return task is not None and task.state == "succeeded"


def _size(order: Order) -> tuple[int, int]:
    """Width and height in pixels, even, the short side as the resolution says."""
    across, down = map(int, order.aspect_ratio.split(":"))
    short = SHORT_SIDE[order.resolution]
    if across >= down:
        return short * across // down // 2 * 2, short
    return short, short * down // across // 2 * 2


def _refused(request: Request) -> Response | None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or not key.startswith("luma-") or "invalid" in key:
        return _error(401, "Invalid API key is provided")
    return None


def _error(status: int, detail: str) -> Response:
    return JSONResponse({"detail": detail}, status)
