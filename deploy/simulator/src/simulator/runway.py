"""Runway's wire format: create, look, cancel. Source: runwayml 5.24 and docs.dev.runwayml.com."""

import hashlib
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulator.account import Account
from simulator.faults import Fault
from simulator.ledger import Kind, Task
from simulator.pictures import Given, digested, given, size_like
from simulator.runway_orders import AUTO_SECONDS, FORMS, LONGEST_AUTO_SECONDS, ImageToVideo, Order, TextToImage

VERSION = "2024-11-06"
CREDITS_PER_SECOND = {"gen4.5": 12, "gen4_turbo": 5, "grok_imagine_1_5_lite": 3, "seedance2_mini": 16}
CREDITS_PER_FIRST_FRAME = {"grok_imagine_1_5_lite": 1}
CREDITS_PER_PICTURE = {"gen4_image": 5, "gen4_image_turbo": 2}
"""At 720p."""
WORK_SECONDS_PER_SECOND = 7.0
PICTURE_WORK_SECONDS = 5.0
DOCS = "https://docs.dev.runwayml.com/api"


def routes(account: Account) -> list[Route]:
    """Return Runway's API for this account."""

    async def create(request: Request) -> Response:
        refused = _refused(request)
        if refused is not None:
            return refused
        body = await request.body()
        try:
            order = FORMS[request.url.path.rpartition("/")[2]].validate_json(body)
        except ValidationError as error:
            return _invalid(error)
        if isinstance(order, TextToImage):
            tags = Counter(reference.tag for reference in order.referenceImages if reference.tag)
            if tags and max(tags.values()) > 1:
                issues = [_issue(["referenceImages"], "Tags must be unique")]
                return _error(400, "Validation of body failed", issues=issues)
        sent = from_json(body)

        def good(fault: Fault | None) -> Response:
            task = account.accept(_task_of(order, digested(sent)), fault)
            return JSONResponse({"id": task.id, "estimatedCost": _cost(task.price)})

        kind: Kind = "picture" if isinstance(order, TextToImage) else "clip"
        return await account.answer(request, "runway", "create", good, order.promptText or "", kind, sent)

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
        Route("/v1/text_to_image", create, methods=["POST"]),
        Route("/v1/tasks/{task_id:uuid}", look, methods=["GET"]),
        Route("/v1/tasks/{task_id:uuid}", cancel, methods=["DELETE"]),
    ]


def _task_of(order: Order, request: dict[str, Any]) -> Task:
    prompt = order.promptText or ""
    if isinstance(order, TextToImage):
        return Task(
            provider="runway",
            model=order.model,
            prompt=prompt,
            seconds=0,
            size=_size(order.ratio),
            price=Decimal(CREDITS_PER_PICTURE[order.model]) / 100,
            work_seconds=PICTURE_WORK_SECONDS,
            request=request,
            kind="picture",
            pictures=tuple(given("reference", one.uri, one.tag) for one in order.referenceImages),
        )
    first = _first_frame(order) if isinstance(order, ImageToVideo) else None
    seconds = AUTO_SECONDS if order.duration == "auto" else order.duration
    reserved = LONGEST_AUTO_SECONDS if order.duration == "auto" else order.duration
    extra = CREDITS_PER_FIRST_FRAME.get(order.model, 0) if first else 0
    return Task(
        provider="runway",
        model=order.model,
        prompt=prompt,
        seconds=seconds,
        size=_size(order.ratio, first),
        price=(_credits(order.model, reserved) + extra) / 100,
        work_seconds=seconds * WORK_SECONDS_PER_SECOND,
        request=request,
        first_frame=first is not None,
        pictures=(first,) if first else (),
        billed=_billed(order.model, prompt, seconds),
    )


def _billed(model: str, prompt: str, seconds: int) -> Decimal | None:
    """Return what a clip really costs, where the maximum is reserved: for some prompts, a second less."""
    if model != "seedance2_mini":
        return None
    saved = hashlib.sha256(prompt.encode()).digest()[0] % 2
    return _credits(model, seconds - saved) / 100


def _first_frame(order: ImageToVideo) -> Given:
    uri = order.promptImage if isinstance(order.promptImage, str) else order.promptImage[0].uri
    return given("first_frame", uri)


def _size(ratio: str, first: Given | None = None) -> tuple[int, int]:
    if ratio.startswith("auto_"):
        return size_like(first.data if first else None, int(ratio[5:-1]))
    width, height = map(int, ratio.split(":"))
    return width, height


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
