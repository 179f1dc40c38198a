"""OpenAI's own client understands the simulated language model."""

import json
from collections.abc import AsyncIterator

import pytest
from httpx2 import ASGITransport, AsyncClient
from openai import AsyncOpenAI, RateLimitError

from simulator.llm.app import llm_app

WISH = json.dumps({"prompt": "Kopi pagi di warung", "sceneCount": 4, "totalSeconds": 33})


@pytest.fixture
async def http() -> AsyncIterator[AsyncClient]:
    async with AsyncClient(transport=ASGITransport(llm_app()), base_url="http://llm") as client:
        yield client


@pytest.fixture
def client(http: AsyncClient) -> AsyncOpenAI:
    return AsyncOpenAI(base_url="http://llm/v1", api_key="k", http_client=http, max_retries=0)


async def ask(client: AsyncOpenAI, **more: object) -> object:
    return await client.chat.completions.create(model="m", messages=[{"role": "user", "content": WISH}], **more)


async def test_its_models_are_listed(client) -> None:
    assert [model.id async for model in client.models.list()] == ["simulated-1"]


async def test_the_answer_is_a_story_for_the_request(client) -> None:
    answer = await ask(client)
    story = json.loads(answer.choices[0].message.content)
    assert [len(story["scenes"]), sum(scene["duration"] for scene in story["scenes"])] == [4, 33]
    assert story["scenes"][0]["action"].startswith("Mara membuka pintu")
    assert answer.usage.total_tokens > 0


async def test_the_characters_have_the_names_of_the_request(client) -> None:
    request = json.dumps({"prompt": "A fox", "sceneCount": 4, "totalSeconds": 30, "references": ["Siti"]})
    answer = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": request}])
    story = json.loads(answer.choices[0].message.content)
    assert [(one["name"], bool(one["look"])) for one in story["cast"]] == [("Siti", False), ("Mara", True)]
    assert [scene["cast"] for scene in story["scenes"]] == [["Siti"], ["Siti"], [], ["Siti", "Mara"]]
    assert [scene["keyMoment"] for scene in story["scenes"]] == [False, False, True, False]


async def test_a_given_tool_is_called(client) -> None:
    tool = {"type": "function", "function": {"name": "hand_in", "parameters": {"type": "object"}}}
    [call] = (await ask(client, tools=[tool])).choices[0].message.tool_calls
    assert call.function.name == "hand_in"
    assert len(json.loads(call.function.arguments)["scenes"]) == 4


@pytest.mark.parametrize("fault", [None, "truncated"])
async def test_a_stream_contains_the_same_story_or_breaks_off(client, http, fault: str | None) -> None:
    whole = (await ask(client)).choices[0].message.content
    if fault:
        await http.post("/control/llm/faults", json={"fault": fault})
    chunks = [chunk async for chunk in await ask(client, stream=True)]
    received = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert (received == whole) == (fault is None)
    assert whole.startswith(received)


async def test_faults_apply_as_often_as_configured_and_calls_are_counted(client, http) -> None:
    await http.post("/control/llm/faults", json={"fault": "429", "times": 1})
    with pytest.raises(RateLimitError):
        await ask(client)
    await ask(client)
    assert (await http.get("/control/llm/calls")).json()["calls"] == 2
    assert (await http.post("/control/llm/faults", json={"fault": "no such"})).status_code == 422
