"""The servers that the benchmark compares, each in its own process: `servers.py bare|plain|feed PORT`.

bare   FastAPI routes that return the same bodies as the gateway's without any work
plain  python-socketio, which emits events on `POST /go`
feed   the gateway's event stream and sockets, with the same events
"""

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import socketio
from fastapi import FastAPI
from pydantic import BaseModel, SecretStr
from uvicorn.loops.auto import auto_loop_factory

from gateway.app import Gateway
from gateway.internal_messages import LiveEvent
from gateway.settings import Settings
from shared.http.serving import freeze_loaded_objects, web_server

VIDEO = UUID(int=1)
BODIES: dict[str, Any] = json.loads(os.environ.get("BENCH_BODIES", "{}"))
EVENT = "video_scene_processing"
DATA: dict[str, Any] = {"videoId": str(VIDEO), "seq": 0, "padding": "x" * 200}


class Wish(BaseModel):
    """The fields of a video request."""

    prompt: str
    sceneCount: int  # noqa: N815 - as on the wire
    duration: int


def bare() -> FastAPI:
    """Return an app with routes that return the same bodies as the gateway's."""
    app = FastAPI()

    @app.get("/api/v1/videos/{video_id}")
    async def get_video(video_id: UUID) -> dict[str, Any]:
        return BODIES[str(video_id)]

    @app.post("/api/v1/videos", status_code=202)
    async def request_video(wish: Wish) -> dict[str, Any]:
        return BODIES[str(VIDEO)]

    return app


def plain() -> socketio.ASGIApp:
    """python-socketio by itself: all sockets in one room."""
    server = socketio.AsyncServer(async_mode="asgi")

    @server.on("connect")
    async def connect(sid: str, _environ: dict[str, Any], _auth: object = None) -> None:
        await server.enter_room(sid, "all")

    async def emit(seq: int) -> None:
        await server.emit(EVENT, DATA | {"seq": seq}, room="all")

    return socketio.ASGIApp(server, other_asgi_app=_trigger(emit))


def feed() -> Any:
    """The gateway's own path from the event stream to the sockets."""
    settings = Settings(
        database_url=SecretStr("sqlite+aiosqlite://"), storage_url=Path.cwd().as_uri(), media_secret=SecretStr("x")
    )
    gateway = Gateway(settings)

    async def emit(seq: int) -> None:
        live = LiveEvent(seq=seq, after=seq - 1, type=EVENT, data=DATA | {"seq": seq})
        await gateway.event_stream.publish(VIDEO, "anonymous", live)

    go = _trigger(emit)
    return socketio.ASGIApp(gateway.live.server, other_asgi_app=go)


def _trigger(emit: Any) -> FastAPI:
    app, emitted = FastAPI(), 0

    @app.post("/go/{count}")
    async def go(count: int) -> None:
        nonlocal emitted
        for seq in range(emitted + 1, emitted + count + 1):
            await emit(seq)
        emitted += count

    return app


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner, contextlib.suppress(KeyboardInterrupt):
        server = web_server(globals()[sys.argv[1]](), "127.0.0.1", int(sys.argv[2]))
        freeze_loaded_objects()
        runner.run(server.serve())
