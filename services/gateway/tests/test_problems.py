"""Every error is `application/problem+json`, and invalid input is never a server error."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
import structlog

from gateway.app import Gateway
from gateway.http.errors import PROBLEM_TYPES

VIDEOS = "/api/v1/videos"
JSON = {"content-type": "application/json"}


def assert_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    told: dict[str, Any] = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), told
    assert told["status"] == status
    assert told["title"]
    assert told["type"].removeprefix("/problems#") in PROBLEM_TYPES
    assert told["instance"].startswith("/")
    return told


NOWHERE = [
    ("GET", f"{VIDEOS}/{uuid4()}", 404),
    ("GET", f"{VIDEOS}/not-a-uuid", 422),
    ("GET", f"{VIDEOS}/%00", 422),
    ("GET", f"{VIDEOS}/%ff%fe", 422),
    ("GET", "/api/v1/nothing", 404),
    ("GET", "/%e2%98%95", 404),
    ("GET", "/static-offline-docs/nothing.js", 404),
    ("GET", f"{VIDEOS}?limit=0", 422),
    ("GET", f"{VIDEOS}?limit=101", 422),
    ("GET", f"{VIDEOS}?limit={'9' * 5000}", 422),
    ("GET", f"{VIDEOS}?status=%00", 422),
    ("DELETE", VIDEOS, 405),
    ("PATCH", f"{VIDEOS}/{uuid4()}", 405),
    ("GET", f"{VIDEOS}/{uuid4()}/cancel", 405),
    ("POST", f"{VIDEOS}/{uuid4()}/cancel", 404),
    ("DELETE", f"{VIDEOS}/{uuid4()}", 404),
    ("DELETE", f"{VIDEOS}/{uuid4()}/rating", 404),
    ("PUT", f"{VIDEOS}/{uuid4()}/rating", 415),
    ("GET", "/api/v1/spend?from=tomorrow", 422),
    ("GET", "/api/v1/statistics?to=9999-99-99", 422),
    ("GET", f"/api/v1/storyboards/{uuid4()}", 404),
]


async def test_missing_things_are_problems(api: httpx.AsyncClient) -> None:
    for method, path, status in NOWHERE:
        told = assert_problem(await api.request(method, path), status)
        if status == 405:
            assert told["type"] == "/problems#method-not-allowed"


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
@pytest.mark.parametrize("path", ["/api/v1/spend", "/api/v1/statistics"])
async def test_the_first_and_last_possible_days_are_accepted(api: httpx.AsyncClient, path: str, day: str) -> None:
    assert (await api.get(path, params={"to": day})).status_code == 200
    assert (await api.get(path, params={"from": day, "to": day})).status_code == 200


HOSTILE: list[tuple[bytes | str, int]] = [
    ("{not json", 400),
    ("", 422),
    ("[]", 422),
    ("null", 422),
    ('"a fox"', 422),
    (b"\xff\xfe", 400),
    (b'{"prompt": "\xff"}', 400),
    (b'{"prompt": "\xed\xa0\x80"}', 400),
    ('{"prompt": "\\ud800"}', 400),
    ('{"\\ud800": 1, "prompt": "a"}', 400),
    ('{"prompt": "a\\u0000b"}', 400),
    ('{"prompt": "a", "metadata": {"k\\u0000": 1}}', 400),
    ('{"prompt": "a", "metadata": {"k": "\\\\\\u0000"}}', 400),
    ('{"prompt": "a", "metadata": {"k": NaN}}', 400),
    ('{"prompt": "a", "metadata": {"k": [1e999]}}', 400),
    ('{"prompt": "a", "metadata": {"k": -Infinity}}', 400),
    ('{"prompt": "a", "metadata": {"k": %s}}' % ("9" * 5000), 400),
    ('{"prompt": "a", "metadata": {"k": %s}}' % ("9" * 50), 400),
    ('{"prompt": "a", "duration": %s}' % ("9" * 5000), 400),
    ('{"prompt": "a", "duration": 1e400}', 400),
    ("[" * 3000 + "]" * 3000, 400),
    ('{"prompt": "a", "metadata": {"k": %s}}' % ("[" * 3000 + "]" * 3000), 400),
    ('{"a":' * 3000 + "1" + "}" * 3000, 400),
    ('{"prompt": "\\u001b[2J"}', 422),
    ('{"prompt": "\\u200b\\u200d"}', 422),
    ('{"prompt": "a", "niche": "\\u0007b"}', 422),
    ('{"prompt": {"$ne": null}}', 422),
    ('{"prompt": "a", "__proto__": {"x": 1}}', 422),
    ('{"prompt": "a", "storyboard": {"scenes": %s}}' % ("[" * 190 + "]" * 190), 400),
]


async def test_a_hostile_body_is_rejected_and_creates_nothing(api: httpx.AsyncClient) -> None:
    for body, status in HOSTILE:
        for method, path in (
            ("POST", VIDEOS),
            ("POST", "/api/v1/estimates"),
            ("POST", "/api/v1/storyboards"),
            ("PUT", f"{VIDEOS}/{uuid4()}/rating"),
        ):
            assert_problem(await api.request(method, path, content=body, headers=JSON), status)
    assert (await api.get(VIDEOS)).json()["total"] == 0


async def test_a_body_without_the_content_type_json_is_rejected(api: httpx.AsyncClient) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/json", ""):
        answer = await api.post(VIDEOS, content='{"prompt": "a fox"}', headers={"content-type": content_type})
        assert_problem(answer, 415)
    assert (await api.get(VIDEOS)).json()["total"] == 0


async def test_odd_but_valid_text_is_stored_unchanged(api: httpx.AsyncClient) -> None:
    metadata = {
        "escaped": "\\u0000",
        "nested": [[[[1]]]],
        "large": [2**63 - 1, -1e308],
        "☕": "🦊",
        "none": None,
        "__proto__": 1,
    }
    video = (await api.post(VIDEOS, json={"prompt": "kopi ☕ \U0010ffff", "metadata": metadata})).json()
    shown = (await api.get(video["links"]["self"])).json()
    assert (shown["metadata"], shown["prompt"]) == (metadata, "kopi ☕ \U0010ffff")


async def test_an_invalid_field_is_pointed_at(api: httpx.AsyncClient) -> None:
    answer = await api.post(VIDEOS, json={"prompt": "a fox", "a/b~c": 1, "duration": 5})
    told = assert_problem(answer, 422)
    assert {error["pointer"] for error in told["errors"]} == {"/a~1b~0c", "/duration"}


async def test_a_problem_type_links_to_the_list(api: httpx.AsyncClient) -> None:
    told = (await api.get("/api/v1/nothing")).json()
    page = (await api.get(told["type"])).text
    assert f'id="{told["type"].partition("#")[2]}"' in page
    assert all(f'id="{kind}"' in page for kind in PROBLEM_TYPES)


async def test_an_internal_error_does_not_show_its_cause(
    api: httpx.AsyncClient, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret dsn")

    monkeypatch.setattr(gateway.queries, "get", fail)
    with structlog.testing.capture_logs() as logged:
        answer = await api.get(f"{VIDEOS}/{uuid4()}")
    assert_problem(answer, 500)
    assert "secret" not in answer.text
    assert [entry["event"] for entry in logged] == ["api.failed"]
