"""Deleting a video removes all texts that a person wrote, and keeps the amounts."""

import pytest

from shared_testing.servers import eventually, fetch_json, request_json

pytestmark = pytest.mark.connected

SERVICES = ("storyboard", "scene-render", "composer", "gateway")
WORD = "Quetzalcoatlus"


def places(stack) -> list[str]:
    """The tables and objects that hold the word."""
    found = []
    for service in SERVICES:
        for (table,) in stack.rows(service, "SHOW TABLES"):
            rows = stack.rows(service, f"SELECT * FROM `{table}`")
            found += [f"{service}.{table}" for row in rows if WORD.lower() in str(row).lower()]
    client = stack.s3.client()
    for item in client.list_objects_v2(Bucket=stack.bucket).get("Contents", []):
        body = client.get_object(Bucket=stack.bucket, Key=item["Key"])["Body"].read()
        found += [item["Key"]] if WORD.encode().lower() in (item["Key"].encode() + body).lower() else []
    return found


async def test_no_table_and_no_object_holds_the_prompt_of_a_deleted_video(stack) -> None:
    wish = {"prompt": f"A {WORD} crosses the night market", "niche": f"{WORD} tales", "sceneCount": 2, "duration": 15}
    _, asked = request_json("POST", stack.api, wish, {"idempotency-key": WORD})
    video = await stack.ended(asked["videoId"])
    assert video["status"] == "completed", video["errorMessage"]
    held = {place.partition(".")[0] for place in places(stack)}
    assert set(SERVICES) <= held, "the test looks in the wrong places"
    spent = stack.rows("scene-render", f"SELECT SUM(booked_usd) FROM spend WHERE video_id = '{video['videoId']}'")

    assert request_json("DELETE", f"{stack.api}/{video['videoId']}")[0] == 204
    await eventually(lambda: not places(stack), 30, "every service has erased the text", every=0.5)
    client = stack.s3.client()
    prefix = f"videos/{video['videoId']}/"
    await eventually(lambda: not client.list_objects_v2(Bucket=stack.bucket, Prefix=prefix).get("Contents"))
    charges = fetch_json(f"{stack.of('gateway').url}/api/v1/charges?videoId={video['videoId']}")[1]["charges"]
    assert sum(float(charge["bookedUsd"]) for charge in charges) == float(spent[0][0]) > 0
    await stack.is_quiet()
