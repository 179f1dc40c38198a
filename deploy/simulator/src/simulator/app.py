"""Puts the simulator together: the console script `simulator`."""

import argparse
import asyncio
import contextlib
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from simulator import control, fal, luma, runway
from simulator.account import Account
from simulator.clip_store import ClipStore
from simulator.faults import Faults
from simulator.ledger import Ledger, Provider
from simulator.llm.app import llm_app

LLM_PATH = "/llm"
"""The language model stands apart: `/llm/v1/...`, and its own control API under `/llm/control/llm/...`."""
KEYS: dict[Provider, str] = {"runway": "key_simulated", "luma": "luma-simulated", "pika": "simulated"}
"""Keys that the simulated providers take. Any other does too, unless it holds the word `invalid`."""


@dataclass(frozen=True)
class Settings:
    """How the simulator runs.

    `speed`: how many times faster than life; `concurrency`: tasks each provider works on at once; `link_seconds`: how
    long a clip's address is good; `captions`: whether clips show their prompt; `clips`: a folder that keeps them for
    the next time; `seed`: of faults that hit a share of the requests.
    """

    host: str = "127.0.0.1"
    port: int = 9900
    public_url: str = ""
    speed: float = 10.0
    concurrency: int = 5
    link_seconds: float = 24 * 3600.0
    captions: bool = True
    clips: Path | None = None
    seed: int = 0


def api_urls(url: str) -> dict[Provider, str]:
    """What `VIDEO_API_URL` must be for each provider, with the simulator at `url`."""
    return {"runway": url, "luma": url + luma.BASE, "pika": url}


def llm_url(url: str) -> str:
    """What `LLM_API_URL` must be, with the simulator at `url`."""
    return f"{url}{LLM_PATH}/v1"


def build(settings: Settings, url: str) -> ASGIApp:
    """The simulator as an ASGI app that is reached at `url`."""
    folder = tempfile.TemporaryDirectory(prefix="simulator-")
    account = Account(
        ledger=Ledger(time.time, settings.concurrency),
        faults=Faults(settings.seed),
        clip_store=ClipStore(settings.clips or Path(folder.name), captions=settings.captions),
        public_url=settings.public_url or url,
        speed=settings.speed,
        link_seconds=settings.link_seconds,
    )

    @contextlib.asynccontextmanager
    async def living(_app: Starlette) -> AsyncIterator[None]:
        bodies = {
            "runway": lambda _: None,
            "luma": lambda t: luma.shown(t, account),
            "pika": lambda t: fal.webhook(t, account),
        }
        calling = asyncio.create_task(account.keep_calling_back(bodies))  # type: ignore[arg-type]  # keys are literals
        yield
        calling.cancel()
        folder.cleanup()

    async def about(_request: Request) -> Response:
        return JSONResponse({"apiUrls": api_urls(account.public_url), "keys": KEYS, "llm": llm_url(account.public_url)})

    app = Starlette(
        routes=[*runway.routes(account), *luma.routes(account), *fal.routes(account), *control.routes(account)],
        lifespan=living,
    )
    app.add_route("/", about)
    app.mount(LLM_PATH, llm_app())
    app.add_route("/clips/{provider}/{task_id}.mp4", account.clip)
    return app


@contextlib.asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[str]:
    """Serve until the block ends; yields the URL. Port 0 is any free port."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((settings.host, settings.port))
        url = f"http://{settings.host}:{listening.getsockname()[1]}"
        config = uvicorn.Config(build(settings, url), log_config=None, access_log=False, timeout_graceful_shutdown=1)
        server = _Guest(config)
        task = asyncio.create_task(server.serve([listening]))
        try:
            while not server.started:
                if task.done():
                    task.result()
                await asyncio.sleep(0.01)
            yield url
        finally:
            server.should_exit = True
            await asyncio.gather(task, return_exceptions=True)


class _Guest(uvicorn.Server):
    """A server in a process that is not its own: signals are the host's business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="simulator", description="Runway, Luma, Pika and a language model, without a key and free."
    )
    default = Settings()
    parser.add_argument("--host", default=default.host)
    parser.add_argument("--port", type=int, default=default.port)
    parser.add_argument("--public-url", default="", help="where others reach it, if not at host and port")
    parser.add_argument("--speed", type=float, default=default.speed, help="how many times faster than life")
    parser.add_argument("--concurrency", type=int, default=default.concurrency, help="tasks at once, per provider")
    parser.add_argument("--link-seconds", type=float, default=default.link_seconds, help="how long clip URLs are good")
    parser.add_argument("--no-captions", dest="captions", action="store_false", help="clips do not show their prompt")
    parser.add_argument("--seed", type=int, default=default.seed, help="of faults that hit a share of requests")
    settings = replace(default, **vars(parser.parse_args()))
    host = settings.public_url or f"http://{settings.host}:{settings.port}"
    for provider, url in api_urls(host).items():
        print(f"VIDEO_API_PROVIDER={provider} VIDEO_API_URL={url} VIDEO_API_KEY={KEYS[provider]}", flush=True)
    print(f"LLM_API_URL={llm_url(host)}   SIMULATOR_SPEED={settings.speed:g} PROVIDERS_SIMULATED=true", flush=True)
    config = uvicorn.Config(
        build(settings, host), host=settings.host, port=settings.port, log_config=None, access_log=False
    )
    server = uvicorn.Server(config)
    try:
        asyncio.run(server.serve())
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
    if not server.started:
        sys.exit(f"Port {settings.port} is taken by another program.")
