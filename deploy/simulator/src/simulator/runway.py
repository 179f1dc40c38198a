"""Runway's wire format: create, look, cancel. Source: runwayml 5.24 and docs.dev.runwayml.com."""

import base64
import binascii
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulator.account import Account
from simulator.faults import Fault
from simulator.ledger import Task

VERSION = "2024-11-06"
CREDITS_PER_SECOND = {"gen4.5": 12, "gen4_turbo": 5}
WORK_SECONDS_PER_SECOND = 7.0
LARGEST_DATA_URI = 5 * 2**20
DOCS = "https://docs.dev.runwayml.com/api"


def _utf16_at_most_1000(text: str) -> str:
    if not 1 <= len(text.encode("utf-16-le")) // 2 <= 1000:
        raise ValueError("String must contain between 1 and 1000 UTF-16 code units")
    return text


def _image(uri: str) -> str:
    if uri.startswith("data:image/"):
        head, _, data = uri.partition(",")
        if len(uri) > LARGEST_DATA_URI:
            raise ValueError("Data URI is too large.")
        if not head.endswith(";base64") or "gif" in head:
            raise ValueError("Invalid data URI.")
        try:
            base64.b64decode(data, validate=True)
        except binascii.Error:
            raise ValueError("Invalid data URI.") from None
        return uri
    if uri.startswith("runway://"):
        return uri
    if urlsplit(uri).scheme != "https":
        raise ValueError("Only HTTPS URLs are allowed.")
    return uri


Prompt = Annotated[str, AfterValidator(_utf16_at_most_1000)]
Image = Annotated[str, AfterValidator(_image)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Moderation(_Strict):
    publicFigureThreshold: Literal["auto", "low"]  # noqa: N815 - the name on the wire


class TextToVideo(_Strict):
    """`POST /v1/text_to_video`."""

    model: Literal["gen4.5"]
    promptText: Prompt  # noqa: N815 - the name on the wire
    ratio: Literal["1280:720", "720:1280"]
    duration: Annotated[int, Field(ge=2, le=10)]
    seed: Annotated[int, Field(ge=0, le=4_294_967_295)] | None = None
    contentModeration: _Moderation | None = None  # noqa: N815 - the name on the wire


class _Position(_Strict):
    uri: Image
    position: Literal["first"]


class ImageToVideo(_Strict):
    """`POST /v1/image_to_video`."""

    model: Literal["gen4.5", "gen4_turbo"]
    promptText: Prompt | None = None  # noqa: N815 - the name on the wire
    promptImage: Image | Annotated[list[_Position], Field(min_length=1, max_length=1)]  # noqa: N815 - as above
    ratio: Literal["1280:720", "720:1280", "1104:832", "960:960", "832:1104", "1584:672"]
    duration: Annotated[int, Field(ge=2, le=10)] = 10
    seed: Annotated[int, Field(ge=0, le=4_294_967_295)] | None = None
    contentModeration: _Moderation | None = None  # noqa: N815 - the name on the wire


def routes(account: Account) -> list[Route]:
    """Return Runway's API for this account."""

    async def create(request: Request) -> Response:
        refused = _refused(request)
        if refused is not None:
            return refused
        form = TextToVideo if request.url.path.endswith("text_to_video") else ImageToVideo
        try:
            order = form.model_validate_json(await request.body())
        except ValidationError as error:
            return _invalid(error)
        if isinstance(order, ImageToVideo) and order.model == "gen4.5" and order.promptText is None:
            return _error(400, "Validation of body failed", issues=[_issue(["promptText"], "Required")])

        def good(fault: Fault | None) -> Response:
            width, height = map(int, order.ratio.split(":"))
            task = Task(
                provider="runway",
                model=order.model,
                prompt=order.promptText or "",
                seconds=order.duration,
                size=(width, height),
                price=_credits(order.model, order.duration) / 100,
                work_seconds=order.duration * WORK_SECONDS_PER_SECOND,
                request=order.model_dump(mode="json", exclude={"promptImage"}),
                first_frame=isinstance(order, ImageToVideo),
            )
            account.accept(task, fault)
            return JSONResponse({"id": task.id, "estimatedCost": _cost(task.price)})

        return await account.answer(request, "runway", "create", good, order.promptText or "")

    async def look(request: Request) -> Response:
        refused = _refused(request)
        if refused is not None:
            return refused

        def good(_fault: Fault | None) -> Response:
            task = account.ledger.find("runway", str(request.path_params["task_id"]))
            if task is None:
                return _error(404, "Could not find Task")
            task.looks.append(account.ledger.clock())
            return JSONResponse(_shown(task, account))

        return await account.answer(request, "runway", "get", good)

    async def cancel(request: Request) -> Response:
        refused = _refused(request)
        if refused is not None:
            return refused

        def good(_fault: Fault | None) -> Response:
            task = account.ledger.find("runway", str(request.path_params["task_id"]))
            if task is None:
                return _error(404, "Could not find Task")
            account.ledger.cancel(task)
            task.deleted = True
            return Response(status_code=204)

        return await account.answer(request, "runway", "cancel", good)

    return [
        Route("/v1/text_to_video", create, methods=["POST"]),
        Route("/v1/image_to_video", create, methods=["POST"]),
        Route("/v1/tasks/{task_id:uuid}", look, methods=["GET"]),
        Route("/v1/tasks/{task_id:uuid}", cancel, methods=["DELETE"]),
    ]


def _shown(task: Task, account: Account) -> dict[str, Any]:
    now = account.ledger.clock()
    created = datetime.fromtimestamp(task.created_at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    shown: dict[str, Any] = {"id": task.id, "createdAt": created}
    match task.state:
        case "queued":
            # More tasks than the account may run: they wait, and become PENDING by themselves.
            throttled = task.throttled_until > now or account.ledger.capacity["runway"] <= _running(account)
            return {**shown, "status": "THROTTLED" if throttled else "PENDING", "estimatedCost": _cost(task.price)}
        case "running":
            progress = round(task.progress(now), 2)
            return {**shown, "status": "RUNNING", "progress": progress, "estimatedCost": _cost(task.price)}
        case "succeeded":
            return {**shown, "status": "SUCCEEDED", "output": [account.clip_url(task)], "cost": _cost(task.charged)}
        case "cancelled":
            return {**shown, "status": "CANCELLED", "cost": _cost(task.charged)}
        case "failed":
            failed = {**shown, "status": "FAILED", "failure": "", "cost": _cost(task.charged)}
            if task.ending is not None:
                failed["failure"] = task.ending.reason
                if task.ending.code:
                    failed["failureCode"] = task.ending.code
            return failed


def _running(account: Account) -> int:
    return sum(1 for task in account.ledger.active["runway"] if task.state == "running")


def _credits(model: str, seconds: int) -> Decimal:
    return Decimal(CREDITS_PER_SECOND[model] * seconds)


def _cost(usd: Decimal) -> dict[str, int]:
    return {"credits": int(usd * 100)}


def _refused(request: Request) -> Response | None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or not key.startswith("key_") or "invalid" in key:
        return _error(401, "You must provide an API key.")
    if request.headers.get("x-runway-version") != VERSION:
        return _error(400, f"The X-Runway-Version header must be {VERSION}.")
    return None


def _invalid(error: ValidationError) -> Response:
    issues = [_issue(list(problem["loc"]), problem["msg"], problem["type"]) for problem in error.errors()]
    return _error(400, "Validation of body failed", issues=issues)


def _issue(path: list[Any], message: str, code: str = "invalid_type") -> dict[str, Any]:
    return {"code": code, "path": path, "message": message}


def _error(status: int, text: str, **more: object) -> Response:
    return JSONResponse({"error": text, **more, "docUrl": DOCS}, status)
