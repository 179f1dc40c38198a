"""Requests one film, shows its progress in the terminal, and prints where its files are."""

import json
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from embedded.data_dir import DataDir
from multishot import Multishot, Refused, Video
from multishot.display import Display, follow

KEY_NEEDED = "The Multishot at {url} requires an API key: set MULTISHOT_KEY to one that `make key OWNER=…` created."
IN_STORYBOARD = ("title", "niche", "prompt", "duration", "storyScript", "scenes")


@dataclass(frozen=True)
class FilmRequest:
    """What the film should be. `niche` None: the default."""

    prompt: str
    scenes: int
    duration: int
    aspect: str
    niche: str | None

    def matches(self, video: Video) -> bool:
        """Return whether a video was requested with the same values."""
        requested = (video["prompt"], video["totalScenes"], video["duration"], video["aspectRatio"])
        return requested == (self.prompt, self.scenes, self.duration, self.aspect) and self.niche in (
            None,
            video["niche"],
        )


async def make(
    url: str, request: FilmRequest, data_dir: DataDir, *, key: str | None = None, simulated: str | None = None
) -> int:
    """Have the gateway at `url` make the film; resume an unfinished one of the same request. Return the exit code.

    `key`: an API key, if the gateway requires one. `simulated`: the name of the simulated paid provider.
    """
    console = Console()
    try:
        async with Multishot(url, key, patience=0.0) as multishot:
            video = await _finished(multishot, request, console)
    except Refused as error:
        text = KEY_NEEDED.format(url=url) if error.status == HTTPStatus.UNAUTHORIZED else str(error)
        console.print(text, style="red", markup=False, highlight=False, soft_wrap=True)
        return 2
    if video["status"] != "completed":
        console.print("[red]The film was not made:[/]", escape(video["errorMessage"] or video["status"]))
        return 1
    console.print()
    if float(video["costUsd"]):
        charged = f"{simulated} would have charged" if simulated else "It cost"
        figures = f"${float(video['costUsd']):.2f}; the estimate was ${float(video['estimatedCostUsd']):.2f}."
        console.print(f"{charged} {figures}", highlight=False)
    _print_files(console, video, data_dir)
    return 0


async def _finished(multishot: Multishot, request: FilmRequest, console: Console) -> Video:
    """Return the video of this request when it has ended."""
    # In this order a video that starts processing between the two calls is not missed.
    unfinished = [one for status in ("pending", "processing") for one in await multishot.list(status=status, limit=100)]
    video = next((video for video in unfinished if request.matches(video)), None)
    if video is None:
        video = await multishot.make(**asdict(request))
    else:
        console.print(f"Resuming the interrupted film: [bold]{video['videoId']}[/]")
    with Display(console) as display:
        return await follow(multishot, video["videoId"], display, patience=0.0)


def _print_files(console: Console, video: Video, data_dir: DataDir) -> None:
    folder = Path(data_dir.media, "videos", video["videoId"]).absolute()
    storyboard = folder / "storyboard.json"
    kept = {key: value for key, value in video.items() if key in IN_STORYBOARD}
    storyboard.write_text(json.dumps(kept, indent=2, ensure_ascii=False))
    for name, path in (("film", "film.mp4"), ("thumbnail", "thumbnail.jpg"), ("storyboard", "storyboard.json")):
        console.print(f"{name:>10}  {folder / path}", soft_wrap=True, highlight=False)
