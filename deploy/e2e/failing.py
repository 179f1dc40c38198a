"""The scene-render service, modified to be killed, stopped or frozen at one point of a paid attempt.

A process that has imported everything and forks a service for each line of JSON on its standard input: `environment`,
`log`, and, where the service is to fail, `point`, `signal`, `prompt` (of the scene it fails at), `ledger` (where the
providers' record is) and `marker` (a file that says that it has failed). Answers with the pid. The service's own code
knows nothing of this.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

import scene_render.app
from scene_render.attempts import submission
from scene_render.attempts.service import Attempts
from scene_render.clips.clip_ingest import ClipIngest
from scene_render.clips.download import Downloader
from scene_render.clips.picture_ingest import PictureIngest
from scene_render.providers.luma import Luma
from scene_render.providers.runway import Runway

POINTS = (
    "before_intent", "after_intent", "post_in_flight", "answer_lost", "id_not_committed", "polling", "download_half",
    "stored_uncommitted",
)  # fmt: skip


def arm(order: dict[str, str]) -> None:
    """Have this process signal itself when it comes to the point."""
    marker = Path(order["marker"])
    number = signal.Signals[order["signal"]]

    def fail() -> None:
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), number)

    def around(
        owner: Any, name: str, *, before: Callable[[], None] | None = None, after: Callable[[], None] | None = None
    ) -> None:
        real = getattr(owner, name)

        async def wrapped(*arguments: Any, **named: Any) -> Any:
            if before is not None:
                before()
            try:
                return await real(*arguments, **named)
            finally:
                if after is not None:
                    after()

        setattr(owner, name, wrapped)

    async def in_flight(real: Any, *arguments: Any) -> Any:
        posting = asyncio.ensure_future(real(*arguments))
        async with httpx.AsyncClient(trust_env=False) as client:
            ledger = ""
            while order["prompt"] not in ledger:
                await asyncio.sleep(0.05)
                ledger = (await client.get(order["ledger"])).text
        fail()
        return await posting

    match order["point"]:
        case "before_intent":
            around(Attempts, "intend", after=fail)
        case "after_intent":
            around(submission, "submit", before=fail)
        case "post_in_flight":
            for adapter in (Runway, Luma):
                real = adapter.submit
                adapter.submit = lambda *arguments, real=real: in_flight(real, *arguments)  # type: ignore[method-assign]
        case "answer_lost":
            around(Attempts, "unanswered", before=fail)
        case "id_not_committed":
            around(Attempts, "submitted", after=fail)
        case "polling":
            around(Runway, "check", before=fail)
            around(Luma, "check", before=fail)
        case "download_half":
            around(Downloader, "_write", before=fail)
        case "stored_uncommitted":
            around(ClipIngest, "collect", after=fail)
            around(PictureIngest, "collect", after=fail)


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid:
            sys.stdout.write(f"{pid}\n")
            sys.stdout.flush()
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.environ.clear()
        os.environ.update(order["environment"])
        with Path(order["log"]).open("ab") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.argv = ["scene-render"]
        if "point" in order:
            arm(order)
        scene_render.app.main()
        os._exit(0)


if __name__ == "__main__":
    main()
