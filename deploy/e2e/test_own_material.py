"""A film with material that the request brings: a clip, a first frame, a person's picture."""

import asyncio
import hashlib
import json
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from deploy.e2e.test_a_video_is_made import board_with_people, publish
from PIL import Image

from shared.media.ffmpeg import Ffmpeg

pytestmark = pytest.mark.connected


async def stored(stack: Any, path: Path, content_type: str) -> dict[str, Any]:
    """Store a file as the gateway stores an upload; returns the reference to it."""
    data, key = path.read_bytes(), f"uploads/{uuid4()}{path.suffix}"
    await asyncio.to_thread(stack.s3.client().put_object, Bucket=stack.bucket, Key=key, Body=data)
    digest = hashlib.sha256(data).hexdigest()
    return {"key": key, "contentType": content_type, "size": len(data), "sha256": digest}


async def test_a_film_of_a_brought_clip_a_brought_picture_and_a_rendered_shot(stack, tmp_path: Path) -> None:
    moving, still = tmp_path / "own.mp4", tmp_path / "own.jpg"
    source = ["-f", "lavfi", "-i", "testsrc2=s=640x360:r=30:d=7", "-pix_fmt", "yuv420p", "-y", str(moving)]
    await Ffmpeg().run(source, time_limit=60)
    Image.linear_gradient("L").resize((800, 600)).convert("RGB").save(still)
    clip, image = await stored(stack, moving, "video/mp4"), await stored(stack, still, "image/jpeg")
    board = board_with_people()
    board["scenes"][0] |= {"clip": clip, "cast": []}
    board["scenes"][1] |= {"image": image}
    video_id = str(uuid4())
    wish = {
        "videoId": video_id,
        "prompt": "a harbour",
        "providers": ["fal"],
        "storyboard": board,
        "references": [{"name": "Tom", "image": image}],
    }
    await publish(stack, json.dumps(wish).encode())
    video = await stack.ended(video_id, 300)
    assert video["status"] == "completed", video["errorMessage"]
    assert [scene["provider"] for scene in video["scenes"]] == ["upload", "fal", "fal", "fal"]
    orders = stack.rows(
        "scene-render", f"SELECT scene_number, product FROM attempts WHERE video_id = '{video_id}' ORDER BY 1, 2"
    )
    # Scene 1 is brought, scene 2 starts with the brought picture, scene 3 shows Tom, scene 4 nobody.
    assert orders == [(2, "clip"), (3, "clip"), (3, "first_frame"), (4, "clip")]
    ids = stack.rows("scene-render", f"SELECT task_id FROM attempts WHERE video_id = '{video_id}'")
    tasks = {task["id"]: task for task in stack.simulator.tasks("fal")}
    mine = [tasks[task_id.rpartition(":")[2]] for (task_id,) in ids]
    assert Decimal(video["costUsd"]) == sum(Decimal(task["chargedUsd"]) for task in mine)
    pictures = [picture["sha256"] for task in mine for picture in task["pictures"]]
    assert pictures.count(image["sha256"]) == 2, "as the first frame of scene 2, and as Tom"
