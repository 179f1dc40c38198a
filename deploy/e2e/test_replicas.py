"""Two replicas of every service share the work: each video is made once, and nothing is left over."""

import asyncio
from collections import Counter

import pytest

pytestmark = pytest.mark.connected


async def test_many_videos_on_two_replicas_of_everything(stack, watch, request: pytest.FixtureRequest) -> None:
    """Three videos in `make test`, twenty in `make test-all`."""
    videos = 20 if request.config.getoption("--all") else 3
    more = [stack.add(service) for service in ("storyboard", "scene-render", "composer", "gateway")]
    await asyncio.gather(*(process.ready() for process in more))
    before = stack.queues()
    gateways = [process for process in stack.processes if process.service == "gateway"]
    async with watch(gateways[0].url) as first, watch(gateways[1].url) as second:
        asked = [stack.ask(prompt=f"Story number {n}", sceneCount=2 + (n % 5 == 0))["videoId"] for n in range(videos)]
        ended = [await stack.ended(video_id, seconds=400) for video_id in asked]
        await stack.is_quiet()

    assert Counter(video["status"] for video in ended) == {"completed": videos}
    for video_id in asked:
        stack.paid_once(video_id)
        for watcher in (first, second):
            seqs = [data["seq"] for _, data in watcher.of(video_id) if data["seq"] is not None]
            assert seqs == list(range(1, len(seqs) + 1))
            assert watcher.of(video_id)[-1][0] == "video_completed"
    ids = ", ".join(f"'{video_id}'" for video_id in asked)
    composed = f"SELECT COUNT(*) FROM films WHERE state = 'composed' AND video_id IN ({ids})"
    assert stack.rows("composer", composed) == [(videos,)]
    dead = [name for name in before if name.endswith(".dead")]
    assert {name: stack.queues()[name] for name in dead} == {name: before[name] for name in dead}
    for process in more:
        stack.remove(process)
