"""Shows the progress of a video: moving bars in a terminal, otherwise a line for each step."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from multishot.client import WATCH_PATIENCE_SECONDS, Multishot
from multishot.videos import Video

BAR_WIDTH = 24
LONGEST_IN_SECONDS = 100
"""Longer times are shown in minutes."""
WIDE_COLUMNS = 72
"""From this terminal width on, no column of a list is cut but the title."""
SILENT_SECONDS = 3.0
"""After this long without an answer it says so."""

STEPS = {
    "storyboard": "writing the story",
    "review": "awaits your review",
    "scenes": "rendering scenes",
    "frames": "its first frames await your review",
    "combining": "joining the film",
    "storing": "storing the film",
    "completed": "done",
    "failed": "failed",
    "cancelled": "cancelled",
}


class Display:
    """Shows one video while it is open."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.video: Video | None = None
        self.shown_at = 0.0
        self.line = ""
        self.silent_since: Callable[[], float | None] = lambda: None
        self.live: Live | None = None
        if console.is_terminal:
            self.live = Live(get_renderable=self._picture, console=console, refresh_per_second=4)

    def __enter__(self) -> Self:
        if self.live:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self.live.stop()

    def show(self, video: Video) -> None:
        """Show the current state of the video."""
        self.video, self.shown_at = video, time.monotonic()
        if self.live:
            self.live.refresh()
        elif (line := _line(video)) != self.line:
            self.line = line
            left = time_left(video, 0)
            self.console.print(f"{line}, {left}" if left else line, highlight=False, markup=False, soft_wrap=True)

    def _picture(self) -> RenderableType:
        if self.video is None:
            return Text("")
        clock, since = time.monotonic(), self.silent_since()
        return picture(self.video, clock - self.shown_at, 0.0 if since is None else clock - since)


def picture(video: Video, age: float, silence: float = 0.0) -> RenderableType:
    """Return a line for the film and one for each scene.

    `age`: seconds since the video was read; `silence`: seconds since the gateway stopped answering.
    """
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(width=9, no_wrap=True)
    table.add_column(width=BAR_WIDTH)
    table.add_column(width=4, justify="right")
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    silent = silence > SILENT_SECONDS
    about = "  ".join(part for part in (_step(video), "" if silent else time_left(video, age)) if part)
    failed = video["status"] in ("failed", "cancelled")
    table.add_row(Text("film", style="bold"), _bar(video["progress"], failed), _percent(video["progress"]), Text(about))
    for scene in video["scenes"]:
        what = f"{scene['cameraAngle']:<9} {scene['duration']:>4g} s  {scene['action']}"
        name = f"scene {scene['sceneNumber']}/{video['totalScenes']}"
        bar = _bar(scene["progress"], failed or scene["state"] == "failed")
        table.add_row(name, bar, _percent(scene["progress"]), Text(what, style="dim"))
    said = f"no answer for {silence:.0f} s; still trying" if silent else video["notice"]
    if said:
        table.add_row("", "", "", Text(said, style="yellow"))
    title = Text(_name(video), style="bold cyan", no_wrap=True, overflow="ellipsis")
    return Group(title, Text(video["videoId"], style="dim"), table)


def _bar(percent: float, failed: bool) -> ProgressBar:
    # Colours of the basic palette, distinct from that of the empty part.
    style = "red" if failed else "cyan"
    return ProgressBar(
        total=100, completed=percent, width=BAR_WIDTH, complete_style=style, finished_style="red" if failed else "green"
    )


def _percent(progress: float) -> str:
    return f"{progress:.0f}%"


def _name(video: Video) -> str:
    return " ".join((video["title"] or video["prompt"]).split())


def _step(video: Video) -> str:
    return STEPS.get(video["currentStep"], video["currentStep"])


def _line(video: Video) -> str:
    """Return a line that changes only when there is something new to print."""
    rendered = sum(scene["state"] == "rendered" for scene in video["scenes"])
    scenes = f" ({rendered} of {video['totalScenes']} done)" if video["currentStep"] == "scenes" else ""
    notice = f", {video['notice']}" if video["notice"] and "longer than usual" not in video["notice"] else ""
    why = f": {video['errorMessage']}" if video["errorMessage"] else ""
    return f"{video['videoId']}  {_step(video)}{scenes}{notice}{why}"


def time_left(video: Video, age: float) -> str:
    """Return the remaining time in words. `age`: seconds since the video was read."""
    eta = video["etaRangeSeconds"] or ([video["etaSeconds"]] * 2 if video["etaSeconds"] else None)
    if eta is None:
        return ""
    low, high = (max(seconds - age, 0.0) for seconds in eta)
    if high > LONGEST_IN_SECONDS:
        return f"{_range(round(low / 60), round(high / 60))} min left"
    return f"{_range(_rounded(low), max(_rounded(high), 1))} s left"


def _range(low: int, high: int) -> str:
    if low == high:
        return f"about {high}"
    return f"about {low}-{high}" if low else f"less than {high}"


def _rounded(seconds: float) -> int:
    """Round to whole seconds, above 20 s to multiples of 5."""
    return round(seconds) if seconds < 20 else 5 * round(seconds / 5)


async def follow(
    multishot: Multishot, video_id: str, display: Display, *, patience: float = WATCH_PATIENCE_SECONDS
) -> Video:
    """Show a video until it ends or awaits its review, and return its last state."""
    display.silent_since = lambda: multishot.silent_since
    async with contextlib.aclosing(multishot.watch(video_id, patience=patience)) as states:
        async for video in states:
            display.show(video)
            if video["awaitingReview"]:
                break
    return video


def print_report(console: Console, figures: Mapping[str, Any]) -> None:
    """Print statistics: the totals in one line, then a table of cost and time."""
    success = "-" if figures["successRate"] is None else f"{100 * figures['successRate']:.1f} %"
    rating = "-" if figures["averageRating"] is None else f"{figures['averageRating']:.1f} of 5"
    totals = f"{figures['requested']} requested, {figures['completed']} completed, {figures['failed']} failed"
    console.print(f"{totals}; success {success}; rating {rating}", highlight=False, soft_wrap=True)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("films", "number", "cost p50", "cost p95", "time p50", "time p95"):
        table.add_column(title, justify="left" if title == "films" else "right", no_wrap=True)
    for group in (figures["films"], *figures["byQuality"], *figures["byProvider"]):
        cost, seconds = group["costUsd"], group["seconds"]
        costs = [f"${float(cost[name]):.2f}" if cost else "-" for name in ("p50", "p95")]
        times = [f"{seconds[name]:.0f} s" if seconds else "-" for name in ("p50", "p95")]
        table.add_row(group["name"] or "-", str(group["films"]), *costs, *times)
    console.print(table)


def print_list(console: Console, videos: Sequence[Video]) -> None:
    """Print videos (at least one) as a table, or as tab-separated lines if the output is no terminal."""
    rows = [
        (
            video["videoId"],
            "review" if video["awaitingReview"] else video["status"],
            _percent(video["progress"]),
            time_left(video, 0).removesuffix(" left"),
            _name(video),
        )
        for video in videos
    ]
    if not console.is_terminal:
        # Rich replaces tabs by spaces.
        console.file.writelines("\t".join(row) + "\n" for row in rows)
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column, title in enumerate(("video", "is", "")):
        # Ids are copied into commands: never cut them.
        width = max(len(row[column]) for row in rows)
        table.add_column(title, no_wrap=True, width=width, justify="left" if title else "right")
    # In a narrow terminal the title has priority.
    table.add_column("left", overflow="ellipsis", no_wrap=console.width >= WIDE_COLUMNS)
    table.add_column("title", overflow="ellipsis")
    for row in rows:
        table.add_row(*(Text(cell, no_wrap=True) for cell in row))
    console.print(table)
