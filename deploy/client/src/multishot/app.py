"""The console script `multishot`: make a film, watch it, list, get, approve, cancel."""

import argparse
import asyncio
import contextlib
import json
import os
import sys
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from multishot import settings
from multishot.client import Multishot, Storyboard
from multishot.display import Display, follow, print_list
from multishot.errors import NotReachable, Refused
from multishot.videos import Video, has_ended

MADE, NOT_MADE, REFUSED, NOT_REACHABLE, INTERRUPTED, NOBODY_READS = 0, 1, 2, 3, 130, 141
ABOUT = "Have short films made by Multishot, watch how they come along, and fetch them."
MORE = """\
MULTISHOT_URL says where Multishot is (http://localhost:8000), MULTISHOT_KEY is your key, where it asks for one.

The exit code is 0 where all is well, 1 where the film was not made, 2 where something was refused,
3 where nobody answers.
"""


@dataclass(frozen=True)
class Terminal:
    """What a command works with: `out` is for what was asked for, `err` for all else."""

    out: Console
    err: Console
    as_json: bool

    def say(self, text: str) -> None:
        """Print what was asked for, as it is: what is to be copied stays in one piece."""
        self.out.print(text, highlight=False, markup=False, soft_wrap=True)

    def note(self, text: str, style: str = "") -> None:
        """Print something about it."""
        self.err.print(text, style=style, highlight=False, markup=False, soft_wrap=True)

    def give(self, value: Any) -> None:  # noqa: ANN401 - whatever the API has answered
        """Print JSON and nothing else."""
        self.out.file.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


Command = Callable[[Multishot, argparse.Namespace, Terminal], Awaitable[int]]


def main() -> None:
    """Run the command that the arguments name."""
    parser = _parser()
    arguments = parser.parse_args()
    if arguments.command is _make and arguments.prompt is None and arguments.storyboard is None:
        parser.error("make what? A prompt is needed, or --storyboard")
    terminal = Terminal(Console(), Console(stderr=True), arguments.json)
    try:
        code = asyncio.run(_run(arguments, terminal))
        sys.stdout.flush()
    except Refused as error:
        terminal.note(str(error), "red")
        if error.status == httpx.codes.UNAUTHORIZED:
            terminal.note("The key is taken from MULTISHOT_KEY.")
        code = REFUSED if error.status < httpx.codes.INTERNAL_SERVER_ERROR else NOT_REACHABLE
    except NotReachable as error:
        terminal.note(str(error), "red")
        terminal.note("Is it running? Another address is named by MULTISHOT_URL.")
        code = NOT_REACHABLE
    except BrokenPipeError:
        # As of `multishot list | head -1`. Nothing that is still to be written is missed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = NOBODY_READS
    except (OSError, httpx.InvalidURL) as error:
        terminal.note(str(error), "red")
        code = REFUSED
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)


async def _run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    command: Command = arguments.command
    async with Multishot(settings.url(), settings.key()) as multishot:
        return await command(multishot, arguments, terminal)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="multishot", description=ABOUT, epilog=MORE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Command, about: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=about, description=about)
        one.set_defaults(command=run)
        one.add_argument("--json", action="store_true", help="print the answer as JSON, and nothing else")
        return one

    make = command("make", _make, "make a film and watch it until it is done")
    _add_wish(make, needs_prompt=False)
    make.add_argument("--storyboard", type=Path, metavar="FILE", help="film this one (JSON); - is the standard input")
    make.add_argument("--review", action="store_true", help="stop once the storyboard is there; see `approve`")
    make.add_argument("--detach", action="store_true", help="do not watch it")
    _add_download(make)

    for name, run, about in (
        ("watch", _watch, "watch a film until it is done"),
        ("get", _get, "look at a film"),
        ("approve", _approve, "let a film that awaits its review go on"),
        ("cancel", _cancel, "cancel a film"),
    ):
        one = command(name, run, about)
        if name in ("watch", "get"):
            one.add_argument(
                "video", metavar="ID", type=_video_id, nargs="?", help="the newest one, unless it is named"
            )
            _add_download(one)
        else:
            one.add_argument("video", metavar="ID", type=_video_id)
        if name == "get":
            one.add_argument("--storyboard", action="store_true", help="print its storyboard, as JSON to be edited")
        if name == "approve":
            one.add_argument("--storyboard", type=Path, metavar="FILE", help="an edited one (JSON)")

    list_ = command("list", _list, "list the newest films")
    states = ("pending", "processing", "completed", "failed", "cancelled", "expired")
    list_.add_argument("--status", choices=states, metavar="STATUS", help=", ".join(states))
    list_.add_argument("--limit", type=_count, default=20, metavar="N", help="how many at most (20)")

    storyboard = command("storyboard", _storyboard, "have a storyboard written, as JSON that can be edited and filmed")
    _add_wish(storyboard, needs_prompt=True)

    estimate = command("estimate", _estimate, "see what a film would cost")
    estimate.add_argument("prompt")
    _add_size(estimate)
    return parser


def _add_wish(parser: argparse.ArgumentParser, *, needs_prompt: bool) -> None:
    parser.add_argument("prompt", nargs=None if needs_prompt else "?", help="what the film should tell")
    _add_size(parser)
    parser.add_argument("--aspect", metavar="W:H", help="16:9, 9:16 or 1:1 (16:9)")
    parser.add_argument("--niche", help="such as food, travel or tech")


def _add_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scenes", type=int, metavar="N", help="1-5 (3)")
    parser.add_argument("--duration", type=int, metavar="SECONDS", help="15-60 (30)")


def _add_download(parser: argparse.ArgumentParser) -> None:
    about = "fetch the film into this folder; without one, into that you are in"
    parser.add_argument("--download", type=_folder, metavar="DIR", nargs="?", const=Path(), help=about)


def _video_id(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no film's id; see: multishot list") from None


def _folder(text: str) -> Path:
    with contextlib.suppress(ValueError):
        uuid.UUID(text)
        raise argparse.ArgumentTypeError(f"'{text}' is a film's id, not a folder; the id comes first")
    return Path(text)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no number from 1 on")
    return int(text)


# --- the commands


async def _make(multishot: Multishot, arguments: argparse.Namespace, terminal: Terminal) -> int:
    wish = {name: getattr(arguments, name) for name in ("scenes", "duration", "aspect", "niche", "review")}
    video = await multishot.make(arguments.prompt, storyboard=_read(arguments.storyboard), **wish)
    if arguments.detach:
        if terminal.as_json:
            terminal.give(video)
        else:
            terminal.say(video["videoId"])
        return MADE
    return await _until_done(multishot, video["videoId"], arguments.download, terminal)


async def _watch(multishot: Multishot, arguments: argparse.Namespace, terminal: Terminal) -> int:
    video_id = arguments.video or await _newest(multishot)
    return await _until_done(multishot, video_id, arguments.download, terminal)


async def _get(multishot: Multishot, arguments: argparse.Namespace, terminal: Terminal) -> int:
    video_id = arguments.video or await _newest(multishot)
    if arguments.storyboard:
        terminal.give(await multishot.storyboard_of(video_id))
        return MADE
    video = await multishot.get(video_id)
    if not terminal.as_json:
        with Display(terminal.out) as display:
            display.show(video)
    if arguments.download and not has_ended(video):
        terminal.note(f"There is no film yet. Wait for it with: multishot watch {video_id} --download")
        return NOT_MADE
    return await _told(multishot, video, arguments.download, terminal)


async def _approve(multishot: Multishot, arguments: argparse.Namespace, terminal: Terminal) -> int:
    video = await multishot.approve(arguments.video, _read(arguments.storyboard))
    if terminal.as_json:
        terminal.give(video)
    else:
        terminal.say(f"Approved. Watch it with: multishot watch {video['videoId']}")
    return MADE


async def _cancel(multishot: Multishot, arguments: argparse.Namespace, terminal: Terminal) -> int:
    video = await multishot.cancel(arguments.video)
    if terminal.as_json:
        terminal.give(video)
    else:
        terminal.say("Cancelled.")
    return MADE


async def _list(multishot: Multishot, arguments: argparse.Namespace, terminal: Terminal) -> int:
    videos = await multishot.list(status=arguments.status, limit=arguments.limit)
    if terminal.as_json:
        terminal.give(videos)
    elif not videos:
        terminal.note("There are none.")
    else:
        print_list(terminal.out, videos)
    return MADE


async def _storyboard(multishot: Multishot, arguments: argparse.Namespace, terminal: Terminal) -> int:
    wish = {name: getattr(arguments, name) for name in ("scenes", "duration", "aspect", "niche")}
    terminal.give(await multishot.storyboard(arguments.prompt, **wish))
    return MADE


async def _estimate(multishot: Multishot, arguments: argparse.Namespace, terminal: Terminal) -> int:
    told = await multishot.estimate(arguments.prompt, scenes=arguments.scenes, duration=arguments.duration)
    if terminal.as_json:
        terminal.give(told)
    else:
        terminal.say(f"about ${float(told['estimateUsd']):.2f}, by {told['provider']}")
    return MADE


# --- what they share


async def _newest(multishot: Multishot) -> str:
    for video in await multishot.list(limit=1):
        return video["videoId"]
    raise Refused(
        httpx.codes.NOT_FOUND, {"title": "No films yet", "detail": 'Try: multishot make "A cat looks for fish"'}
    )


async def _until_done(multishot: Multishot, video_id: str, folder: Path | None, terminal: Terminal) -> int:
    try:
        # Only what was asked for goes to the standard output.
        with Display(Console(quiet=True) if terminal.as_json else terminal.out) as display:
            video = await follow(multishot, video_id, display)
    except asyncio.CancelledError:
        terminal.note(f"The film goes on. Watch it with: multishot watch {video_id}")
        raise
    return await _told(multishot, video, folder, terminal)


async def _told(multishot: Multishot, video: Video, folder: Path | None, terminal: Terminal) -> int:
    """Fetch the film, where that is wished, and say what is next. Returns the exit code."""
    file = None
    if folder is not None and video["status"] == "completed":
        file = await _download(multishot, video, folder, terminal)
    if terminal.as_json:
        terminal.give({**video, "file": str(file)} if file else video)
    elif file:
        terminal.say(str(file))
    elif video["awaitingReview"]:
        cost = float(video["estimatedCostUsd"])
        terminal.note(f"It is going to cost about ${cost:.2f}." if cost else "It is going to cost nothing.")
        terminal.note(f"  see or edit it:   multishot get {video['videoId']} --storyboard > board.json")
        terminal.note(f"  let it go on:     multishot approve {video['videoId']} [--storyboard board.json]")
    elif video["status"] == "completed":
        link = httpx.URL(multishot.url).join(str(video["videoUrl"]))
        terminal.say(str(link))
        if terminal.err.is_terminal:
            terminal.note(f"Fetch it with: multishot get {video['videoId']} --download")
    if video["status"] != "completed" and has_ended(video):
        why = video["errorMessage"] or video["status"]
        terminal.note(f"The film was not made: {why}", "red")
        return NOT_MADE
    return MADE


async def _download(multishot: Multishot, video: Video, folder: Path, terminal: Terminal) -> Path:
    columns = (TextColumn("fetching"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    quiet = terminal.as_json or not terminal.out.is_terminal
    with Progress(*columns, console=terminal.out, transient=True, disable=quiet) as progress:
        task = progress.add_task("", total=None)
        return await multishot.download(
            video, folder, lambda done, size: progress.update(task, completed=done, total=size)
        )


def _read(path: Path | None) -> Storyboard | None:
    """A storyboard of a file. Raises `OSError` with what is wrong."""
    if path is None:
        return None
    text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    try:
        storyboard: Storyboard = json.loads(text)
    except ValueError as error:
        raise OSError(f"{path} is not JSON: {error}") from error
    return storyboard
