"""Asks for one film, shows in the terminal how it comes into being, and ends with its files."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from embedded.home import Home

LOOK_EVERY_SECONDS = 0.25
BAR_WIDTH = 24
SAME = ("prompt", "niche", "aspectRatio", "duration")

STEPS = {
    "storyboard": "writing the story",
    "scenes": "rendering scenes",
    "combining": "joining the film",
    "completed": "done",
    "failed": "failed",
    "cancelled": "cancelled",
}


async def make(url: str, wish: dict[str, Any], home: Home) -> int:
    """Have the film made by the gateway at `url`; returns the exit code. An unfinished film of this wish goes on."""
    console = Console()
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as api:
        unfinished = await _unfinished(api)
        video = next((video for video in unfinished if _is_same(video, wish)), None)
        if video is not None:
            console.print(f"Going on with the film that was interrupted: [bold]{video['videoId']}[/]")
        else:
            answer = await api.post("/api/v1/videos", json=wish)
            if answer.is_error:
                _print_problem(console, answer)
                return 2
            video = answer.json()
        with Live(_picture(video), console=console, refresh_per_second=8, transient=False) as live:
            while video["status"] in ("pending", "processing"):
                await asyncio.sleep(LOOK_EVERY_SECONDS)
                video = (await api.get(f"/api/v1/videos/{video['videoId']}")).raise_for_status().json()
                live.update(_picture(video))
    if video["status"] != "completed":
        console.print(f"[red]The film was not made:[/] {video['errorMessage'] or video['status']}")
        return 1
    _print_files(console, video, home)
    return 0


async def _unfinished(api: httpx.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for status in ("processing", "pending"):
        answer = await api.get("/api/v1/videos", params={"status": status, "limit": 100})
        found += answer.raise_for_status().json()["videos"]
    return found


def _is_same(video: dict[str, Any], wish: dict[str, Any]) -> bool:
    return video["totalScenes"] == wish["sceneCount"] and all(video[key] == wish[key] for key in SAME if key in wish)


def _print_problem(console: Console, answer: httpx.Response) -> None:
    problem = answer.json()
    console.print(f"[red]{problem['title']}[/]: {problem.get('detail', '')}")
    for error in problem.get("errors", []):
        console.print(f"  {error['field']}: {error['detail']}")


def _picture(video: dict[str, Any]) -> RenderableType:
    """The progress display: the whole film in a line, then one line a scene."""
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(width=9, no_wrap=True)
    table.add_column(width=BAR_WIDTH)
    table.add_column(width=4, justify="right")
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    eta = video["etaSeconds"]
    left = f"about {eta:.0f} s left" if eta and video["status"] == "processing" else ""
    step = STEPS.get(video["currentStep"], video["currentStep"])
    table.add_row(Text("film", style="bold"), _bar(video["progress"]), f"{video['progress']:.0f}%", f"{step}  {left}")
    for scene in video["scenes"]:
        what = f"{scene['cameraAngle']:<9} {scene['duration']:>4g} s  {scene['action']}"
        name = f"scene {scene['sceneNumber']}/{video['totalScenes']}"
        table.add_row(name, _bar(scene["progress"]), f"{scene['progress']:.0f}%", Text(what, style="dim"))
    title = Text(video["title"] or video["prompt"], style="bold cyan", no_wrap=True, overflow="ellipsis")
    return Group(title, table)


def _bar(percent: float) -> ProgressBar:
    return ProgressBar(total=100, completed=percent, width=BAR_WIDTH)


def _print_files(console: Console, video: dict[str, Any], home: Home) -> None:
    folder = Path(home.media, "videos", video["videoId"]).absolute()
    storyboard = folder / "storyboard.json"
    kept = ("title", "niche", "prompt", "duration", "storyScript", "scenes")
    storyboard.write_text(json.dumps({key: video[key] for key in kept}, indent=2, ensure_ascii=False))
    console.print()
    for name, path in (("film", "film.mp4"), ("thumbnail", "thumbnail.jpg"), ("storyboard", "storyboard.json")):
        console.print(f"{name:>10}  {folder / path}", soft_wrap=True, highlight=False)
