"""The receipt of a film says who made it, from what, and what it cost."""

import hashlib
from typing import Any
from uuid import UUID

import httpx

from shared.contracts.events import SceneCharged

VIDEOS = "/api/v1/videos"


async def test_a_film_has_a_receipt_with_models_costs_and_hashes(
    api: httpx.AsyncClient, filmed: Any, happen: Any
) -> None:
    video = await filmed()
    charge = SceneCharged(
        video_id=video["videoId"], scene_number=1, attempt_id=UUID(int=5), revision=1, owner="anonymous",
        provider="luma", day="2026-11-28", state="settled", held_usd="0", booked_usd="0.7100",
    )  # fmt: skip
    await happen(charge)
    receipt = (await api.get(f"{video['links']['self']}/receipt")).json()
    assert (receipt["videoId"], receipt["title"]) == (video["videoId"], video["title"])
    assert (receipt["bookedUsd"], receipt["scenes"][0]["bookedUsd"]) == ("0.7100", "0.7100")
    assert (receipt["scenes"][0]["attempts"], receipt["scenes"][1]["attempts"]) == (1, 0)
    assert receipt["digitalSourceType"].endswith("/trainedAlgorithmicMedia")
    assert receipt["film"]["size"] > 0
    action = video["scenes"][0]["action"]
    assert receipt["scenes"][0]["promptSha256"] == hashlib.sha256(action.encode()).hexdigest()


async def test_an_unfinished_film_has_no_receipt(api: httpx.AsyncClient) -> None:
    video = (await api.post(VIDEOS, json={"prompt": "a fox"})).json()
    answer = await api.get(f"{video['links']['self']}/receipt")
    assert (answer.status_code, answer.json()["title"]) == (409, "Film not finished")


async def test_a_deleted_film_has_no_receipt(api: httpx.AsyncClient, filmed: Any) -> None:
    link = (await filmed())["links"]["self"]
    await api.delete(link)
    assert (await api.get(f"{link}/receipt")).status_code == 404
