"""Request with review, look, edit a scene, approve: the film follows the edit; the free film has the same times.

A paid provider is configured, simulated: what is free must be free beside it.
"""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import av
import pytest

from shared_testing.ports import free_port
from shared_testing.servers import eventually, fetch_json
from simulator.app import KEYS, Settings, api_urls, serving

SPEED = 200.0
EMBEDDED = Path(sys.executable).with_name("embedded")


class House:
    """A Multishot in one process, in a folder of its own."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.settings = settings
        self.api = f"http://127.0.0.1:{free_port()}/api/v1"

    def start(self) -> "subprocess.Popen[bytes]":
        kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
        port = self.api.split(":")[2].split("/")[0]
        return subprocess.Popen(
            [EMBEDDED, "--data-dir", self.folder, "run", "--port", port], env=kept | self.settings, cwd=self.folder
        )

    def look(self, video_id: str) -> dict[str, Any]:
        return fetch_json(f"{self.api}/videos/{video_id}")[1]

    def post(self, path: str, body: Any = None) -> dict[str, Any]:
        status, answer = fetch_json(f"{self.api}{path}", body or {}, timeout=40)
        assert status in (200, 202), answer
        return answer

    async def ended(self, video_id: str) -> dict[str, Any]:
        def check() -> dict[str, Any] | None:
            video = self.look(video_id)
            return video if video["status"] in ("completed", "failed") else None

        return await eventually(check, 120, f"{video_id} ends", every=0.2)

    def rows(self, service: str, query: str) -> list[tuple[Any, ...]]:
        return sqlite3.connect(self.folder / f"{service}.db").execute(query).fetchall()

    def frames(self, video_id: str) -> int:
        with av.open(str(self.folder / "media" / "videos" / video_id / "film.mp4")) as container:
            return sum(1 for _ in container.demux(video=0)) - 1


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with serving(Settings(port=0, speed=SPEED, captions=False)) as url:
        paid = {"VIDEO_API_PROVIDER": "luma", "VIDEO_API_URL": api_urls(url)["luma"], "VIDEO_API_KEY": KEYS["luma"]}
        house = House(tmp_path, **paid, SIMULATOR_SPEED=str(SPEED))
        process = house.start()
        try:
            await eventually(lambda: fetch_json(f"{house.api}/videos")[0] == 200, 60, what="it serves")
            yield house
        finally:
            process.terminate()
            process.wait(20)


async def test_a_video_is_looked_at_edited_approved_and_filmed_as_edited(house: House) -> None:
    # A standalone storyboard is unchanged in its video, which waits for review.
    storyboard = house.post(
        "/storyboards", {"prompt": "A fox crosses the night market", "sceneCount": 2, "duration": 15}
    )
    assert house.rows("gateway", "SELECT COUNT(*) FROM videos") == [(0,)]
    video_id = house.post("/videos", {"storyboard": storyboard, "review": True})["videoId"]
    await eventually(lambda: house.look(video_id)["awaitingReview"], 20, "it awaits its review")
    await asyncio.sleep(0.5)
    assert house.rows("scene-render", "SELECT COUNT(*) FROM renders") == [(0,)]
    kept = house.look(video_id)
    assert [scene["action"] for scene in kept["scenes"]] == [scene["action"] for scene in storyboard["scenes"]]

    # The edited storyboard is first drawn as a free animatic, and then filmed.
    edited = fetch_json(f"{house.api}/videos/{video_id}/storyboard")[1]
    first, second = edited["scenes"]
    second["action"] = "The fox curls up under a red umbrella."
    second["duration"] += 1.5
    first["duration"] -= 1.5
    first["transition"] = "dissolve"
    edited["cast"] = [{"name": "Ren", "kind": "character", "look": "a small red fox with one white ear"}]
    second["cast"] = ["Ren"]
    animatic = house.post(f"/videos/{video_id}/animatic", {"storyboard": edited})
    assert house.look(video_id)["animaticId"] == animatic["videoId"]
    status, _ = fetch_json(f"{house.api}/videos/{video_id}/approve", {"storyboard": edited})
    again, refusal = fetch_json(f"{house.api}/videos/{video_id}/approve", {})
    assert (status, again, refusal["title"]) == (202, 409, "Not awaiting review")

    # Its first frames are looked at before any clip is paid; one of them is made again.
    await eventually(lambda: house.look(video_id)["currentStep"] == "frames", 60, "its first frames are there")
    shown = house.look(video_id)
    assert shown["awaitingReview"]
    clips_paid = "SELECT COUNT(*) FROM charges WHERE purpose = 'clip'"
    assert house.rows("gateway", clips_paid) == [(0,)]
    rejected = house.post(f"/videos/{video_id}/scenes/2/frame", {"description": "The fox sleeps in the rain."})
    assert (rejected["currentStep"], rejected["awaitingReview"]) == ("scenes", False)
    await eventually(lambda: house.look(video_id)["currentStep"] == "frames", 60, "it is made again")
    assert house.rows("gateway", clips_paid) == [(0,)]
    house.post(f"/videos/{video_id}/frames/approve")

    film, drawn = await asyncio.gather(house.ended(video_id), house.ended(animatic["videoId"]))
    assert (film["status"], drawn["status"]) == ("completed", "completed"), (film, drawn)
    for one in (film, drawn):
        told = [(scene["action"], scene["duration"], scene["transition"]) for scene in one["scenes"]]
        assert told == [(scene["action"], scene["duration"], scene["transition"]) for scene in edited["scenes"]]
    assert house.frames(video_id) == house.frames(animatic["videoId"]) == 360
    columns = "video_id, scene_number, json_extract(request, '$.clipFrames')"
    asked = f"SELECT {columns} FROM renders WHERE scene_number < 100 ORDER BY 1, 2"
    clips: dict[str, list[int]] = {}
    for of_video, _, frames in house.rows("scene-render", asked):
        clips.setdefault(of_video, []).append(frames)
    assert clips[video_id] == clips[animatic["videoId"]]
    assert float(drawn["costUsd"]) == float(drawn["estimatedCostUsd"]) == 0
    assert float(film["costUsd"]) == float(film["estimatedCostUsd"]) > 0

    # One storyboard, one attempt a scene.
    boards = house.rows("storyboard", f"SELECT storyboard FROM storyboards WHERE video_id = '{video_id}'")
    assert [json.loads(board)["scenes"][1]["action"] for (board,) in boards] == [second["action"]]
    posted = "SELECT DISTINCT video_id, provider FROM attempts"
    assert set(house.rows("scene-render", posted)) == {(video_id, "luma"), (animatic["videoId"], "animatic")}
    [(drawings,)] = house.rows("scene-render", "SELECT COUNT(*) FROM attempts WHERE provider = 'animatic'")
    assert drawings == 2


async def test_a_review_that_is_cancelled_renders_nothing(house: House) -> None:
    video_id = house.post("/videos", {"prompt": "a fox", "sceneCount": 1, "duration": 15, "review": True})["videoId"]
    await eventually(lambda: house.look(video_id)["awaitingReview"], 20, "it awaits its review")
    assert house.post(f"/videos/{video_id}/cancel")["status"] == "cancelled"
    assert fetch_json(f"{house.api}/videos/{video_id}/approve", {})[0] == 409
    await asyncio.sleep(0.5)
    assert house.rows("scene-render", "SELECT COUNT(*) FROM renders") == [(0,)]
