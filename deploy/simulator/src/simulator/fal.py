"""The queue of fal.ai: submit, status, result, cancel. Source: fal-client 1.0, fal.ai/docs and its model pages.

The providers `fal` and `pika` share it; the API key decides to whom a request belongs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulator.account import Account
from simulator.faults import Fault
from simulator.ledger import Kind, Provider, Task
from simulator.pictures import Given, digested, given, size_like, size_of

PIKA_PRICES = {"720p": Decimal("0.20"), "1080p": Decimal("0.45")}
"""USD for 5 seconds."""
LTX_PRICES = {"1080p": Decimal("0.04"), "1440p": Decimal("0.08"), "2160p": Decimal("0.16")}
KLING_PRICES = {False: Decimal("0.112"), True: Decimal("0.168")}
"""Without and with sound."""
SEEDANCE_PRICES = {"480p": Decimal("0.07"), "720p": Decimal("0.155")}
MINIMAX_PRICES = {"480P": Decimal("0.05"), "768P": Decimal("0.06"), "2K": Decimal("0.13"), "4K": Decimal("0.16")}
SEEDREAM_PRICE = Decimal("0.03")
WORK_SECONDS_PER_SECOND = 8.0
PICTURE_WORK_SECONDS = 5.0
LARGEST_REQUEST = 60 * 2**20
SHORT_SIDE = {"480P": 480, "768P": 768, "2K": 1440, "4K": 2160}
IMAGE_SIZES = {
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (720, 1280),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1280, 720),
}
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


Picture = Annotated[str, AfterValidator(_image)]
Prompt = Annotated[str, Field(min_length=1, max_length=5000)]
KlingPrompt = Annotated[str, Field(min_length=1, max_length=2500)]
KlingSeconds = Literal["3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"]
SeedanceSeconds = Literal["auto", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"]
LtxSeconds = Literal[6, 8, 10, 12, 14, 16, 18, 20]


class PikaText(_Strict):
    """`fal-ai/pika/v2.2/text-to-video`. Callers send the duration as a number or as a string."""

    prompt: Prompt
    negative_prompt: str = "ugly, bad, terrible"
    aspect_ratio: Literal["16:9", "9:16", "1:1", "4:5", "5:4", "3:2", "2:3"] = "16:9"
    resolution: Literal["720p", "1080p"] = "720p"
    duration: Literal[5, 10, "5", "10"] = 5
    seed: int | None = None


class PikaImage(_Strict):
    """`fal-ai/pika/v2.2/image-to-video`. The shape follows the image."""

    prompt: Prompt
    image_url: Picture
    negative_prompt: str = ""
    resolution: Literal["720p", "1080p"] = "720p"
    duration: Literal[5, 10, "5", "10"] = 5
    seed: int | None = None


class LtxText(_Strict):
    """`fal-ai/ltx-2.3/text-to-video/fast`."""

    prompt: Prompt
    aspect_ratio: Literal["16:9", "9:16"] = "16:9"
    resolution: Literal["1080p", "1440p", "2160p"] = "1080p"
    duration: LtxSeconds = 6
    fps: Literal[24, 25, 48, 50] = 25
    generate_audio: bool = True


class LtxImage(LtxText):
    """`fal-ai/ltx-2.3/image-to-video/fast`."""

    image_url: Picture
    end_image_url: Picture | None = None
    aspect_ratio: Literal["auto", "16:9", "9:16"] = "auto"  # type: ignore[assignment]  # wider


class KlingText(_Strict):
    """`fal-ai/kling-video/v3/pro/text-to-video`."""

    prompt: KlingPrompt
    negative_prompt: str = "blur, distort, and low quality"
    aspect_ratio: Literal["16:9", "9:16", "1:1"] = "16:9"
    duration: KlingSeconds = "5"
    generate_audio: bool = True


class KlingImage(_Strict):
    """`fal-ai/kling-video/v3/pro/image-to-video`. The shape follows the image."""

    prompt: KlingPrompt
    start_image_url: Picture
    end_image_url: Picture | None = None
    negative_prompt: str = "blur, distort, and low quality"
    duration: KlingSeconds = "5"
    generate_audio: bool = True


class SeedanceText(_Strict):
    """`bytedance/seedance-2.0/mini/text-to-video`."""

    prompt: Prompt
    aspect_ratio: Literal["auto", "21:9", "16:9", "4:3", "1:1", "3:4", "9:16"] = "auto"
    resolution: Literal["480p", "720p"] = "720p"
    duration: SeedanceSeconds = "5"
    generate_audio: bool = True
    seed: int | None = None


class SeedanceImage(SeedanceText):
    """`bytedance/seedance-2.0/mini/image-to-video`."""

    image_url: Picture
    end_image_url: Picture | None = None


class MinimaxText(_Strict):
    """`minimax/h3/text-to-video`."""

    prompt: Prompt
    aspect_ratio: Literal["21:9", "16:9", "4:3", "1:1", "3:4", "9:16"] = "16:9"
    resolution: Literal["480P", "768P", "2K", "4K"] = "768P"
    duration: Annotated[int, Field(ge=5, le=15)] = 5


class MinimaxImage(_Strict):
    """`minimax/h3/image-to-video`. The shape follows the image."""

    prompt: Prompt
    image_url: Picture
    end_image_url: Picture | None = None
    resolution: Literal["480P", "768P", "2K", "4K"] = "768P"
    duration: Annotated[int, Field(ge=5, le=15)] = 5


class SeedreamText(_Strict):
    """`fal-ai/bytedance/seedream/v4/text-to-image`."""

    prompt: Prompt
    image_size: Literal["square_hd", "square", "portrait_4_3", "portrait_16_9", "landscape_4_3", "landscape_16_9"] = (
        "square_hd"
    )
    num_images: Literal[1] = 1
    seed: int | None = None


class SeedreamEdit(SeedreamText):
    """`fal-ai/bytedance/seedream/v4/edit`."""

    image_urls: Annotated[list[Picture], Field(min_length=1, max_length=10)]


@dataclass(frozen=True)
class Application:
    """An application of fal: the form of its input, and the price of an order in USD per second, or of a picture."""

    form: type[_Strict]
    price: Callable[[Any], Decimal]
    kind: Kind = "clip"
    first_frame: str | None = None


APPLICATIONS: dict[str, Application] = {
    "fal-ai/pika/v2.2/text-to-video": Application(PikaText, lambda order: PIKA_PRICES[order.resolution] / 5),
    "fal-ai/pika/v2.2/image-to-video": Application(
        PikaImage, lambda order: PIKA_PRICES[order.resolution] / 5, first_frame="image_url"
    ),
    "fal-ai/ltx-2.3/text-to-video/fast": Application(LtxText, lambda order: LTX_PRICES[order.resolution]),
    "fal-ai/ltx-2.3/image-to-video/fast": Application(
        LtxImage, lambda order: LTX_PRICES[order.resolution], first_frame="image_url"
    ),
    "fal-ai/kling-video/v3/pro/text-to-video": Application(KlingText, lambda order: KLING_PRICES[order.generate_audio]),
    "fal-ai/kling-video/v3/pro/image-to-video": Application(
        KlingImage, lambda order: KLING_PRICES[order.generate_audio], first_frame="start_image_url"
    ),
    "bytedance/seedance-2.0/mini/text-to-video": Application(
        SeedanceText, lambda order: SEEDANCE_PRICES[order.resolution]
    ),
    "bytedance/seedance-2.0/mini/image-to-video": Application(
        SeedanceImage, lambda order: SEEDANCE_PRICES[order.resolution], first_frame="image_url"
    ),
    "minimax/h3/text-to-video": Application(MinimaxText, lambda order: MINIMAX_PRICES[order.resolution]),
    "minimax/h3/image-to-video": Application(
        MinimaxImage, lambda order: MINIMAX_PRICES[order.resolution], first_frame="image_url"
    ),
    "fal-ai/bytedance/seedream/v4/text-to-image": Application(SeedreamText, lambda _: SEEDREAM_PRICE, "picture"),
    "fal-ai/bytedance/seedream/v4/edit": Application(SeedreamEdit, lambda _: SEEDREAM_PRICE, "picture"),
}
"""By path."""


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
