"""Luma's wire format (Dream Machine): create, look, list, delete. Source: lumaai 1.21 and Luma's openapi.yaml."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulator.account import Account
from simulator.faults import Fault
from simulator.ledger import Kind, Task
from simulator.pictures import Given, digested, size_of

BASE = "/dream-machine/v1"
PRICES: dict[tuple[str, str], dict[str, Decimal]] = {
    ("ray-2", "540p"): {"5s": Decimal("0.40"), "9s": Decimal("0.72")},
    ("ray-2", "720p"): {"5s": Decimal("0.71"), "9s": Decimal("1.27")},
    ("ray-2", "1080p"): {"5s": Decimal("1.59"), "9s": Decimal("2.87")},
    ("ray-flash-2", "540p"): {"5s": Decimal("0.14"), "9s": Decimal("0.25")},
    ("ray-flash-2", "720p"): {"5s": Decimal("0.24"), "9s": Decimal("0.43")},
    ("ray-flash-2", "1080p"): {"5s": Decimal("0.55"), "9s": Decimal("0.99")},
}
PICTURE_PRICES = {"photon-1": Decimal("0.0073"), "photon-flash-1": Decimal("0.0019")}
PICTURE_SHORT_SIDE = 1080
PICTURE_WORK_SECONDS = 5.0
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


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Concept(_Strict):
    key: Annotated[str, AfterValidator(_concept)]


class _Picture(_Strict):
    type: Literal["image"]
    url: str


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


class _Weighted(_Strict):
    url: str
    weight: Annotated[float, Field(ge=0, le=1)] | None = None


class _Identity(_Strict):
    images: Annotated[list[str], Field(min_length=1, max_length=4)]


class _Characters(_Strict):
    identity0: _Identity


class PictureOrder(_Strict):
    """`POST /generations/image`."""

    model: Literal["photon-1", "photon-flash-1"]
    prompt: str = ""
    aspect_ratio: Literal["1:1", "16:9", "9:16", "4:3", "3:4", "21:9", "9:21"] = "16:9"
    format: Literal["jpg", "png"] = "jpg"
    character_ref: _Characters | None = None
    image_ref: Annotated[list[_Weighted], Field(max_length=4)] = []
    style_ref: Annotated[list[_Weighted], Field(max_length=1)] = []
    callback_url: str | None = None
    generation_type: Literal["image"] = "image"


def routes(account: Account) -> list[Route]:
    """Return Luma's API for this account."""

    async def create(request: Request) -> Response:
        if (refused := _refused(request)) is not None:
            return refused
        body = await request.body()
        form = PictureOrder if request.url.path.endswith("/image") else Order
        try:
            order = form.model_validate_json(body)
        except ValidationError as error:
            return _error(400, "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()))
        links = _links(order)
        if (wrong := _wrong_with(order, links, account)) is not None:
            return _error(400, wrong)
        pictures = tuple([await _given(role, link, account) for role, link in links])

        def good(fault: Fault | None) -> Response:
            task = account.accept(_task_of(order, pictures), fault)
            return JSONResponse(shown(task, account), 201)

        kind: Kind = "picture" if isinstance(order, PictureOrder) else "clip"
        sent = digested(from_json(body)) | {"pictures": [picture.shown() for picture in pictures]}
        return await account.answer(request, "luma", "create", good, order.prompt, kind, sent)

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
        Route(f"{BASE}/generations/image", create, methods=["POST"]),
        Route(f"{BASE}/generations", listed, methods=["GET"]),
        Route(f"{BASE}/generations/{{task_id:uuid}}", look, methods=["GET"]),
        Route(f"{BASE}/generations/{{task_id:uuid}}", delete, methods=["DELETE"]),
    ]


def shown(task: Task, account: Account) -> dict[str, Any]:
    """A Generation, as every answer and every callback carries it."""
    link = account.clip_url(task) if task.state == "succeeded" else None
    video, image = (link, None) if task.kind == "clip" else (None, link)
    created = datetime.fromtimestamp(task.created_at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "id": task.id,
        "generation_type": "video" if task.kind == "clip" else "image",
        "state": STATES[task.state],
        "failure_reason": task.ending.reason if task.state == "failed" and task.ending else None,
        "created_at": created,
        "assets": {"video": video, "image": image, "progress_video": None} if link else None,
        "model": task.model,
        "request": task.request,
    }


def _task_of(order: Order | PictureOrder, pictures: tuple[Given, ...]) -> Task:
    across, down = map(int, order.aspect_ratio.split(":"))
    request = order.model_dump(mode="json", exclude_none=True)
    if isinstance(order, PictureOrder):
        return Task(
            provider="luma",
            model=order.model,
            prompt=order.prompt,
            seconds=0,
            size=size_of(across, down, PICTURE_SHORT_SIDE),
            price=PICTURE_PRICES[order.model],
            work_seconds=PICTURE_WORK_SECONDS,
            request=request,
            callback_url=order.callback_url,
            kind="picture",
            pictures=pictures,
        )
    seconds = int(order.duration[:-1])
    return Task(
        provider="luma",
        model=order.model,
        prompt=order.prompt,
        seconds=seconds,
        size=size_of(across, down, SHORT_SIDE[order.resolution]),
        price=PRICES[order.model, order.resolution][order.duration],
        work_seconds=seconds * WORK_SECONDS_PER_SECOND,
        request=request,
        callback_url=order.callback_url,
        first_frame=order.keyframes is not None,
        pictures=pictures,
    )


def _links(order: Order | PictureOrder) -> list[tuple[str, str]]:
    """Return the pictures of an order, as role and link."""
    if isinstance(order, PictureOrder):
        people = order.character_ref.identity0.images if order.character_ref else []
        return [
            *(("reference", link) for link in people),
            *(("reference", one.url) for one in order.image_ref),
            *(("style", one.url) for one in order.style_ref),
        ]
    first = order.keyframes.frame0 if order.keyframes else None
    return [("first_frame", first.url)] if isinstance(first, _Picture) else []


async def _given(role: str, link: str, account: Account) -> Given:
    """Return a picture of an order: with its bytes if this simulator made it, as Luma can read its own pictures."""
    task = account.picture_at(link)
    data = None if task is None else (await account.clip_store.picture(task)).read_bytes()
    return Given(role, data, link)


def _wrong_with(order: Order | PictureOrder, links: list[tuple[str, str]], account: Account) -> str | None:
    first = order.keyframes.frame0 if isinstance(order, Order) and order.keyframes else None
    if not order.prompt and first is None:
        return "Prompt is required"
    if len(order.prompt) < 3:
        return "Prompt is too short, minimum length is 3 characters"
    if len(order.prompt) > 5000:
        return "Prompt is too long, maximum length is 5000 characters"
    if any(urlsplit(link).scheme != "https" and account.picture_at(link) is None for _, link in links):
        return "The image must be a public HTTPS URL"
    if isinstance(order, Order) and order.keyframes is not None and first is None and order.keyframes.frame1 is None:
        return "No keyframes provided"
    if isinstance(first, _Earlier) and not _is_finished(first.id, account):
        return "Generation of frame0 is not a completed video"
    return None


def _is_finished(task_id: str, account: Account) -> bool:
    try:
        task = account.ledger.find("luma", str(UUID(task_id)))
    except ValueError:
        return False
    return task is not None and task.state == "succeeded" and task.kind == "clip"


def _refused(request: Request) -> Response | None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or not key.startswith("luma-") or "invalid" in key:
        return _error(401, "Invalid API key is provided")
    return None


def _error(status: int, detail: str) -> Response:
    return JSONResponse({"detail": detail}, status)
