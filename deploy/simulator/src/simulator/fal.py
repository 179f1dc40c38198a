"""The queue of fal.ai: submit, status, result, cancel. Source: fal-client 1.0, fal.ai/docs and its model pages.

The providers `fal` and `pika` share it; the API key decides to whom a request belongs.
"""

from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulator.account import Account
from simulator.fal_orders import APPLICATIONS, IMAGE_SIZES
from simulator.faults import Fault
from simulator.ledger import Provider, Task
from simulator.pictures import Given, digested, given, size_like, size_of

WORK_SECONDS_PER_SECOND = 8.0
PICTURE_WORK_SECONDS = 5.0
LARGEST_REQUEST = 60 * 2**20
SHORT_SIDE = {"480P": 480, "768P": 768, "2K": 1440, "4K": 2160}
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


def routes(account: Account) -> list[Route]:
    """Return fal's queue API for this account."""

    async def submit(request: Request) -> Response:
        if (refused := _refused(request)) is not None:
            return refused
        path = request.url.path.strip("/")
        application, body = APPLICATIONS[path], await request.body()
        if len(body) > LARGEST_REQUEST:
            return JSONResponse({"detail": "Request body is too large"}, 413)
        try:
            order = application.form.model_validate_json(body)
        except ValidationError as error:
            detail = [{"loc": ["body", *e["loc"]], "msg": e["msg"], "type": e["type"]} for e in error.errors()]
            return JSONResponse({"detail": detail}, 422, {"X-Fal-Retryable": "false"})
        provider, sent = _provider_of(request), from_json(body)

        def good(fault: Fault | None) -> Response:
            task = _task_of(provider, path, order, digested(sent))
            task.callback_url = request.query_params.get("fal_webhook")
            account.accept(task, fault)
            queued = {"status": "IN_QUEUE", **_urls(task, account), "queue_position": _position(task, account)}
            return JSONResponse(queued, headers=_request_id(task))

        return await account.answer(request, provider, "create", good, sent["prompt"], application.kind, sent)

    def found(request: Request) -> Task | None:
        """Return the task of a request, if it is one of the application in the URL."""
        task = account.ledger.find(_provider_of(request), str(request.path_params["task_id"]))
        return task if task is not None and request.url.path.startswith(f"/{_app_of(task)}/requests/") else None

    async def status(request: Request) -> Response:
        if (refused := _refused(request)) is not None:
            return refused

        def good(_fault: Fault | None) -> Response:
            task = found(request)
            if task is None:
                return JSONResponse({"detail": "Request not found"}, 404)
            task.looks.append(account.ledger.clock())
            shown, code = _status(task, account)
            return JSONResponse(shown, code, _request_id(task))

        return await account.answer(request, _provider_of(request), "get", good)

    async def result(request: Request) -> Response:
        if (refused := _refused(request)) is not None:
            return refused

        def good(_fault: Fault | None) -> Response:
            task = found(request)
            if task is None:
                return JSONResponse({"detail": "Request not found"}, 404)
            if not task.ended:
                return JSONResponse({"detail": "Request is still in progress"}, 400)
            return JSONResponse(*_result(task, account), _request_id(task))

        return await account.answer(request, _provider_of(request), "get", good)

    async def cancel(request: Request) -> Response:
        if (refused := _refused(request)) is not None:
            return refused

        def good(_fault: Fault | None) -> Response:
            task = found(request)
            if task is None:
                return JSONResponse({"status": "NOT_FOUND"}, 404)
            if task.ended:
                return JSONResponse({"status": "ALREADY_COMPLETED"}, 400)
            account.ledger.cancel(task)
            return JSONResponse({"status": "CANCELLATION_REQUESTED"}, 202)

        return await account.answer(request, _provider_of(request), "cancel", good)

    requests = "/{owner}/{alias}/requests/{task_id:uuid}"
    return [
        *(Route(f"/{path}", submit, methods=["POST"]) for path in APPLICATIONS),
        Route(f"{requests}/status", status, methods=["GET"]),
        Route(f"{requests}/cancel", cancel, methods=["PUT"]),
        Route(requests, result, methods=["GET"]),
    ]


def _task_of(provider: Provider, path: str, order: Any, request: dict[str, Any]) -> Task:  # noqa: ANN401 - any form
    application = APPLICATIONS[path]
    model = path.removesuffix("/fast").rpartition("/")[0]
    if application.kind == "picture":
        return Task(
            provider=provider,
            model=model,
            prompt=order.prompt,
            seconds=0,
            size=IMAGE_SIZES[order.image_size],
            price=application.price(order),
            work_seconds=PICTURE_WORK_SECONDS,
            request=request,
            kind="picture",
            pictures=tuple(given("reference", uri) for uri in getattr(order, "image_urls", ())),
        )
    seconds = int(order.duration) if order.duration != "auto" else 5
    first = given("first_frame", getattr(order, application.first_frame)) if application.first_frame else None
    return Task(
        provider=provider,
        model=model,
        prompt=order.prompt,
        seconds=seconds,
        size=_size(order, first),
        price=application.price(order) * seconds,
        work_seconds=seconds * WORK_SECONDS_PER_SECOND,
        request=request,
        first_frame=first is not None,
        pictures=(first,) if first else (),
    )


def _app_of(task: Task) -> str:
    """Return owner and alias, which the URLs of a request begin with."""
    return "/".join(task.model.split("/")[:2])


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
        if task.kind == "picture":
            width, height = task.size
            file = {"url": account.clip_url(task), "content_type": "image/jpeg", "file_name": f"{task.id}.jpg"}
            return {"images": [{**file, "file_size": 0, "width": width, "height": height}], "seed": 1}, 200
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
    waiting = [one for one in account.ledger.active[task.provider] if one.state == "queued"]
    return waiting.index(task) if task in waiting else 0


def _urls(task: Task, account: Account) -> dict[str, str]:
    url = f"{account.public_url}/{_app_of(task)}/requests/{task.id}"
    return {
        "request_id": task.id,
        "response_url": url,
        "status_url": f"{url}/status",
        "cancel_url": f"{url}/cancel",
    }


def _request_id(task: Task) -> dict[str, str]:
    return {"x-fal-request-id": task.id}


def _size(order: Any, first: Given | None) -> tuple[int, int]:  # noqa: ANN401 - any form
    resolution = getattr(order, "resolution", "1080p")
    short = SHORT_SIDE.get(resolution) or int(resolution[:-1])
    ratio = getattr(order, "aspect_ratio", "auto")
    if ratio == "auto":
        return size_like(first.data if first else None, short)
    across, down = map(int, ratio.split(":"))
    return size_of(across, down, short)


def _provider_of(request: Request) -> Provider:
    return "fal" if request.headers["authorization"].startswith("Key fal-") else "pika"


def _refused(request: Request) -> Response | None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme != "Key" or not key or "invalid" in key:
        return JSONResponse({"detail": "Cannot access application. Authentication is required."}, 401)
    return None
