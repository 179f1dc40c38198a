"""The commands of the console script. Each returns its exit code."""

import asyncio
import json
import sys
from argparse import Namespace
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from multishot.client import Multishot, Storyboard
from multishot.display import Display, follow, print_list, print_report
from multishot.errors import Refused
from multishot.videos import Video, has_ended

MADE, NOT_MADE = 0, 1


@dataclass(frozen=True)
class Terminal:
    """The output of a command: `out` for its result, `err` for everything else."""

    out: Console
    err: Console
    as_json: bool

    def say(self, text: str) -> None:
        """Print a result without wrapping, so that it can be copied."""
        self.out.print(text, highlight=False, markup=False, soft_wrap=True)

    def note(self, text: str, style: str = "") -> None:
        """Print a remark to `err`."""
        self.err.print(text, style=style, highlight=False, markup=False, soft_wrap=True)

    def give(self, value: Any) -> None:  # noqa: ANN401 - an answer of the API
        """Print a result as JSON."""
        self.out.file.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


async def make(multishot: Multishot, arguments: Namespace, terminal: Terminal) -> int:
    """Make a film."""
    names = ("scenes", "duration", "aspect", "niche", "review", "quality", "clip_sound")
    request = {name: getattr(arguments, name) for name in names}
    references = {name: await multishot.upload(file) for name, file in arguments.reference}
    storyboard = _read(arguments.storyboard)
    video = await multishot.make(arguments.prompt, storyboard=storyboard, references=references, **request)
    if arguments.detach:
        if terminal.as_json:
            terminal.give(video)
        else:
            terminal.say(video["videoId"])
        return MADE
    return await _watch_until_done(multishot, video["videoId"], arguments.download, terminal)


async def watch(multishot: Multishot, arguments: Namespace, terminal: Terminal) -> int:
    """Watch a film until it is done."""
    video_id = arguments.video or await _newest(multishot)
    return await _watch_until_done(multishot, video_id, arguments.download, terminal)


async def get(multishot: Multishot, arguments: Namespace, terminal: Terminal) -> int:
    """Show a film, or its storyboard."""
    video_id = arguments.video or await _newest(multishot)
    if arguments.storyboard:
        terminal.give(await multishot.storyboard_of(video_id))
        return MADE
    video = await multishot.get(video_id)
    if not terminal.as_json:
        with Display(terminal.out) as display:
            display.show(video)
    if arguments.download and not has_ended(video):
        terminal.note(f"The film is not finished. Wait for it with: multishot watch {video_id} --download")
        return NOT_MADE
    return await _finish(multishot, video, arguments.download, terminal)


async def approve(multishot: Multishot, arguments: Namespace, terminal: Terminal) -> int:
    """Continue a film that awaits review: of its storyboard, or of its first frames."""
    video = await multishot.get(arguments.video)
    if video["currentStep"] == "frames":
        video = await multishot.approve_frames(arguments.video)
    else:
        video = await multishot.approve(arguments.video, _read(arguments.storyboard))
    if terminal.as_json:
        terminal.give(video)
    else:
        terminal.say(f"Approved. Watch it with: multishot watch {video['videoId']}")
    return MADE


async def frame(multishot: Multishot, arguments: Namespace, terminal: Terminal) -> int:
    """Have the first frame of a scene made again, or replace it."""
    image = await multishot.upload(arguments.image) if arguments.image else None
    video = await multishot.reject_frame(
        arguments.video, arguments.scene, description=arguments.description, image=image
    )
    if terminal.as_json:
        terminal.give(video)
    else:
        terminal.say(f"Its first frames await your review again soon: multishot watch {video['videoId']}")
    return MADE


async def report(multishot: Multishot, arguments: Namespace, terminal: Terminal) -> int:
    """Show what films cost, how long they take, and how many succeed."""
    figures = await multishot.statistics(since=date.today() - timedelta(days=arguments.days))  # noqa: DTZ011 - any zone
    if terminal.as_json:
        terminal.give(figures)
    else:
        print_report(terminal.out, figures)
    return MADE


async def cancel(multishot: Multishot, arguments: Namespace, terminal: Terminal) -> int:
    """Cancel a film."""
    video = await multishot.cancel(arguments.video)
    if terminal.as_json:
        terminal.give(video)
    else:
        terminal.say("Cancelled.")
    return MADE


async def list_videos(multishot: Multishot, arguments: Namespace, terminal: Terminal) -> int:
    """List the newest films."""
    videos = await multishot.list(status=arguments.status, limit=arguments.limit)
    if terminal.as_json:
        terminal.give(videos)
    elif not videos:
        terminal.note("No films.")
    else:
        print_list(terminal.out, videos)
    return MADE


async def storyboard(multishot: Multishot, arguments: Namespace, terminal: Terminal) -> int:
    """Write a storyboard."""
    request = {name: getattr(arguments, name) for name in ("scenes", "duration", "aspect", "niche")}
    terminal.give(await multishot.storyboard(arguments.prompt, **request))
    return MADE


async def estimate(multishot: Multishot, arguments: Namespace, terminal: Terminal) -> int:
    """Estimate the cost of a film."""
    request = {name: getattr(arguments, name) for name in ("scenes", "duration", "quality")}
    estimated = await multishot.estimate(arguments.prompt, **request)
    if terminal.as_json:
        terminal.give(estimated)
    else:
        terminal.say(f"about ${float(estimated['estimateUsd']):.2f} with {estimated['provider']}")
        tiers = (f"{tier['quality']} ${float(tier['estimateUsd']):.2f}" for tier in estimated.get("tiers", ()))
        terminal.note(", ".join(tiers))
    return MADE


async def _newest(multishot: Multishot) -> str:
    for video in await multishot.list(limit=1):
        return video["videoId"]
    raise Refused(
        httpx.codes.NOT_FOUND, {"title": "No films yet", "detail": 'Try: multishot make "A cat looks for fish"'}
    )


async def _watch_until_done(multishot: Multishot, video_id: str, folder: Path | None, terminal: Terminal) -> int:
    try:
        # With --json nothing else goes to standard output.
        with Display(Console(quiet=True) if terminal.as_json else terminal.out) as display:
            video = await follow(multishot, video_id, display)
    except asyncio.CancelledError:
        terminal.note(f"The film is still being made. Watch it with: multishot watch {video_id}")
        raise
    return await _finish(multishot, video, folder, terminal)


async def _finish(multishot: Multishot, video: Video, folder: Path | None, terminal: Terminal) -> int:
    """Download the film if requested, print what to do next, and return the exit code."""
    file = None
    if folder is not None and video["status"] == "completed":
        file = await _download(multishot, video, folder, terminal)
    if terminal.as_json:
        terminal.give({**video, "file": str(file)} if file else video)
    elif file:
        terminal.say(str(file))
    elif video["currentStep"] == "frames":
        _print_frames(multishot, video, terminal)
    elif video["awaitingReview"]:
        cost = float(video["estimatedCostUsd"])
        terminal.note(f"It will cost about ${cost:.2f}." if cost else "It will cost nothing.")
        terminal.note(f"  edit it:   multishot get {video['videoId']} --storyboard > board.json")
        terminal.note(f"  continue:  multishot approve {video['videoId']} [--storyboard board.json]")
    elif video["status"] == "completed":
        link = httpx.URL(multishot.url).join(str(video["videoUrl"]))
        terminal.say(str(link))
        if terminal.err.is_terminal:
            terminal.note(f"Download it with: multishot get {video['videoId']} --download")
    if video["status"] != "completed" and has_ended(video):
        why = video["errorMessage"] or video["status"]
        terminal.note(f"The film was not made: {why}", "red")
        return NOT_MADE
    return MADE


def _print_frames(multishot: Multishot, video: Video, terminal: Terminal) -> None:
    for scene in video["scenes"]:
        link = scene["firstFrameUrl"]
        shown = str(httpx.URL(multishot.url).join(link)) if link else "none: it starts from its text"
        terminal.say(f"first frame of scene {scene['sceneNumber']}: {shown}")
    spent, left = float(video["costUsd"]), float(video["remainingCostUsd"])
    terminal.note(f"${spent:.2f} were spent; the clips will cost about ${left:.2f}.")
    terminal.note(f"  another picture:  multishot frame {video['videoId']} 1 --description '...'")
    terminal.note(f"  continue:         multishot approve {video['videoId']}")


async def _download(multishot: Multishot, video: Video, folder: Path, terminal: Terminal) -> Path:
    columns = (TextColumn("downloading"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    quiet = terminal.as_json or not terminal.out.is_terminal
    with Progress(*columns, console=terminal.out, transient=True, disable=quiet) as progress:
        task = progress.add_task("", total=None)
        return await multishot.download(
            video, folder, lambda done, size: progress.update(task, completed=done, total=size)
        )


def _read(path: Path | None) -> Storyboard | None:
    """Read a storyboard from a file. Raises `OSError` if it cannot be read or is not JSON."""
    if path is None:
        return None
    text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    try:
        storyboard: Storyboard = json.loads(text)
    except ValueError as error:
        raise OSError(f"{path} is not JSON: {error}") from error
    return storyboard
