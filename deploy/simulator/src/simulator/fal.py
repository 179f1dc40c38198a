"""The queue of fal.ai, which serves Pika: submit, status, result, cancel. Source: fal-client 1.0 and fal.ai/docs."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulator.account import Account
from simulator.faults import Fault
from simulator.ledger import Task

APP = "/fal-ai/pika"
PRICES = {"720p": Decimal("0.20"), "1080p": Decimal("0.45")}
"""USD for 5 seconds."""
WORK_SECONDS_PER_SECOND = 8.0
SHAPES = {"16:9": (16, 9), "9:16": (9, 16), "1:1": (1, 1), "4:5": (4, 5), "5:4": (5, 4), "3:2": (3, 2), "2:3": (2, 3)}
RUNNER_STATUS = {
    "request_timeout": 504,
    "startup_timeout": 504,
    "runner_scheduling_failure": 503,
    "runner_connection_timeout": 503,
    "runner_connection_refused": 503,
    "runner_connection_error": 503,
    "runner_disconnected": 503,
    "runner_incomplete_response": 502,
    "runner_server_error": 500,
    "internal_error": 500,
    "client_disconnected": 499,
    "client_cancelled": 499,
    "bad_request": 400,
}
"""Statuses of the platform's own errors; errors of the model have 422."""


def _image(url: str) -> str:
    if not url.startswith(("https://", "data:image/")):
        raise ValueError("Input should be a public URL or a data URI")
    return url


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TextToVideo(_Strict):
    """`POST /fal-ai/pika/v2.2/text-to-video`. Callers send the duration as a number or as a string."""

    prompt: str
    negative_prompt: str = "ugly, bad, terrible"
    aspect_ratio: Literal["16:9", "9:16", "1:1", "4:5", "5:4", "3:2", "2:3"] = "16:9"
    resolution: Literal["720p", "1080p"] = "720p"
    duration: Literal[5, 10, "5", "10"] = 5
    seed: int | None = None


class ImageToVideo(_Strict):
    """`POST /fal-ai/pika/v2.2/image-to-video`. The shape follows the image."""

    prompt: str
    image_url: Annotated[str, AfterValidator(_image)]
    negative_prompt: str = ""
    resolution: Literal["720p", "1080p"] = "720p"
    duration: Literal[5, 10, "5", "10"] = 5
    seed: int | None = None


def routes(account: Account) -> list[Route]:
    """Return fal's queue API for this account."""

    async def submit(request: Request) -> Response:
        if (refused := _refused(request)) is not None:
            return refused
        form = TextToVideo if request.url.path.endswith("text-to-video") else ImageToVideo
        try:
            order = form.model_validate_json(await request.body())
        except ValidationError as error:
            detail = [{"loc": ["body", *e["loc"]], "msg": e["msg"], "type": e["type"]} for e in error.errors()]
            return JSONResponse({"detail": detail}, 422, {"X-Fal-Retryable": "false"})

        def good(fault: Fault | None) -> Response:
            seconds = int(order.duration)
            task = Task(
                provider="pika",
                model="v2.2",
                prompt=order.prompt,
                seconds=seconds,
                size=_size(order),
                price=PRICES[order.resolution] * (seconds // 5),
                work_seconds=seconds * WORK_SECONDS_PER_SECOND,
                request=order.model_dump(mode="json", exclude={"image_url"}),
                callback_url=request.query_params.get("fal_webhook"),
                first_frame=isinstance(order, ImageToVideo),
            )
            account.accept(task, fault)
            queued = {"status": "IN_QUEUE", **_urls(task, account), "queue_position": _position(task, account)}
            return JSONResponse(queued, headers=_request_id(task))

        return await account.answer(request, "pika", "create", good, order.prompt)

    async def status(request: Request) -> Response:
        if (refused := _refused(request)) is not None:
            return refused

        def good(_fault: Fault | None) -> Response:
            task = account.ledger.find("pika", str(request.path_params["task_id"]))
            if task is None:
                return JSONResponse({"detail": "Request not found"}, 404)
            task.looks.append(account.ledger.clock())
            shown, code = _status(task, account)
            return JSONResponse(shown, code, _request_id(task))

        return await account.answer(request, "pika", "get", good)

    async def result(request: Request) -> Response:
        if (refused := _refused(request)) is not None:
            return refused

        def good(_fault: Fault | None) -> Response:
            task = account.ledger.find("pika", str(request.path_params["task_id"]))
            if task is None:
                return JSONResponse({"detail": "Request not found"}, 404)
            if not task.ended:
                return JSONResponse({"detail": "Request is still in progress"}, 400)
            return JSONResponse(*_result(task, account), _request_id(task))

        return await account.answer(request, "pika", "get", good)

    async def cancel(request: Request) -> Response:
        if (refused := _refused(request)) is not None:
            return refused

        def good(_fault: Fault | None) -> Response:
            task = account.ledger.find("pika", str(request.path_params["task_id"]))
            if task is None:
                return JSONResponse({"status": "NOT_FOUND"}, 404)
            if task.ended:
                return JSONResponse({"status": "ALREADY_COMPLETED"}, 400)
            account.ledger.cancel(task)
            return JSONResponse({"status": "CANCELLATION_REQUESTED"}, 202)

        return await account.answer(request, "pika", "cancel", good)

    return [
        Route(f"{APP}/v2.2/text-to-video", submit, methods=["POST"]),
        Route(f"{APP}/v2.2/image-to-video", submit, methods=["POST"]),
        Route(f"{APP}/requests/{{task_id:uuid}}/status", status, methods=["GET"]),
        Route(f"{APP}/requests/{{task_id:uuid}}/cancel", cancel, methods=["PUT"]),
        Route(f"{APP}/requests/{{task_id:uuid}}", result, methods=["GET"]),
    ]


def webhook(task: Task, account: Account) -> dict[str, Any] | None:
    """Return the body that fal posts to `fal_webhook` once, when the request has ended."""
    if not task.ended:
        return None
    body, code = _result(task, account)
    common = {"request_id": task.id, "gateway_request_id": task.id}
    if code == 200:
        return {**common, "status": "OK", "payload": body}
    return {**common, "status": "ERROR", "error": f"Unexpected status code: {code}", "payload": body}


def _status(task: Task, account: Account) -> tuple[dict[str, Any], int]:
    urls = _urls(task, account)
    if task.state == "queued":
        return {"status": "IN_QUEUE", **urls, "queue_position": _position(task, account)}, 202
    if task.state == "running":
        return {"status": "IN_PROGRESS", **urls, "logs": None}, 202
    done: dict[str, Any] = {"status": "COMPLETED", **urls, "logs": None, "metrics": {}}
    if task.started_at is not None and task.ended_at is not None and task.charged:
        done["metrics"] = {"inference_time": round(task.ended_at - task.started_at, 3)}
    if task.state != "succeeded":
        code = _code(task)
        done |= {"error": task.ending.reason if task.ending else "Request was cancelled", "error_type": code}
    return done, 200


def _result(task: Task, account: Account) -> tuple[dict[str, Any], int]:
    if task.state == "succeeded":
        name = f"{task.id}.mp4"
        video = {"url": account.clip_url(task), "content_type": "video/mp4", "file_name": name, "file_size": 0}
        return {"video": video}, 200
    code = _code(task)
    reason = task.ending.reason if task.ending else "Request was cancelled"
    if code in RUNNER_STATUS:
        return {"detail": reason, "error_type": code}, RUNNER_STATUS[code]
    return {"detail": [{"loc": ["body", "prompt"], "msg": reason, "type": code, "input": task.prompt}]}, 422


def _code(task: Task) -> str:
    if task.state == "cancelled":
        return "client_cancelled"
    return (task.ending.code if task.ending else "") or "internal_error"


def _position(task: Task, account: Account) -> int:
    waiting = [one for one in account.ledger.active["pika"] if one.state == "queued"]
    return waiting.index(task) if task in waiting else 0


def _urls(task: Task, account: Account) -> dict[str, str]:
    url = f"{account.public_url}{APP}/requests/{task.id}"
    return {
        "request_id": task.id,
        "response_url": url,
        "status_url": f"{url}/status",
        "cancel_url": f"{url}/cancel",
    }


def _request_id(task: Task) -> dict[str, str]:
    return {"x-fal-request-id": task.id}


def _size(order: TextToVideo | ImageToVideo) -> tuple[int, int]:
    across, down = SHAPES[order.aspect_ratio] if isinstance(order, TextToVideo) else SHAPES["16:9"]
    short = int(order.resolution[:-1])
    if across >= down:
        return short * across // down // 2 * 2, short
    return short, short * down // across // 2 * 2


def _refused(request: Request) -> Response | None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme != "Key" or not key or "invalid" in key:
        return JSONResponse({"detail": "Cannot access application. Authentication is required."}, 401)
    return None
