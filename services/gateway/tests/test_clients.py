"""The real npm clients, the oldest and the newest, against the gateway."""

import asyncio
import functools
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from composer.stream.pieces import make_stream_piece
from gateway import web_types
from gateway.app import Gateway
from shared.contracts.events import StreamExtended
from shared.contracts.media import FRAME_RATE, MediaReference, StreamSegment, stream_key
from shared.media.ffmpeg import Ffmpeg
from shared_testing.servers import _or_skip, eventually

CLIENTS = Path(__file__).with_name("clients")
Node = Callable[..., Any]
Film = Callable[[UUID], Awaitable[None]]

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("telling")]

LINKS = ("httpLink", "httpBatchLink", "httpBatchStreamLink", "httpLink by POST", "httpBatchLink by POST")
UNKNOWN = "00000000-0000-0000-0000-000000000009"


@pytest.mark.parametrize("transformer", ["superjson", "plain"])
@pytest.mark.parametrize("version", ["oldest", "newest"])
async def test_every_trpc_link_gets_its_answers(url: str, node: Node, version: str, transformer: str) -> None:
    report = await node("talk.mjs", version, transformer, url)
    assert set(report) == set(LINKS)
    for link, steps in report.items():
        video_id = steps["generate"]["videoId"]
        assert steps["generate"] == {"success": True, "videoId": video_id, "message": "Video generation started"}
        assert steps["list"]["videos"][0] == steps["page"]["videos"][0] == steps["get"]
        assert (steps["list"]["total"], len(steps["page"]["videos"])) == (LINKS.index(link) + 1, 1)
        assert (steps["status"]["videoId"], steps["status"]["totalScenes"]) == (video_id, 2)
        row = steps["get"]
        assert (row["videoId"], row["prompt"], row["completedAt"]) == (video_id, f"a fox by {link}", None)
        created = row["createdAt"]["date"] if transformer == "superjson" else row["createdAt"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", created)
        assert steps["cancel"] == {"success": True, "message": "Video cancelled"}
        assert steps["events"] == [
            "started", ["1", "video_generation_started", 1], ["2", "video_cancelled", 2], "complete",
        ]  # fmt: skip
        assert len(steps["requests"]) == (1 if "Batch" in link else 5)
        assert {request.split()[0] for request in steps["requests"]} == {"POST" if "POST" in link else "GET"}
        for step, path in (("unknown", "get"), ("cancelUnknown", "cancel"), ("eventsOfUnknown", "events")):
            error = steps[step]["error"]
            assert (error["name"], error["message"]) == ("TRPCClientError", f"There is no video {UNKNOWN}.")
            assert _data(error) == ("NOT_FOUND", 404, f"video.{path}", -32004)
        assert _data(steps["noSuch"]["error"]) == ("NOT_FOUND", 404, "video.destroy", -32004)
        invalid = steps["invalid"]["error"]
        assert _data(invalid) == ("BAD_REQUEST", 400, "video.generate", -32600)
        assert invalid["message"] == "prompt is empty. sceneCount is 9; it must be at most 5."
        assert set(invalid["shape"]["data"]["zodError"]["fieldErrors"]) == {"prompt", "sceneCount"}


def _data(error: dict[str, Any]) -> tuple[object, ...]:
    data = error["shape"]["data"]
    assert "stack" not in data
    return data["code"], data["httpStatus"], data["path"], error["shape"]["code"]


@pytest.mark.parametrize("version", ["oldest", "newest"])
def test_the_types_compile_and_reject_mistakes(node: Node, tmp_path: Path, version: str) -> None:
    (tmp_path / "app-router.d.ts").write_text(web_types.text())
    for name in ("application.ts", "tsconfig.json"):
        shutil.copy(CLIENTS / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(CLIENTS / version / "node_modules")
    assert (tmp_path / "application.ts").read_text().count("@ts-expect-error") >= 5
    tsc = CLIENTS / "node_modules" / "typescript" / "bin" / "tsc"
    done = subprocess.run([str(tsc), "-p", str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


# --- the page ---------------------------------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[str]:
    """The URL of a page of another origin."""
    folder = tmp_path / "page"
    folder.mkdir()
    html = '<!doctype html><link rel="icon" href="data:,"><div id="root"></div><script src="main.js"></script>'
    (folder / "index.html").write_text(html)
    handler = functools.partial(SimpleHTTPRequestHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def browser(request: pytest.FixtureRequest) -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        _or_skip(request, "Chromium", "no chromium is installed")
    return str(found)


class TestThePage:
    """A React page with @trpc/react-query and socket.io-client, in a browser, from another origin."""

    @pytest.fixture
    def more_settings(self, elsewhere: str) -> dict[str, Any]:
        return {"cors_origins": (elsewhere,)}

    async def test_a_person_asks_for_a_video_and_sees_it_made(
        self, gateway: Gateway, url: str, elsewhere: str, node: Node, browser: str, film: Film, tmp_path: Path
    ) -> None:
        esbuild = CLIENTS / "node_modules" / "esbuild" / "bin" / "esbuild"
        bundle = (
            str(esbuild), str(CLIENTS / "page" / "main.jsx"), "--bundle", "--jsx=automatic", "--log-level=warning",
            '--define:process.env.NODE_ENV="production"', f"--outfile={tmp_path}/page/main.js",
        )  # fmt: skip
        subprocess.run(bundle, check=True)
        making = asyncio.create_task(_film_the_first(gateway, film))
        seen = await node("browse.mjs", browser, f"{elsewhere}/?gateway={url}", str(tmp_path))
        await making
        events = [
            "video_generation_started", "video_storyboard_created", "video_scene_processing",
            "video_scene_completed", "video_combining_scenes", "video_completed",
        ]  # fmt: skip
        assert "error" not in seen, seen
        assert seen["complaints"] == []
        assert seen["fault"] == "Too small: expected string to have >=1 characters"
        assert seen["status"] == "completed"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", seen["completed"])
        # Hints of progress have the name and the number of the event before them.
        assert list(dict.fromkeys(text.split()[0] for text in seen["socket"])) == events
        assert list(dict.fromkeys(seen["events"])) == [f"{name} {seq}" for seq, name in enumerate(events, 1)]


async def test_the_status_page_works_on_a_phone(
    gateway: Gateway, url: str, node: Node, browser: str, film: Film, tmp_path: Path
) -> None:
    making = asyncio.create_task(_film_the_first(gateway, film))
    seen = await node("own_page.mjs", browser, url, str(tmp_path))
    await making
    assert seen.get("error") is None
    assert seen["complaints"] == []
    [row] = [row for row in (await gateway.queries.page(10, 0, owner=None)).videos if row.status == "completed"]
    assert row.title in seen["completed"]
    assert row.video_id in seen["film"]
    assert "an owl" in seen["pending"]
    assert "20 s" in seen["pending"]
    assert seen["overflow"] <= 0
    assert "left" not in seen["cancelled"]
    assert "prompt: " in seen["fault"]


async def _film_the_first(gateway: Gateway, film: Film) -> None:
    page = await eventually(lambda: _made(gateway))
    await film(UUID(page.videos[0].video_id))


async def _made(gateway: Gateway) -> Any:
    page = await gateway.queries.page(1, 0, owner=None)
    return page if page.total else None


async def test_a_silent_socket_gets_all_videos(url: str, gateway: Gateway, node: Node, film: Film) -> None:
    making = asyncio.create_task(_film_the_first(gateway, film))
    said = await node("newest/listen.mjs", url)
    await making
    assert said["transport"] == "websocket"
    assert [seq for _, seq, _ in said["heard"] if seq] == [1, 2, 3, 4, 5, 6]
    progress = [progress for *_, progress in said["heard"]]
    assert progress == sorted(progress)


# --- the stream -------------------------------------------------------------------------


class TestTheStream:
    """A page of another origin that plays the stream with hls.js while the film is being made."""

    FRAMES = (84, 62, 55)
    ENCODERS = ("keyint=24:min-keyint=24:scenecut=0:sps-id=1", "keyint=infinite:bframes=3", "keyint=24:bframes=0")
    """The pieces differ in their segments and parameter sets, as clips of several providers do."""

    @pytest.fixture
    def more_settings(self, elsewhere: str) -> dict[str, Any]:
        return {"cors_origins": (elsewhere,)}

    async def test_scenes_play_before_the_last_is_there_and_the_stream_ends(
        self, gateway: Gateway, url: str, elsewhere: str, node: Node, browser: str, happen: Any, tmp_path: Path
    ) -> None:
        page = tmp_path / "page"
        shutil.copy(CLIENTS / "node_modules" / "hls.js" / "dist" / "hls.js", page / "main.js")
        html = '<!doctype html><link rel="icon" href="data:,"><video muted></video><script src="main.js"></script>'
        (page / "index.html").write_text(html)
        video_id = UUID(int=12)
        pieces = [await self._piece(gateway, video_id, number, tmp_path) for number in (1, 2, 3)]
        lengths = [frames / FRAME_RATE for frames in self.FRAMES]

        async def publish() -> None:
            for piece in pieces:
                await happen(piece)
                await eventually(lambda number=piece.piece_number: (tmp_path / f"watched-{number}").exists(), 60)

        publishing = asyncio.create_task(publish())
        stream = f"{url}/api/v1/videos/{video_id}/stream.m3u8"
        seen = await node("watch.mjs", browser, elsewhere, str(tmp_path), stream, json.dumps(lengths))
        assert "error" not in seen, seen
        await publishing
        assert seen["complaints"] == []
        frame = 1 / FRAME_RATE
        assert seen["duration"] == seen["currentTime"] == pytest.approx(sum(lengths), abs=frame)
        [(begin, end)] = seen["ranges"]
        assert (begin, end) == (0, pytest.approx(sum(lengths), abs=frame))
        assert seen["frames"] == sum(self.FRAMES)
        # It may have to wait for a scene, but nowhere does it have to jump.
        assert set(seen["faults"]) <= {"bufferStalledError"}

    async def _piece(self, gateway: Gateway, video_id: UUID, number: int, folder: Path) -> StreamExtended:
        frames, encoder = self.FRAMES[number - 1], self.ENCODERS[number - 1]
        picture, sound, made = folder / "picture.mp4", folder / "sound.mp4", folder / f"piece-{number}"
        source = ["-f", "lavfi", "-i", f"testsrc2=s=160x90:r={FRAME_RATE}", "-frames:v", str(frames), "-c:v", "libx264"]
        form = ["-pix_fmt", "yuv420p", "-video_track_timescale", "12288", "-x264-params", encoder]
        await Ffmpeg().run(["-y", *source, *form, str(picture)], time_limit=60)
        tone = f"sine=f={220 * number}:r=48000,atrim=end_sample={frames * 2000}"
        await Ffmpeg().run(["-y", "-f", "lavfi", "-i", tone, "-c:a", "aac", "-ac", "2", str(sound)], time_limit=60)
        piece = await make_stream_piece(picture, sound, frames, made)

        async def put(name: str, path: Path) -> MediaReference:
            return await gateway.storage.put(stream_key(video_id, number, name), path, "video/mp4")

        segments = [
            StreamSegment(media=await put(str(n), one.path), frames=one.frames) for n, one in enumerate(piece.segments)
        ]
        init = await put("init", piece.init)
        return StreamExtended(
            video_id=video_id, piece_number=number, piece_count=3, init=init, segments=tuple(segments),
            longest_frames=max(self.FRAMES),
        )  # fmt: skip
