"""Storyboards and films from all sorts of prompts, by a language model behind the services as in production."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
import uvicorn

from shared.contracts.events import VideoRequested
from shared.contracts.story import Storyboard
from shared.contracts.story_rules import SceneSeconds
from shared_testing.ports import free_port
from shared_testing.servers import eventually, fetch_json
from simulator.llm.app import llm_app
from storyboard.draft import Draft
from storyboard.language import evident_language
from storyboard.linter import lint
from storyboard.rules import check

pytestmark = [pytest.mark.connected, pytest.mark.long]

PAGE = (
    "An old fisherman who lives alone at the edge of a lake finds, after the longest storm of the year, a small robot "
    "tangled in his net. It does not speak, but it hums when the wind turns. "
)
HALAMAN = "Hujan turun di desa dan anak-anak berlari pulang ke rumah, sementara nenek menunggu di beranda. "
PROMPTS = [
    ("coffee", "en"),
    ("A lighthouse keeper befriends a storm", "en"),
    ("How to repair a bicycle in ten minutes", "en"),
    ("The last train leaves. A girl runs after it. The conductor pulls the brake!", "en"),
    ((PAGE * 30)[:3900], "en"),
    ("kopi", "id"),
    ("Kopi pagi di warung nenek", "id"),
    ("Seorang nelayan tua menemukan botol berisi surat di pantai, lalu berlayar mencari pengirimnya", "id"),
    ("Resep rendang nenek yang rahasia. Buatkan dengan suasana hangat dan hujan di luar.", "id"),
    ((HALAMAN * 60)[:3900], "id"),
]


@pytest.fixture(scope="module")
def own_stack(stack_on: Any, rabbitmq: Any, sql_server: Any, schema: Callable[[], str]) -> Iterator[Any]:
    """A stack with a storyboard service that uses a language model."""
    with stack_on(rabbitmq(), sql_server, schema) as stack:
        yield stack


@contextlib.asynccontextmanager
async def language_model() -> AsyncIterator[str]:
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(llm_app(), port=port, log_level="warning", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    await eventually(lambda: server.started, what="the language model listens", every=0.02)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await serving


async def test_ten_prompts_become_storyboards_that_pass_the_linter_and_films(own_stack: Any) -> None:
    async with language_model() as url:
        service = own_stack.of("storyboard")
        service.stop()
        service.environment |= {"LLM_API_URL": f"{url}/v1", "LLM_MODEL": "simulated-1"}
        service.start()
        await service.ready()
        wishes = [
            {"prompt": prompt, "sceneCount": 1 + n % 5, "duration": 15 + 5 * n} for n, (prompt, _) in enumerate(PROMPTS)
        ]
        # In threads: the language model answers from this loop.
        answers = await asyncio.gather(*(asyncio.to_thread(_ask, own_stack, wish) for wish in wishes))
        films = [(await asyncio.to_thread(lambda wish=wish: own_stack.ask(**wish)))["videoId"] for wish in wishes]
        ended = [await asyncio.to_thread(_ended, own_stack, video_id) for video_id in films]
        calls = (await asyncio.to_thread(fetch_json, f"{url}/control/llm/calls"))[1]["calls"]
    assert calls == 2 * len(PROMPTS)
    assert [(video["status"], video["errorMessage"]) for video in ended] == [("completed", None)] * len(PROMPTS)
    assert [video["duration"] for video in ended] == [wish["duration"] for wish in wishes]
    for (prompt, language), wish, answer in zip(PROMPTS, wishes, answers, strict=True):
        story = Storyboard.model_validate(answer)
        request = VideoRequested.model_validate({**wish, "videoId": uuid4()})
        check(story, request, SceneSeconds())
        assert lint(Draft.of(story), request, SceneSeconds())[1] == []
        assert evident_language(" ".join(scene.action for scene in story.scenes)) == language, prompt[:40]
        assert all(scene.shot for scene in story.scenes)
        assert "Palette: " in story.style
    for n in (1, 7):
        print(_printed(answers[n]))  # noqa: T201 - shown by pytest -s


def _ask(stack: Any, wish: dict[str, Any]) -> dict[str, Any]:
    status, answer = fetch_json(f"{stack.of('gateway').url}/api/v1/storyboards", wish, timeout=40)
    assert status == 200, answer
    return answer


def _ended(stack: Any, video_id: str) -> dict[str, Any]:
    return asyncio.run(stack.ended(video_id, seconds=600))


def _printed(storyboard: dict[str, Any]) -> str:
    lines = [f"\n{storyboard['title']} ({storyboard['totalDuration']} s)", storyboard["style"]]
    for scene in storyboard["scenes"]:
        place = f"{scene['sceneNumber']}. {scene['cameraAngle']}, {scene['duration']:g} s, then {scene['transition']}"
        lines += [f"{place}: {scene['action']}", f"   shot: {scene['shot']}"]
    return "\n".join(lines)
