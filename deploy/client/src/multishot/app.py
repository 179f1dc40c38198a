"""The console script `multishot`: its arguments and its exit codes."""

import argparse
import asyncio
import contextlib
import os
import sys
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
from rich.console import Console

from multishot import commands, settings
from multishot.client import Multishot
from multishot.commands import Terminal
from multishot.errors import NotReachable, Refused

REFUSED, NOT_REACHABLE, INTERRUPTED, BROKEN_PIPE = 2, 3, 130, 141
"""Exit codes in addition to those of the commands."""
ABOUT = "Make short films with Multishot, watch their progress, and download them."
MORE = """\
Environment: MULTISHOT_URL is the address of Multishot (http://localhost:8000), MULTISHOT_KEY is your API key, if it
asks for one.

Exit codes: 0 success, 1 the film was not made, 2 the request was refused, 3 Multishot does not answer.
"""


Command = Callable[[Multishot, argparse.Namespace, Terminal], Awaitable[int]]


def main() -> None:
    """Run the command given by the arguments."""
    parser = _parser()
    arguments = parser.parse_args()
    if arguments.command is commands.make and arguments.prompt is None and arguments.storyboard is None:
        parser.error("a prompt or --storyboard is required")
    terminal = Terminal(Console(), Console(stderr=True), arguments.json)
    try:
        code = asyncio.run(_run(arguments, terminal))
        sys.stdout.flush()
    except Refused as error:
        terminal.note(str(error), "red")
        if error.status == httpx.codes.UNAUTHORIZED:
            terminal.note("Set MULTISHOT_KEY to your API key.")
        code = REFUSED if error.status < httpx.codes.INTERNAL_SERVER_ERROR else NOT_REACHABLE
    except NotReachable as error:
        terminal.note(str(error), "red")
        terminal.note("Is it running? Set MULTISHOT_URL to its address.")
        code = NOT_REACHABLE
    except BrokenPipeError:
        # As in `multishot list | head -1`: discard the rest of the output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = BROKEN_PIPE
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
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Command, about: str) -> argparse.ArgumentParser:
        one = subparsers.add_parser(name, help=about, description=about)
        one.set_defaults(command=run)
        one.add_argument("--json", action="store_true", help="print the answer as JSON and nothing else")
        return one

    make = command("make", commands.make, "make a film and watch it until it is done")
    _add_request(make, needs_prompt=False)
    make.add_argument("--storyboard", type=Path, metavar="FILE", help="use this storyboard (JSON); - is standard input")
    make.add_argument(
        "--review", action="store_true", help="stop when the storyboard is written, and before clips; see `approve`"
    )
    _add_quality(make)
    about = "a picture of a person, place or thing in the story; can be given several times"
    make.add_argument("--reference", type=_reference, metavar="NAME=FILE", action="append", default=[], help=about)
    sounds = ("keep", "lower", "drop")
    make.add_argument("--clip-sound", choices=sounds, help="what becomes of the sound that models make (keep)")
    make.add_argument("--detach", action="store_true", help="do not wait for the film")
    _add_download(make)

    for name, run, about in (
        ("watch", commands.watch, "watch a film until it is done"),
        ("get", commands.get, "show a film"),
        ("approve", commands.approve, "continue a film that awaits review"),
        ("cancel", commands.cancel, "cancel a film"),
    ):
        one = command(name, run, about)
        if name in ("watch", "get"):
            one.add_argument("video", metavar="ID", type=_video_id, nargs="?", help="default: the newest film")
            _add_download(one)
        else:
            one.add_argument("video", metavar="ID", type=_video_id)
        if name == "get":
            one.add_argument("--storyboard", action="store_true", help="print its storyboard as JSON")
        if name == "approve":
            one.add_argument("--storyboard", type=Path, metavar="FILE", help="use this edited storyboard (JSON)")

    frame = command("frame", commands.frame, "make another first frame of a scene, while they await review")
    frame.add_argument("video", metavar="ID", type=_video_id)
    frame.add_argument("scene", metavar="N", type=_count, help="the number of the scene")
    another = frame.add_mutually_exclusive_group(required=True)
    another.add_argument("--description", metavar="TEXT", help="what it shows")
    another.add_argument("--image", type=Path, metavar="FILE", help="use this picture")

    report = command("report", commands.report, "show what films cost, how long they take, and how many succeed")
    report.add_argument("--days", type=_count, default=30, metavar="N", help="of the last N days (30)")

    list_ = command("list", commands.list_videos, "list the newest films")
    states = ("pending", "processing", "completed", "failed", "cancelled", "expired")
    list_.add_argument("--status", choices=states, metavar="STATUS", help=", ".join(states))
    list_.add_argument("--limit", type=_count, default=20, metavar="N", help="how many to list (20)")

    storyboard = command("storyboard", commands.storyboard, "write a storyboard as JSON, to edit and film")
    _add_request(storyboard, needs_prompt=True)

    estimate = command("estimate", commands.estimate, "estimate the cost of a film")
    estimate.add_argument("prompt")
    _add_size(estimate)
    _add_quality(estimate)
    return parser


def _add_request(parser: argparse.ArgumentParser, *, needs_prompt: bool) -> None:
    parser.add_argument("prompt", nargs=None if needs_prompt else "?", help="what the film is about")
    _add_size(parser)
    parser.add_argument("--aspect", metavar="W:H", help="16:9, 9:16 or 1:1 (16:9)")
    parser.add_argument("--niche", help="such as food, travel or tech")


def _add_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scenes", type=int, metavar="N", help="1-5 (3)")
    parser.add_argument("--duration", type=int, metavar="SECONDS", help="15-60 (30)")


def _add_quality(parser: argparse.ArgumentParser) -> None:
    tiers = ("draft", "standard", "premium")
    parser.add_argument("--quality", choices=tiers, help="draft is free, premium spends more on key moments (standard)")


def _add_download(parser: argparse.ArgumentParser) -> None:
    about = "download the film into this folder (the current one)"
    parser.add_argument("--download", type=_folder, metavar="DIR", nargs="?", const=Path(), help=about)


def _video_id(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a valid video id; see: multishot list") from None


def _reference(text: str) -> tuple[str, Path]:
    name, _, file = text.partition("=")
    if not name.strip() or not Path(file).is_file():
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=FILE with an existing file")
    return name.strip(), Path(file)


def _folder(text: str) -> Path:
    with contextlib.suppress(ValueError):
        uuid.UUID(text)
        raise argparse.ArgumentTypeError(f"'{text}' is a video id, not a folder; put the id first")
    return Path(text)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of at least 1")
    return int(text)
