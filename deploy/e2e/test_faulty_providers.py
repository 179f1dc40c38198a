"""One provider is down, and every third answer of the other one is wrong: films are made, and paid once."""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

pytestmark = [pytest.mark.connected, pytest.mark.long]

FAULTS: list[dict[str, Any]] = [
    {"operation": "create", "share": 0.08, "drop": True, "done": True},
    {"operation": "create", "share": 0.08, "status": 500, "body": {"detail": "Oops"}, "done": True},
    {"operation": "create", "share": 0.06, "status": 500, "body": {"detail": "Oops"}},
    {"operation": "create", "share": 0.08, "status": 429, "body": {"detail": "Slow down"}},
    {"operation": "get", "share": 0.15, "status": 500, "body": {}},
    {"operation": "get", "share": 0.15, "drop": True},
    {"operation": "list", "share": 0.3, "status": 503, "text": "<h1>nginx</h1>"},
    {"operation": "clip", "share": 0.3, "status": 500, "text": "<Error/>"},
]
WORSE: list[dict[str, Any]] = [
    {"operation": "create", "share": 0.05, "outcome": "failed", "reason": "Job failed"},
    {"operation": "create", "share": 0.02, "clip": "truncated"},
]
"""Faults that cost an attempt, or money."""


@pytest.fixture
def faulty_stack(
    simulate: Callable[..., Any], rabbitmq: Any, sql_server: Any, schema: Any, s3: Any, run_stack: Any
) -> Iterator[Any]:
    with (
        simulate() as simulator,
        run_stack(
            rabbitmq(), sql_server, schema, s3, simulator, providers=("runway", "luma"),
            settings={"RUNWAY_API_URL": "http://127.0.0.1:1", "SCENE_WAIT_SECONDS": "60", "LUMA_CONCURRENCY": "10"},
        ) as stack,
    ):  # fmt: skip
        yield stack


async def test_nearly_all_films_are_made_and_nothing_is_paid_twice(faulty_stack: Any) -> None:
    """A hundred films, or as many as `FAULTY_FILMS` says."""
    stack, films = faulty_stack, int(os.environ.get("FAULTY_FILMS", "100"))
    # A task beforehand: from then on Luma's list shows our markers.
    assert (await stack.ended(stack.ask()["videoId"]))["status"] == "completed"
    for fault in FAULTS + WORSE:
        stack.simulator.control("faults", {"provider": "luma", "times": None, **fault})
    asked = [stack.ask(prompt=f"Story number {n}", sceneCount=4)["videoId"] for n in range(films)]
    ended = [await stack.ended(video_id, seconds=1500) for video_id in asked]
    made = Counter(video["status"] for video in ended)
    assert made["completed"] >= 0.95 * films, Counter(video["errorMessage"] for video in ended)
    stack.simulator.control("faults/clear", {})
    await asyncio.sleep(1)

    tasks = stack.simulator.tasks("luma")
    marked = Counter(task["request"]["callback_url"].split("/")[-2] for task in tasks)
    assert set(marked.values()) == {1}, "an attempt was ordered twice"
    attempts = stack.rows("scene-render", "SELECT id, video_id, scene_number, failure_kind FROM attempts")
    scenes = {row[0]: row[1:3] for row in attempts}
    spoiled = {row[0] for row in attempts if row[3] == "clip_unusable"}
    charged = [task for task in tasks if Decimal(task["chargedUsd"]) > 0]
    good = Counter(scenes[name] for task in charged if (name := _attempt(task)) not in spoiled)
    assert set(good.values()) == {1}, "a scene was paid twice"
    [(booked,)] = stack.rows("scene-render", "SELECT SUM(booked_usd) FROM spend")
    assert booked == sum(Decimal(task["chargedUsd"]) for task in tasks)
    assert all(video["errorMessage"] for video in ended if video["status"] != "completed")


def _attempt(task: dict[str, Any]) -> str:
    return task["request"]["callback_url"].split("/")[-2]
