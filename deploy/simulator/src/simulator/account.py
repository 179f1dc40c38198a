"""The common parts of the simulated APIs: tasks, faults, the request log, clips and callbacks."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from simulator.clip_store import DAMAGED, HUGE_BYTES, ClipStore
from simulator.faults import Fault, Faults, Operation
from simulator.ledger import Ending, Kind, Ledger, Provider, Task
from simulator.pictures import digested

KEPT_REQUESTS = 20_000
KEPT_HEADERS = ("x-stainless-retry-count", "x-runway-version", "x-fal-no-retry", "retry-after", "user-agent")
INTERNAL_ADDRESS = "http://169.254.169.254/latest/meta-data/"
CALLBACK_SECONDS = 5.0


class Lost(Response):
    """A lost answer: the connection closes after its head."""

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send only the head of an answer."""
        headers = [(b"content-length", b"1000"), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})


@dataclass
class Account:
    """One simulated account at all providers.

    `speed`: the factor by which tasks run faster than real ones. `link_seconds`: how long a clip's URL is valid.
    """

    ledger: Ledger
    faults: Faults
    clip_store: ClipStore
    public_url: str
    speed: float
    link_seconds: float
    links: int = 0
    links_expired_before: float = 0.0
    requests: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT_REQUESTS))

    async def answer(
        self,
        request: Request,
        provider: Provider,
        operation: Operation,
        good: Callable[[Fault | None], Response],
        prompt: str = "",
        kind: Kind | None = None,
        body: Any = None,  # noqa: ANN401 - any JSON
    ) -> Response:
        """Answer a request with `good`, or with its queued fault. `body`: that of an order, for the record."""
        noted = self._note(request, provider, operation)
        if body is not None:
            noted["body"] = digested(body)
        fault = self.faults.take(provider, operation, prompt, kind)
        answer = None if fault is None or fault.done else await self._wrong(fault)
        if answer is None:
            answer = good(fault)
            if fault is not None and fault.done and answer.status_code < 400:
                answer = await self._wrong(fault) or answer
        noted["status"] = answer.status_code
        return answer

    async def _wrong(self, fault: Fault) -> Response | None:
        if fault.hang:
            await asyncio.sleep(fault.hang)
        if fault.drop:
            return Lost()
        if fault.status is None:
            return None
        if fault.data is not None:
            return Response(fault.data, fault.status, fault.headers)
        if fault.text is not None:
            return Response(fault.text, fault.status, fault.headers, media_type="text/html")
        return JSONResponse(fault.body, fault.status, fault.headers)

    def _note(self, request: Request, provider: Provider, operation: Operation) -> dict[str, Any]:
        headers = {name: request.headers[name] for name in KEPT_HEADERS if name in request.headers}
        noted: dict[str, Any] = {"provider": provider, "operation": operation, "at": time.time(), "status": None}
        noted |= {"method": request.method, "path": request.url.path, "headers": headers}
        self.requests.append(noted)
        return noted

    def accept(self, task: Task, fault: Fault | None) -> Task:
        """Accept a task, with the outcome that its fault prescribes."""
        task.work_seconds /= self.speed
        if fault is not None and fault.outcome == "failed":
            task.ending = Ending(fault.code, fault.reason, fault.charged)
        elif fault is not None and fault.outcome == "never":
            task.never_ends = True
        elif fault is not None and fault.outcome == "throttled":
            task.throttled_until = self.ledger.clock() + fault.seconds
        if fault is not None and fault.clip is not None:
            task.clip_fault = fault.clip
        return self.ledger.add(task)

    # --- clips

    def clip_url(self, task: Task) -> str:
        """Return a new, expiring URL of a task's clip or picture."""
        self.links += 1
        query = urlencode({"made": f"{self.ledger.clock():.3f}", "link": self.links})
        where = f"clips/{task.provider}/{task.id}.mp4" if task.kind == "clip" else f"{self._picture_path(task)}"
        return f"{self.public_url}/{where}?{query}"

    def picture_at(self, url: str) -> Task | None:
        """Return the task that made the picture at one of our own URLs."""
        task_id = url.rpartition("/")[2].partition(".")[0]
        task = self.ledger.tasks.get(task_id)
        is_ours = task is not None and url.startswith(f"{self.public_url}/{self._picture_path(task)}")
        return task if is_ours else None

    def _picture_path(self, task: Task) -> str:
        return f"pictures/{task.provider}/{task.id}.jpg"

    async def clip(self, request: Request) -> Response:
        """Serve a clip or a picture."""
        task = self.ledger.tasks.get(request.path_params["task_id"])
        if task is None or task.state != "succeeded":
            return Response("<Error><Code>NoSuchKey</Code></Error>", 404, media_type="application/xml")
        fault = self.faults.take(task.provider, "clip", task.prompt, task.kind)
        self._note(request, task.provider, "clip")
        if "authorization" in request.headers:
            return Response("<Error><Code>InvalidArgument</Code></Error>", 400, media_type="application/xml")
        made = float(request.query_params.get("made", 0))
        if made + self.link_seconds < self.ledger.clock() or made < self.links_expired_before:
            return Response("<Error><Code>AccessDenied</Code></Error>", 403, media_type="application/xml")
        if fault is not None:
            if fault.clip is None and (wrong := await self._wrong(fault)) is not None:
                return wrong
            task.clip_fault = fault.clip or task.clip_fault
        return await self._clip_of(task)

    async def _clip_of(self, task: Task) -> Response:
        media_type = "video/mp4" if task.kind == "clip" else "image/jpeg"
        match task.clip_fault:
            case "html":
                return Response(DAMAGED["html"], media_type="text/html")
            case "garbage" | "playlist":
                return Response(DAMAGED[task.clip_fault], media_type=media_type)
            case "redirect":
                return RedirectResponse(INTERNAL_ADDRESS, 302)
            case "gone":
                return Response("<Error><Code>AccessDenied</Code></Error>", 403, media_type="application/xml")
            case "huge":
                headers = {"content-length": str(HUGE_BYTES)}
                return StreamingResponse(_zeros(), headers=headers, media_type=media_type)
        path = await (self.clip_store.clip(task) if task.kind == "clip" else self.clip_store.picture(task))
        if task.clip_fault == "slow":
            return StreamingResponse(_drops(path.read_bytes()), media_type=media_type)
        if task.clip_fault == "truncated":
            whole = path.read_bytes()
            return Response(whole[: len(whole) // 2], media_type=media_type)
        return FileResponse(path, media_type=media_type)

    # --- callbacks

    async def keep_calling_back(self, body_of: Mapping[Provider, Callable[[Task], dict[str, Any] | None]]) -> None:
        """Send callbacks for all changes of tasks, forever."""
        async with httpx.AsyncClient(timeout=CALLBACK_SECONDS, trust_env=False) as client:
            calls: set[asyncio.Task[None]] = set()
            while True:
                for task in self.ledger.advance():
                    body = body_of[task.provider](task) if task.callback_url else None
                    if body is not None and task.callback_url is not None:
                        call = asyncio.create_task(_call_back(client, task.callback_url, body))
                        calls.add(call)
                        call.add_done_callback(calls.discard)
                await asyncio.sleep(0.05)


async def _call_back(client: httpx.AsyncClient, url: str, body: dict[str, Any]) -> None:
    for pause in (0.1, 0.1, 0.1):
        try:
            if (await client.post(url, json=body)).is_success:
                return
        except httpx.HTTPError:
            pass
        await asyncio.sleep(pause)


async def _zeros() -> AsyncIterator[bytes]:
    block = bytes(2**20)
    for _ in range(HUGE_BYTES // len(block)):
        yield block


async def _drops(whole: bytes) -> AsyncIterator[bytes]:
    for byte in whole:
        yield bytes([byte])
        await asyncio.sleep(1)
