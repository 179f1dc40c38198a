"""Asks for one film, shows in the terminal how it comes into being, and ends with its files."""

import json
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from embedded.data_dir import Home
from multishot import Multishot, Refused, Video
from multishot.display import Display, follow

KEY_NEEDED = "The Multishot at {url} asks for a key: set MULTISHOT_KEY to one that `make key OWNER=…` has made."
IN_STORYBOARD = ("title", "niche", "prompt", "duration", "storyScript", "scenes")


@dataclass(frozen=True)
class Wish:
    """What the film should be; None: as ever."""

    prompt: str
    scenes: int
    duration: int
    aspect: str
    niche: str | None

    def is_of(self, video: Video) -> bool:
        """Whether a video was asked for by the same wish."""
        told = (video["prompt"], video["totalScenes"], video["duration"], video["aspectRatio"])
        return told == (self.prompt, self.scenes, self.duration, self.aspect) and self.niche in (None, video["niche"])


async def make(url: str, wish: Wish, home: Home, *, key: str | None = None, simulated: str | None = None) -> int:
    """Have the film made by the gateway at `url`; returns the exit code. An unfinished film of this wish goes on.

    `key`: an API key, where the gateway asks for one; `simulated`: the paid provider that is only simulated.
    """
    console = Console()
    try:
        async with Multishot(url, key, patience=0.0) as multishot:
            video = await _ended(multishot, wish, console)
    except Refused as error:
        text = KEY_NEEDED.format(url=url) if error.status == HTTPStatus.UNAUTHORIZED else str(error)
        console.print(text, style="red", markup=False, highlight=False, soft_wrap=True)
        return 2
    if video["status"] != "completed":
        console.print("[red]The film was not made:[/]", escape(video["errorMessage"] or video["status"]))
        return 1
    console.print()
    if float(video["costUsd"]):
        took = f"{simulated} would have taken" if simulated else "It took"
        figures = f"${float(video['costUsd']):.2f}; ${float(video['estimatedCostUsd']):.2f} were estimated."
        console.print(f"{took} {figures}", highlight=False)
    _print_files(console, video, home)
    return 0


async def _ended(multishot: Multishot, wish: Wish, console: Console) -> Video:
    """The film of this wish once nothing more happens to it."""
    # In the order of life: one that moves on between two looks is not overlooked.
    unfinished = [one for status in ("pending", "processing") for one in await multishot.list(status=status, limit=100)]
    video = next((video for video in unfinished if wish.is_of(video)), None)
    if video is None:
        video = await multishot.make(**asdict(wish))
    else:
        console.print(f"Going on with the film that was interrupted: [bold]{video['videoId']}[/]")
    with Display(console) as display:
        return await follow(multishot, video["videoId"], display, patience=0.0)


def _print_files(console: Console, video: Video, home: Home) -> None:
    folder = Path(home.media, "videos", video["videoId"]).absolute()
    storyboard = folder / "storyboard.json"
    kept = {key: value for key, value in video.items() if key in IN_STORYBOARD}
    storyboard.write_text(json.dumps(kept, indent=2, ensure_ascii=False))
    for name, path in (("film", "film.mp4"), ("thumbnail", "thumbnail.jpg"), ("storyboard", "storyboard.json")):
        console.print(f"{name:>10}  {folder / path}", soft_wrap=True, highlight=False)
