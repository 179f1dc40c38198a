"""The tRPC API, called as by the existing application, and with hostile input."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
import pytest
from pydantic import SecretStr, TypeAdapter
from sqlalchemy.exc import OperationalError

from gateway import procedures, web_types
from gateway.access.service import Caller, NotSignedIn
from gateway.app import Gateway
from gateway.settings import Settings
from gateway.trpc.superjson import dump
from gateway.videos.event_payloads import LIVE_NAMES, PAYLOADS
from shared.contracts.events import (
    FramesRendered,
    PictureRendered,
    StreamExtended,
    VideoExpired,
    VideoFailed,
    VideoRequested,
)
from shared.contracts.media import MediaReference, StreamSegment, stream_key
from shared.persistence.unit_of_work import transaction
from shared_testing.servers import published

Film = Callable[[UUID], Awaitable[None]]

PLAIN_JSON = {"content-type": "application/json"}


def sj(value: Any) -> str:
    return json.dumps(dump(value))


class Trpc:
    """Calls as the application does: with superjson, in batches."""

    def __init__(self, api: httpx.AsyncClient) -> None:
        self.api = api

    async def query(self, *calls: tuple[str, Any], **more: Any) -> httpx.Response:
        names = ",".join(name for name, _ in calls)
        given = json.dumps({str(n): dump(value) for n, (_, value) in enumerate(calls)})
        return await self.api.get(f"/api/trpc/{names}?batch=1&input={quote(given)}", **more)

    async def mutate(self, *calls: tuple[str, Any], headers: dict[str, str] | None = None) -> httpx.Response:
        names = ",".join(name for name, _ in calls)
        given = json.dumps({str(n): dump(value) for n, (_, value) in enumerate(calls)})
        path = f"/api/trpc/{names}?batch=1"
        return await self.api.post(path, content=given, headers=PLAIN_JSON | (headers or {}))

    async def make(self, prompt: str = "a fox") -> str:
        [result] = good(await self.mutate(("video.generate", {"prompt": prompt})))
        return str(result["videoId"])


@pytest.fixture
def trpc(api: httpx.AsyncClient) -> Trpc:
    return Trpc(api)


def good(answer: httpx.Response) -> list[Any]:
    assert answer.status_code == 200, answer.text
    return [one["result"]["data"]["json"] for one in answer.json()]


def bad(answer: httpx.Response) -> Any:
    """Return the only error of an answer."""
    body = answer.json()
    [one] = body if isinstance(body, list) else [body]
    return one["error"].get("json", one["error"])


# --- the procedures ---------------------------------------------------------------------


async def test_a_video_is_requested_once(trpc: Trpc, gateway: Gateway) -> None:
    answer = await trpc.mutate(("video.generate", {"prompt": " a fox ", "sceneCount": 2, "totalDuration": 45}))
    [made] = good(answer)
    assert made == {"success": True, "videoId": made["videoId"], "message": "Video generation started"}
    [request] = [event for event in await published(gateway.database) if isinstance(event, VideoRequested)]
    assert (str(request.video_id), request.prompt) == (made["videoId"], "a fox")
    assert (request.scene_count, request.duration, request.niche) == (2, 45, "general")


async def test_video_status_omits_missing_values(trpc: Trpc, film: Film) -> None:
    video_id = await trpc.make()
    [status] = good(await trpc.query(("video.status", {"videoId": video_id})))
    low, high = status.pop("etaRangeSeconds")
    assert 0 <= low <= status.pop("etaSeconds") <= high
    assert status == {
        "videoId": video_id, "status": "pending", "progress": 0, "currentScene": 1, "totalScenes": 3,
        "currentStep": "storyboard", "awaitingReview": False, "scenes": [],
    }  # fmt: skip
    await film(UUID(video_id))
    [status] = good(await trpc.query(("video.status", {"videoId": video_id})))
    content = f"/api/v1/videos/{video_id}/content"
    assert (status["status"], status["progress"], status["videoUrl"]) == ("completed", 100, content)
    [scene] = status["scenes"]
    assert (scene["state"], scene["progress"]) == ("rendered", 100)
    assert scene["videoUrl"] == f"/api/v1/videos/{video_id}/scenes/1/content"


async def test_a_row_has_the_names_of_the_table_and_its_dates_are_dates(trpc: Trpc, film: Film) -> None:
    video_id = await trpc.make()
    await film(UUID(video_id))
    answer = await trpc.query(("video.get", {"videoId": video_id}))
    [row] = good(answer)
    dates = {name: ["Date"] for name in ("createdAt", "completedAt", "expiresAt")}
    assert answer.json()[0]["result"]["data"]["meta"]["values"] == dates
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row["createdAt"])
    table = "id videoId postId niche prompt storyScript scenes videoUrl thumbnailUrl duration status metadata"
    assert set(row) >= {*table.split(), "createdAt", "completedAt"}
    assert (row["postId"], row["storyScript"], row["metadata"]["resolution"]) == (None, "s", "1280x720")
    assert row["scenes"][0]["state"] == "rendered"


async def test_the_list_is_newest_first_and_needs_no_input(trpc: Trpc) -> None:
    made = [await trpc.make(f"fox {n}") for n in range(3)]
    given = quote('{"0":{"json":null,"meta":{"values":["undefined"],"v":1}}}')
    [whole] = good(await trpc.api.get(f"/api/trpc/video.list?batch=1&input={given}"))
    assert ([row["videoId"] for row in whole["videos"]], whole["total"]) == (made[::-1], 3)
    [part] = good(await trpc.query(("video.list", {"limit": 1, "offset": 1})))
    assert ([row["videoId"] for row in part["videos"]], part["total"]) == ([made[1]], 3)


async def test_cancelling_again_succeeds_and_a_completed_video_cannot_be_cancelled(trpc: Trpc, film: Film) -> None:
    video_id = await trpc.make()
    for _ in range(2):
        assert good(await trpc.mutate(("video.cancel", {"videoId": video_id}))) == [
            {"success": True, "message": "Video cancelled"}
        ]
    done = await trpc.make()
    await film(UUID(done))
    answer = await trpc.mutate(("video.cancel", {"videoId": done}))
    assert answer.status_code == 409
    assert bad(answer)["data"]["code"] == "CONFLICT"
    assert done in bad(answer)["message"]


@pytest.mark.parametrize("video_id", [str(UUID(int=9)), "v_1", "", "\u0000", "💥"])
@pytest.mark.parametrize("name", ["video.status", "video.get", "video.cancel"])
async def test_an_unknown_video_is_not_found(trpc: Trpc, name: str, video_id: str) -> None:
    ask = trpc.mutate if name == "video.cancel" else trpc.query
    answer = await ask((name, {"videoId": video_id}))
    assert answer.status_code == 404
    error = bad(answer)
    assert (error["code"], error["data"]["code"], error["data"]["path"]) == (-32004, "NOT_FOUND", name)
    assert error["message"] == f"There is no video {video_id}."


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("prompt", "", "prompt is empty."),
        ("prompt", "x" * 4001, "prompt has 4,001 characters; it must have at most 4,000."),
        ("prompt", None, "prompt must be of type string, not null."),
        ("prompt", 5, "prompt must be of type string, not number."),
        ("sceneCount", 0, "sceneCount is 0; it must be at least 1."),
        ("sceneCount", 6, "sceneCount is 6; it must be at most 5."),
        ("sceneCount", 2.5, "sceneCount must be of type int, not number."),
        ("sceneCount", "3", "sceneCount must be of type number, not string."),
        ("sceneCount", 10**400, "sceneCount is out of range; it must be at most 5."),
        ("sceneCount", None, "sceneCount must be of type number, not null."),
        ("duration", 14, "duration is 14; it must be at least 15."),
        ("duration", 61, "duration is 61; it must be at most 60."),
        ("totalDuration", 61, "totalDuration is 61; it must be at most 60."),
        ("niche", "n" * 101, "niche has 101 characters; it must have at most 100."),
        ("niche", "a\x1b[2J", "niche: holds the character U+001B, which no text takes: remove it."),
        ("prompt", "a\x00b", "prompt: holds the character U+0000, which no text takes: remove it."),
        ("prompt", "\u200b\u2060", "prompt: holds only invisible characters: write at least one that can be seen."),
    ],
)
async def test_an_invalid_field_is_described_in_a_sentence(trpc: Trpc, field: str, value: Any, sentence: str) -> None:
    answer = await trpc.mutate(("video.generate", {"prompt": "a fox", field: value}))
    assert answer.status_code == 400
    error = bad(answer)
    assert error["data"]["code"] == "BAD_REQUEST"
    assert error["message"] == sentence
    assert list(error["data"]["zodError"]["fieldErrors"]) == [field]
    assert good(await trpc.query(("video.list", None)))[0]["total"] == 0


async def test_unknown_fields_are_ignored(trpc: Trpc) -> None:
    good(await trpc.mutate(("video.generate", {"prompt": "a fox", "invented": {"deep": True}})))


async def test_repeated_calls_with_a_key_create_one_video(trpc: Trpc) -> None:
    fox, owl = ("video.generate", {"prompt": "a fox"}), ("video.generate", {"prompt": "an owl"})
    key = {"idempotency-key": "k-1"}
    first = good(await trpc.mutate(fox, fox, headers=key))
    assert first[0]["videoId"] != first[1]["videoId"]
    answers = await asyncio.gather(*(trpc.mutate(fox, fox, headers=key) for _ in range(5)))
    assert [good(answer) for answer in answers] == [first] * 5
    other = await trpc.mutate(owl, headers=key)
    assert (other.status_code, bad(other)["data"]["code"]) == (422, "UNPROCESSABLE_CONTENT")
    assert good(await trpc.query(("video.list", None)))[0]["total"] == 2


# --- batches ----------------------------------------------------------------------------


async def test_the_status_of_a_batch_is_that_of_its_calls_or_207(trpc: Trpc, film: Film) -> None:
    known, ended, unknown = await trpc.make(), await trpc.make(), str(uuid4())
    await film(UUID(ended))
    get = [("video.get", {"videoId": video_id}) for video_id in (known, unknown, unknown)]
    cancel = [("video.cancel", {"videoId": video_id}) for video_id in (ended, unknown)]
    assert (await trpc.query(get[0], get[0])).status_code == 200
    assert (await trpc.query(get[1], get[2])).status_code == 404
    assert (await trpc.query(get[0], get[1])).status_code == 207
    assert (await trpc.mutate(*cancel)).status_code == 207
    for calls, message in (([get[0]] * 21, "Batch call exceeds maximum size"), ([get[0], cancel[0]], "Cannot mix")):
        answer = await trpc.mutate(*calls)
        assert answer.status_code == 400
        assert isinstance(answer.json(), dict)
        assert message in bad(answer)["message"]


async def test_answers_are_streamed_line_by_line_on_request(trpc: Trpc) -> None:
    video_id = await trpc.make()
    calls = (("video.get", {"videoId": str(uuid4())}), ("video.get", {"videoId": video_id}))
    answer = await trpc.query(*calls, headers={"trpc-accept": "application/jsonl"})
    assert answer.status_code == 200
    head, *lines = (json.loads(line) for line in answer.text.splitlines())
    assert head == {"json": {"0": [[0], [None, 0, 0]], "1": [[0], [None, 0, 1]]}}
    by_call = {line["json"][0]: line["json"][2][0][0] for line in lines}
    assert by_call[0]["error"]["data"]["code"] == "NOT_FOUND"
    assert by_call[1]["result"]["data"]["videoId"] == video_id
    [dates] = [line["meta"]["values"] for line in lines if line["json"][0] == 1]
    assert dates == {"2.0.0.result.data.createdAt": ["Date"]}


# --- superjson or not -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "is_superjson"),
    [
        ("video.list", False),
        ("video.list?batch=1&input={}", False),
        ('video.list?input={"limit":5}', False),
        ('video.list?input={"json":{"limit":5}}', True),
        ('video.list,video.list?batch=1&input={"0":{"json":{}}}', True),
        ('video.list,video.list?batch=1&input={"0":{"json":{}},"1":{"limit":1}}', False),
        ('video.list?batch=1&input={"0":{"json":{"limit":1}', True),
        ('video.list?input={"json":1,"meta":"x"}', True),
        ('video.list?input={"json":1,"more":"x"}', False),
    ],
)
async def test_superjson_is_answered_with_superjson(api: httpx.AsyncClient, path: str, is_superjson: bool) -> None:
    answer = (await api.get(f"/api/trpc/{path}")).json()
    one = answer[0] if isinstance(answer, list) else answer
    inside = one["error"] if "error" in one else one["result"]["data"]
    assert ("json" in inside) is is_superjson


async def test_without_superjson_dates_are_text(api: httpx.AsyncClient) -> None:
    made = await api.post("/api/trpc/video.generate", json={"prompt": "a fox"})
    video_id = made.json()["result"]["data"]["videoId"]
    row = (await api.get("/api/trpc/video.get", params={"input": json.dumps({"videoId": video_id})})).json()
    assert row["result"]["data"]["createdAt"].endswith("Z")


# --- rejected calls -------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None]
)
async def test_content_types_that_a_form_can_send_are_rejected_by_trpc(trpc: Trpc, content_type: str | None) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    answer = await trpc.api.post("/api/trpc/video.generate", content=sj({"prompt": "a fox"}), headers=headers)
    assert answer.status_code == 415
    assert bad(answer)["data"]["code"] == "UNSUPPORTED_MEDIA_TYPE"
    assert good(await trpc.query(("video.list", None)))[0]["total"] == 0


async def test_a_get_creates_no_video(trpc: Trpc) -> None:
    answer = await trpc.query(("video.generate", {"prompt": "a fox"}))
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert good(await trpc.query(("video.list", None)))[0]["total"] == 0


DEEP = "[" * 3000 + "]" * 3000
NOTE = '{"json":{"videoId":"x"},"meta":{"v":1,"values":%s}}'


HOSTILE = [
    DEEP,
    '{"json":' + DEEP + "}",
    '{"json":1,"meta":{"v":1,"values":' + DEEP + "}}",
    "NaN",
    '{"json":{"limit":NaN}}',
    '{"json":{"limit":1e999}}',
    '{"limit":1e999}',
    '{"json":{"limit":-0}}',
    '{"json":{"videoId":"\\ud800"}}',
    '{"json":{"videoId":"\\u0000"}}',
    '{"json":{"limit":%s}}' % ("9" * 5000),
    '{"json":{"limit":%s}}' % ("9" * 4000),
    NOTE % '"x"',
    NOTE % '{"videoId":["Date"]}',
    NOTE % '{"nothing.there":["Date"]}',
    NOTE % '{"videoId":["map",{"0":["set"]}]}',
    NOTE % '{"videoId":["unheard of"]}',
    NOTE % '{"videoId":[["class","Admin"]]}',
    NOTE % '{"__proto__":["Date"]}',
    NOTE % '{"constructor.prototype":["Date"]}',
    NOTE % ("{" + ",".join(f'"{n}":["Date"]' for n in range(5000)) + "}"),
    NOTE % ('{"' + "a." * 5000 + '":["Date"]}'),
    '{"json":1,"meta":"x"}',
    '{"json":null,"meta":{"values":["undefined"],"v":"1"}}',
    '{"__proto__":{"limit":5}}',
    '{"json":{"__proto__":{"limit":5},"constructor":1}}',
    '{"0":5}',
    "null",
    "5",
    '"text"',
    "[]",
    "\ufeff{}",
    "\u0000",
    "{",
    "",
]


async def test_hostile_input_is_never_a_server_error(api: httpx.AsyncClient) -> None:
    for given in HOSTILE:
        for name in ("video.list", "video.get", "video.generate", "video.cancel", "video.events"):
            for batch in ("", "?batch=1"):
                wrapped = f'{{"0":{given}}}' if batch and not given.startswith("{") else given
                answer = await api.post(f"/api/trpc/{name}{batch}", content=wrapped.encode(), headers=PLAIN_JSON)
                what = f"{name}{batch} {wrapped[:80]} -> {answer.text[:500]}"
                assert answer.status_code < 500, what
                assert not re.search("INTERNAL_SERVER_ERROR|stack|Traceback", answer.text), what


NAMES = [
    ("/api/trpc/", 404),
    ("/api/trpc/video", 404),
    ("/api/trpc/__proto__", 404),
    ("/api/trpc/constructor", 404),
    ("/api/trpc/..%2f..%2fetc%2fpasswd", 404),
    ("/api/trpc/foo/video.list", 404),
    ("/api/trpc/video%2elist", 200),
    ("/api/trpc/video%252elist", 404),
    ("/api/trpc/video.list%00", 404),
    ("/api/trpc/%E0%A4%A", 404),
    ("/api/trpc/%zz", 404),
    ("/api/trpc/video.list?batch=true&input=%E0%A4%A", 400),
    ("/api/trpc/video.list?input=%zz", 400),
    ("/api/trpc/video.list,?batch=1", 207),
    ("/api/trpc/video.list?batch=1&batch=2", 200),
]


async def test_procedure_names_are_only_names(api: httpx.AsyncClient) -> None:
    assert [(path, (await api.get(path)).status_code) for path, _ in NAMES] == NAMES


async def test_an_oversized_body_is_not_read(trpc: Trpc) -> None:
    answer = await trpc.mutate(("video.generate", {"prompt": "x" * 1024 * 1024}))
    assert answer.status_code == 413
    assert "json" in answer.json()["error"]
    assert bad(answer)["data"]["code"] == "PAYLOAD_TOO_LARGE"


# --- internal errors ------------------------------------------------------------------


async def test_an_internal_error_shows_only_the_request_id(
    trpc: Trpc, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def page(*_: object, **__: object) -> None:
        raise ZeroDivisionError("mysql://root:secret@db")

    monkeypatch.setattr(gateway.queries, "page", page)
    for headers in ({}, {"trpc-accept": "application/jsonl"}):
        answer = await trpc.query(("video.list", None), headers=headers)
        assert answer.status_code == (200 if headers else 500)
        assert "Internal server error" in answer.text
        assert not re.search("secret|ZeroDivision|Traceback|stack", answer.text)
    error = bad(await trpc.query(("video.list", None)))
    assert error["data"] == {
        "code": "INTERNAL_SERVER_ERROR", "httpStatus": 500, "path": "video.list", "zodError": None,
        "requestId": error["data"]["requestId"],
    }  # fmt: skip
    logged = capsys.readouterr()
    assert error["data"]["requestId"] in logged.out + logged.err


async def test_a_database_outage_is_reported_as_retryable(
    trpc: Trpc, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def page(*_: object, **__: object) -> None:
        raise OperationalError("SELECT secret", {}, Exception(2003, "secret host"))

    monkeypatch.setattr(gateway.queries, "page", page)
    answer = await trpc.query(("video.list", None))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert bad(answer)["data"]["code"] == "SERVICE_UNAVAILABLE"
    assert "secret" not in answer.text


async def test_empty_form_fields_get_the_default(trpc: Trpc) -> None:
    [made] = good(await trpc.mutate(("video.generate", {"prompt": "a fox", "niche": ""})))
    [shown] = good(await trpc.query(("video.get", {"videoId": made["videoId"]})))
    assert shown["niche"] == "general"


async def test_a_last_event_id_from_the_future_gets_new_events(trpc: Trpc, gateway: Gateway) -> None:
    video_id = await trpc.make()
    asked = {"input": json.dumps({"videoId": video_id, "lastEventId": "9" * 20})}
    listening = asyncio.create_task(trpc.api.get("/api/trpc/video.events", params=asked))
    await asyncio.sleep(0.2)
    await trpc.mutate(("video.cancel", {"videoId": video_id}))
    [event] = await gateway.event_log.events_after(UUID(video_id), 1)
    await gateway.event_stream.publish(UUID(video_id), "anonymous", event)
    assert "video_cancelled" in (await asyncio.wait_for(listening, 10)).text


async def test_a_call_that_takes_too_long_is_cancelled(
    gateway: Gateway, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def page(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(gateway.queries, "page", page)
    commands = procedures.Commands(gateway.videos, gateway.reviews, gateway.frame_reviews, gateway.idempotency)
    server = procedures.server(commands, gateway.event_stream, gateway.access, "", 0.01)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=server.route("")), base_url="http://x") as client:
        answer = await client.get("/video.list")
    assert answer.status_code == 408
    assert bad(answer)["data"]["code"] == "TIMEOUT"


# --- callers --------------------------------------------------------------------------


async def test_an_owner_sees_only_its_videos_and_every_call_counts(
    trpc: Trpc, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []
    callers = {"a": Caller("a", frozenset({"read", "write"})), "b": Caller("b", frozenset({"read"}))}

    async def identify(connection: Any) -> Caller:
        try:
            return callers[connection.headers.get("authorization", "")]
        except KeyError:
            raise NotSignedIn from None

    async def count(_caller: Caller, calls: int = 1) -> None:
        counted.append(calls)

    monkeypatch.setattr(gateway.access, "identify", identify)
    monkeypatch.setattr(gateway.access, "count", count)
    wish = ("video.generate", {"prompt": "a fox"})
    [made] = good(await trpc.mutate(wish, headers={"authorization": "a"}))
    video = {"videoId": made["videoId"]}
    list_and_get = (("video.list", None), ("video.get", video), ("video.status", video))
    listed, *_ = good(await trpc.query(*list_and_get, headers={"authorization": "a"}))
    assert listed["total"] == 1
    listed, *others = (await trpc.query(*list_and_get, headers={"authorization": "b"})).json()
    assert listed["result"]["data"]["json"]["total"] == 0
    assert [one["error"]["json"]["data"]["code"] for one in others] == ["NOT_FOUND"] * 2
    assert counted == [1, 3, 3]
    for ask, code in ((trpc.mutate(wish, headers={"authorization": "b"}), 403), (trpc.mutate(wish), 401)):
        answer = await ask
        assert answer.status_code == code
        assert bad(answer)["data"]["code"] == {403: "FORBIDDEN", 401: "UNAUTHORIZED"}[code]


async def test_only_pages_of_the_applications_origin_may_read_answers_and_errors(tmp_path: Path) -> None:
    home = "https://app.example"
    gateway = Gateway(
        Settings(
            database_url=SecretStr("sqlite+aiosqlite://"), storage_url=tmp_path.as_uri(), media_secret=SecretStr("s"),
            cors_origins=(home,),
        )
    )  # fmt: skip
    transport = httpx.ASGITransport(app=gateway.app(gateway.storage, routes=[]), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as api:
        asks = {
            "access-control-request-method": "POST",
            "access-control-request-headers": "content-type, authorization, trpc-accept, idempotency-key",
        }
        allowed = await api.options("/api/trpc/video.generate", headers={"origin": home, **asks})
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, home)
        foreign = await api.options("/api/trpc/video.generate", headers={"origin": "https://evil.example", **asks})
        assert "access-control-allow-origin" not in foreign.headers
        for path, status in (("/video.none", 404), ("/video.list", 500)):
            # There is no table: that is an error of ours.
            answer = await api.get(f"/api/trpc{path}", headers={"origin": home})
            assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, home)
            assert answer.headers["access-control-allow-credentials"] == "true"
    await gateway.database.close()


# --- events ---------------------------------------------------------------------------


def _streamed(video_id: UUID) -> StreamExtended:
    media = MediaReference(key=stream_key(video_id, 1, "0"), content_type="video/mp4", size=1, sha256="0" * 64)
    segments = (StreamSegment(media=media, frames=48),)
    return StreamExtended(
        video_id=video_id, piece_number=1, piece_count=3, init=media, segments=segments, longest_frames=48
    )


async def test_events_match_their_typescript_types(trpc: Trpc, gateway: Gateway, film: Film) -> None:
    video_id = UUID(await trpc.make())
    await film(video_id)
    other = UUID(await trpc.make())
    async with transaction(gateway.database) as work:
        await gateway.projector.record(work, _streamed(other))
        media = MediaReference(key="videos/x/pictures/a.jpg", content_type="image/jpeg", size=1, sha256="0" * 64)
        for place in ({"purpose": "first_frame", "scene_number": 1}, {"purpose": "reference", "cast_name": "Ana"}):
            picture = PictureRendered(video_id=other, picture=media, cost_usd="0.02", provider="runway", **place)
            await gateway.projector.record(work, picture)
        await gateway.projector.record(work, FramesRendered(video_id=other))
        await gateway.projector.record(work, VideoFailed(video_id=other, stage="composer", kind="k", reason="r"))
        await gateway.projector.record(work, VideoExpired(video_id=video_id))
    cancelled = await trpc.make()
    await trpc.mutate(("video.cancel", {"videoId": cancelled}))
    told = [
        event for one in (video_id, other, UUID(cancelled)) for event in await gateway.event_log.events_after(one, 0)
    ]
    assert {event.type for event in told} == set(LIVE_NAMES.values()) - {"video_scene_failed"}
    for event in told:
        model = PAYLOADS[event.type]
        shown = TypeAdapter(model).validate_python(event.data)
        known = {field.alias for field in model.model_fields.values()}
        assert set(event.data) <= known, "a field that the types do not have"
        assert shown.model_dump(mode="json", include=shown.model_fields_set) == event.data


def test_the_types_are_up_to_date() -> None:
    web = Path(web_types.__file__).parents[2] / "web" / "app-router.d.ts"
    assert web.read_text() == web_types.text()
