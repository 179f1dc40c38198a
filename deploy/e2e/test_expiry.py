"""The services remove an expired film from the bucket; its story and its amounts are kept."""

import pytest

from shared_testing.servers import eventually, fetch_json

pytestmark = pytest.mark.connected


async def test_an_expired_film_leaves_the_bucket_and_nothing_else(stack) -> None:
    video_id = stack.ask(sceneCount=1)["videoId"]
    video = await stack.ended(video_id)
    assert video["status"] == "completed", video["errorMessage"]
    client, prefix = stack.s3.client(), f"videos/{video_id}/"

    def objects() -> list[str]:
        return [item["Key"] for item in client.list_objects_v2(Bucket=stack.bucket, Prefix=prefix).get("Contents", [])]

    names = {key.removeprefix(prefix) for key in objects()}
    assert {"film.mp4", "thumbnail.jpg"} < names
    for stored in ("scene-1-", "parts/scene-1-"):
        assert any(name.startswith(stored) for name in names), (stored, names)
    spent = stack.rows("scene-render", f"SELECT * FROM spend WHERE video_id = '{video_id}'")
    stack.rows("gateway", f"UPDATE videos SET expiresAt = '2026-01-01' WHERE videoId = '{video_id}'")

    # Each replica sweeps when it starts.
    second = stack.add("gateway")
    try:
        await second.ready()
        await eventually(lambda: not objects(), 30, "the bucket is empty")
        status, shown = fetch_json(f"{second.url}/api/v1/videos/{video_id}")
        assert (status, shown["status"], shown["title"]) == (200, "expired", video["title"])
        assert fetch_json(f"{second.url}/api/v1/videos/{video_id}/content")[0] == 410
    finally:
        stack.remove(second)
    assert stack.rows("scene-render", f"SELECT * FROM spend WHERE video_id = '{video_id}'") == spent
    await stack.is_quiet()
