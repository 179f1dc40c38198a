"""The control API: the ledger, the request log, and faults."""

from collections import Counter
from decimal import Decimal
from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulator.account import Account
from simulator.faults import Fault
from simulator.ledger import PROVIDERS, Task


def routes(account: Account) -> list[Route]:
    """Return the control routes of this account."""

    async def ledger(request: Request) -> Response:
        account.ledger.advance()
        only = request.query_params.get("provider")
        tasks = [task for task in account.ledger.tasks.values() if only in (None, task.provider)]
        summary = {
            provider: {
                "tasks": sum(1 for task in tasks if task.provider == provider),
                "chargedUsd": str(sum((t.charged for t in tasks if t.provider == provider), Decimal(0))),
                "peak": account.ledger.peak[provider],
            }
            for provider in PROVIDERS
        }
        return JSONResponse({"providers": summary, "tasks": [_shown(task) for task in tasks]})

    async def requests(_request: Request) -> Response:
        noted = list(account.requests)
        retries = sum(1 for one in noted if one["headers"].get("x-stainless-retry-count", "0") != "0")
        counts = Counter(f"{one['provider']} {one['operation']} {one['status']}" for one in noted)
        return JSONResponse({"counts": counts, "sdkRetries": retries, "requests": noted})

    async def order_fault(request: Request) -> Response:
        try:
            account.faults.order(Fault.model_validate_json(await request.body()))
        except ValidationError as error:
            return JSONResponse({"errors": error.errors(include_url=False, include_context=False)}, 422)
        return Response(status_code=204)

    async def clear_faults(_request: Request) -> Response:
        account.faults.clear()
        return Response(status_code=204)

    async def expire_links(_request: Request) -> Response:
        account.links_expired_before = account.ledger.clock()
        return Response(status_code=204)

    async def configure(request: Request) -> Response:
        wanted = await request.json()
        for provider in PROVIDERS:
            account.ledger.capacity[provider] = int(wanted.get("concurrency", account.ledger.capacity[provider]))
        account.speed = float(wanted.get("speed", account.speed))
        account.link_seconds = float(wanted.get("linkSeconds", account.link_seconds))
        return Response(status_code=204)

    async def end_task(request: Request) -> Response:
        task = account.ledger.tasks.get(request.path_params["task_id"])
        if task is None:
            return Response(status_code=404)
        task.never_ends = False
        return Response(status_code=204)

    return [
        Route("/control/ledger", ledger, methods=["GET"]),
        Route("/control/requests", requests, methods=["GET"]),
        Route("/control/faults", order_fault, methods=["POST"]),
        Route("/control/faults", clear_faults, methods=["DELETE"]),
        Route("/control/faults/clear", clear_faults, methods=["POST"]),
        Route("/control/expire-links", expire_links, methods=["POST"]),
        Route("/control/settings", configure, methods=["POST"]),
        Route("/control/tasks/{task_id}/end", end_task, methods=["POST"]),
    ]


def _shown(task: Task) -> dict[str, Any]:
    return {
        "id": task.id,
        "provider": task.provider,
        "model": task.model,
        "prompt": task.prompt,
        "seconds": task.seconds,
        "size": f"{task.size[0]}x{task.size[1]}",
        "firstFrame": task.first_frame,
        "kind": task.kind,
        "pictures": [picture.shown() for picture in task.pictures],
        "state": task.state,
        "priceUsd": str(task.price),
        "chargedUsd": str(task.charged),
        "createdAt": task.created_at,
        "startedAt": task.started_at,
        "endedAt": task.ended_at,
        "deleted": task.deleted,
        "looks": task.looks,
        "request": task.request,
    }
