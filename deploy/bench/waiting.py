"""How long people wait for a film after its last scene, in a running Multishot: waiting.py http://localhost:8000.

The seconds between the last `video_scene_completed` and `video_completed`, compared with one ffmpeg graph that encodes
the whole film from the same clips, on the same machine, right after it.
"""

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import naive_graph
from film_cases import SIZE, Case

from shared.contracts.story import Transition
from shared.media.ffmpeg import Ffmpeg

FILMS: dict[str, tuple[Transition, ...]] = {
    "fade + dissolve": ("fade", "dissolve", "cut"),
    "cuts": ("cut", "cut", "cut"),
    "wipes": ("wipe", "wipe", "cut"),
}
ANGLES = ("wide", "medium", "close-up")
ACTIONS = ("A courier rides through the rain", "She looks for the door", "The parcel is opened")
SECONDS = 30
GOAL = 0.15


def wish(transitions: tuple[Transition, ...], provider: str | None) -> dict[str, Any]:
    """Return the request of a film with these transitions."""
    scenes = [
        {
            "sceneNumber": number,
            "description": action,
            "cameraAngle": angle,
            "duration": SECONDS / len(transitions),
            "action": action,
            "transition": transition,
        }
        for number, (angle, action, transition) in enumerate(zip(ANGLES, ACTIONS, transitions, strict=True), 1)
    ]
    board = {
        "title": "A Parcel",
        "niche": "general",
        "overallPrompt": "A courier brings a parcel",
        "totalDuration": SECONDS,
        "scenes": scenes,
    }
    return {"prompt": "A courier brings a parcel", "storyboard": board} | ({"provider": provider} if provider else {})


async def waited(api: httpx.AsyncClient, request: dict[str, Any]) -> tuple[str, float]:
    """Make a film, and return its id and the seconds from its last scene to the film."""
    video = (await api.post("/api/v1/videos", json=request)).raise_for_status().json()
    last, event = 0.0, ""
    async with api.stream("GET", f"/api/v1/videos/{video['videoId']}/events", timeout=600) as stream:
        async for line in stream.aiter_lines():
            key, _, value = line.partition(": ")
            event = value if key == "event" else event
            if key != "data":
                continue
            if event == "video_scene_completed":
                last = time.perf_counter()
            if event == "video_completed":
                return video["videoId"], time.perf_counter() - last
            if event == "video_failed":
                raise SystemExit(json.loads(value)["error"])
    raise SystemExit("The stream of events ended before the film.")


async def encoded_whole(api: httpx.AsyncClient, video_id: str, transitions: tuple[Transition, ...]) -> float:
    """Encode the same film with one ffmpeg graph, and return the seconds."""
    with tempfile.TemporaryDirectory() as name:
        clips = []
        for number in range(1, len(transitions) + 1):
            path = Path(name) / f"{number}.mp4"
            path.write_bytes((await api.get(f"/api/v1/videos/{video_id}/scenes/{number}/content")).content)
            clips.append(naive_graph.ClipFile(path, 10_000, has_audio=False))
        case = Case("naive", SECONDS, transitions)
        start = time.perf_counter()
        arguments = naive_graph.film_arguments(case.slots, clips, Path(name) / "film.mp4", SIZE)
        await Ffmpeg().run(arguments, time_limit=3600)
        return time.perf_counter() - start


async def measure(url: str, provider: str | None, rounds: int) -> None:
    """Print a line for each film."""
    async with httpx.AsyncClient(base_url=url, follow_redirects=True, timeout=60) as api:
        for name, transitions in FILMS.items():
            for _ in range(rounds):
                video_id, seconds = await waited(api, wish(transitions, provider))
                naive = await encoded_whole(api, video_id, transitions)
                ratio = seconds / naive
                missed = "" if ratio <= GOAL else f", MISSED (goal {GOAL})"
                print(f"{name:16} waited {seconds:5.2f} s   encoded whole {naive:5.1f} s   {ratio:.3f}{missed}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="How long people wait for a film after its last scene.")
    parser.add_argument("url")
    parser.add_argument("--provider")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    asyncio.run(measure(options.url, options.provider, options.rounds))


if __name__ == "__main__":
    main()
