"""Two replicas of every service share the work: each video is made once, and nothing is left over."""

from collections import Counter

import pytest

pytestmark = pytest.mark.connected

VIDEOS = 20


async def test_twenty_videos_on_two_replicas_of_everything(stack, watch) -> None:
    for service in ("storyboard", "scene-render", "composer", "gateway"):
        await stack.add(service).ready()
    gateways = [process for process in stack.processes if process.service == "gateway"]
    async with watch(gateways[0].url) as first, watch(gateways[1].url) as second:
        asked = [stack.ask(prompt=f"Story number {n}", sceneCount=1 + (n % 2))["videoId"] for n in range(VIDEOS)]
        ended = [await stack.ended(video_id, seconds=400) for video_id in asked]
        await stack.is_quiet()

    assert Counter(video["status"] for video in ended) == {"completed": VIDEOS}
    for video_id in asked:
        stack.paid_once(video_id)
        for watcher in (first, second):
            seqs = [data["seq"] for _, data in watcher.of(video_id) if data["seq"] is not None]
            assert seqs == list(range(1, len(seqs) + 1))
            assert watcher.of(video_id)[-1][0] == "video_completed"
    assert stack.rows("composer", "SELECT COUNT(*) FROM films WHERE state = 'composed'") == [(VIDEOS,)]
    assert not any(count for name, count in stack.queues().items() if name.endswith(".dead"))
