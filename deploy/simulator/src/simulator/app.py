"""Builds the simulator and runs the console script `simulator`."""

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

from simulator import control, fal, luma, luma_agents, runway
from simulator.account import Account
from simulator.clip_store import ClipStore
from simulator.faults import Faults
from simulator.ledger import Ledger, Provider
from simulator.llm.app import llm_app

LLM_PATH = "/llm"
"""The language model: `/llm/v1/...`, with its own control API at `/llm/control/llm/...`."""
KEYS: dict[Provider, str] = {
    "runway": "key_simulated",
    "luma": "luma-simulated",
    "luma-agents": "luma-api-simulated",
    "pika": "simulated",
    "fal": "fal-simulated",
}
"""API keys of the simulated providers. Any other is accepted too, unless it contains `invalid`.

Pika and fal share one API: keys that begin with `fal-` belong to fal.
"""


@dataclass(frozen=True)
class Settings:
    """The settings of the simulator.

    `speed`: the factor by which tasks run faster than real ones; `concurrency`: tasks that each provider runs at once;
    `link_seconds`: how long clip URLs are valid; `captions`: whether clips show their prompt; `clips`: a folder that
    keeps clips between runs; `seed`: of faults that affect a share of the requests.
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
    """Return `VIDEO_API_URL` for each provider, with the simulator at `url`."""
    return {
        "runway": url,
        "luma": url + luma.BASE,
        "luma-agents": url + luma_agents.BASE,
        "pika": url,
        "fal": url,
    }


def llm_url(url: str) -> str:
    """Return `LLM_API_URL`, with the simulator at `url`."""
    return f"{url}{LLM_PATH}/v1"


def build(settings: Settings, url: str) -> ASGIApp:
    """Return the simulator as an ASGI app that is served at `url`."""
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
            "luma-agents": lambda _: None,
            "pika": lambda t: fal.webhook(t, account),
            "fal": lambda t: fal.webhook(t, account),
        }
        calling = asyncio.create_task(account.keep_calling_back(bodies))  # type: ignore[arg-type]  # keys are literals
        yield
        calling.cancel()
        folder.cleanup()

    async def about(_request: Request) -> Response:
        return JSONResponse({"apiUrls": api_urls(account.public_url), "keys": KEYS, "llm": llm_url(account.public_url)})

    app = Starlette(
        routes=[
            *runway.routes(account),
            *luma.routes(account),
            *luma_agents.routes(account),
            *fal.routes(account),
            *control.routes(account),
        ],
        lifespan=living,
    )
    app.add_route("/", about)
    app.mount(LLM_PATH, llm_app())
    app.add_route("/clips/{provider}/{task_id}.mp4", account.clip)
    app.add_route("/pictures/{provider}/{task_id}.jpg", account.clip)
    return app


@contextlib.asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[str]:
    """Serve until the block ends, and yield the URL. Port 0 selects any free port."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((settings.host, settings.port))
        url = f"http://{settings.host}:{listening.getsockname()[1]}"
        config = uvicorn.Config(build(settings, url), log_config=None, access_log=False, timeout_graceful_shutdown=1)
        server = _EmbeddedServer(config)
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


class _EmbeddedServer(uvicorn.Server):
    """A server that leaves signals to its process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="simulator",
        description="Simulates Runway, Luma, fal (and Pika) and a language model, for free and without keys.",
    )
    default = Settings()
    parser.add_argument("--host", default=default.host)
    parser.add_argument("--port", type=int, default=default.port)
    parser.add_argument("--public-url", default="", help="the public URL, if it is not host and port")
    parser.add_argument("--speed", type=float, default=default.speed, help="how many times faster than real providers")
    parser.add_argument("--concurrency", type=int, default=default.concurrency, help="concurrent tasks per provider")
    parser.add_argument("--link-seconds", type=float, default=default.link_seconds, help="how long clip URLs are valid")
    parser.add_argument("--no-captions", dest="captions", action="store_false", help="clips do not show their prompt")
    parser.add_argument("--seed", type=int, default=default.seed, help="seed of faults that affect a share of requests")
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
        sys.exit(f"Port {settings.port} is in use. Choose another one with --port.")
