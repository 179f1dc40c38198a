"""Uploads: what is taken, what is refused and why, and how videos use them."""

import asyncio
import io
import struct
import zlib
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from PIL import Image, TiffImagePlugin
from sqlalchemy import update

from gateway.access.service import ALL_SCOPES, Caller
from gateway.app import Gateway
from gateway.models import Upload
from gateway.uploads import service
from shared.contracts.events import VideoRequested
from shared.contracts.media import MediaReference
from shared.persistence.database import now
from shared.persistence.unit_of_work import transaction
from shared_testing.servers import published

UPLOADS = "/api/v1/uploads"
VIDEOS = "/api/v1/videos"
CLIP = struct.pack(">I", 24) + b"ftypisom" + bytes(12) + bytes(1000)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="100" height="100"><script>alert(1)</script></svg>'


def picture(name: str = "JPEG", size: tuple[int, int] = (320, 200), mode: str = "RGB", **how: Any) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, "red").save(file, name, **how)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(width: int, height: int) -> bytes:
    """A PNG of a few kilobytes that says to be huge."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1_000_000))) + chunk(b"IEND", b"")


def webp_bomb(width: int, height: int) -> bytes:
    data = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (width - 1).to_bytes(3, "little")
    data += (height - 1).to_bytes(3, "little") + picture("WEBP")[12:]
    return b"RIFF" + struct.pack("<I", len(data) + 4) + b"WEBP" + data


async def send(api: httpx.AsyncClient, content: bytes, kind: str = "image/jpeg") -> httpx.Response:
    return await api.post(UPLOADS, content=content, headers={"content-type": kind})


async def sent(api: httpx.AsyncClient, content: bytes | None = None, kind: str = "image/jpeg") -> str:
    """Upload a file; returns its id."""
    answer = await send(api, content if content is not None else picture(), kind)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["uploadId"])


def stored(gateway: Gateway, key: str) -> Image.Image:
    return Image.open(gateway.storage.path(key))


async def row_of(gateway: Gateway, upload_id: str) -> Upload:
    return await gateway.uploads.get(UUID(upload_id), owner=None)


# --- what is taken


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (picture(), "image/jpeg"),
        (picture("PNG", mode="RGBA"), "image/png"),
        (picture("PNG", mode="P"), "image/png"),
        (picture("PNG", mode="I;16"), "image/png"),
        (picture("JPEG", mode="CMYK"), "image/jpeg"),
        (picture("WEBP", lossless=True), "image/webp"),
        (picture("WEBP"), "image/webp; charset=binary"),
    ],
)
async def test_a_picture_is_stored_as_jpeg(api: httpx.AsyncClient, gateway: Gateway, content: bytes, kind: str) -> None:
    answer = await send(api, content, kind)
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert (told["kind"], told["contentType"], told["width"], told["height"]) == ("picture", "image/jpeg", 320, 200)
    assert answer.headers["location"] == f"{UPLOADS}/{told['uploadId']}"
    assert (await api.get(answer.headers["location"])).json() == told
    with stored(gateway, f"uploads/{told['uploadId']}.jpg") as kept:
        assert (kept.format, kept.mode, kept.size) == ("JPEG", "RGB", (320, 200))


async def test_a_large_picture_is_made_smaller(api: httpx.AsyncClient) -> None:
    told = (await send(api, picture(size=(6000, 3000)))).json()
    assert (told["width"], told["height"]) == (2048, 1024)


async def test_a_picture_is_upright_and_says_nothing_of_where_it_was_taken(
    api: httpx.AsyncClient, gateway: Gateway
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    exif[0x010F] = "A camera"
    exif.get_ifd(0x8825).update({1: "S", 2: tuple(TiffImagePlugin.IFDRational(n) for n in (6, 12, 30))})
    content = picture(exif=exif, comment=b"Jakarta", xmp=b"<x:xmpmeta>Jakarta</x:xmpmeta>")
    assert b"A camera" in content
    assert Image.open(io.BytesIO(content)).getexif().get_ifd(0x8825)
    upload_id = await sent(api, content)
    row = await row_of(gateway, upload_id)
    assert (row.width, row.height) == (200, 320)
    with stored(gateway, row.media["key"]) as kept:
        assert (dict(kept.getexif()), kept.info.get("comment"), kept.info.get("xmp")) == ({}, None, None)
    raw = gateway.storage.path(row.media["key"]).read_bytes()
    assert b"camera" not in raw
    assert b"Jakarta" not in raw


async def test_a_page_hidden_in_a_picture_is_gone(api: httpx.AsyncClient, gateway: Gateway) -> None:
    page = b"<html><script>alert(document.domain)</script></html>"
    content = picture(comment=page) + page
    row = await row_of(gateway, await sent(api, content))
    assert b"script" not in gateway.storage.path(row.media["key"]).read_bytes()


async def test_a_clip_is_stored_as_it_is(api: httpx.AsyncClient, gateway: Gateway) -> None:
    told = (await send(api, CLIP, "video/mp4")).json()
    assert (told["kind"], told["contentType"], told["size"], told["width"]) == ("clip", "video/mp4", len(CLIP), None)
    assert gateway.storage.path(f"uploads/{told['uploadId']}.mp4").read_bytes() == CLIP


# --- what is refused


@pytest.mark.parametrize(
    ("content", "kind", "status", "problem", "text"),
    [
        pytest.param(SVG, "image/svg+xml", 415, "upload-type-unsupported", "image/svg+xml", id="SVG"),
        pytest.param(SVG, "image/png", 422, "upload-unusable", "not a PNG", id="SVG as PNG"),
        pytest.param(picture("GIF"), "image/gif", 415, "upload-type-unsupported", "image/gif", id="GIF"),
        pytest.param(picture("GIF"), "image/jpeg", 422, "upload-unusable", "not a JPEG", id="GIF as JPEG"),
        pytest.param(picture("PNG"), "image/jpeg", 422, "upload-unusable", "not a JPEG", id="PNG as JPEG"),
        pytest.param(picture("TIFF"), "image/webp", 422, "upload-unusable", "not a WEBP", id="TIFF as WebP"),
        pytest.param(
            b"<html>" + picture(), "image/jpeg", 422, "upload-unusable", "not a JPEG", id="a page, then a picture"
        ),
        pytest.param(picture()[:-200], "image/jpeg", 422, "upload-unusable", "damaged", id="truncated JPEG"),
        pytest.param(picture("PNG")[:200], "image/png", 422, "upload-unusable", "damaged", id="truncated PNG"),
        pytest.param(picture("WEBP")[:60], "image/webp", 422, "upload-unusable", "damaged", id="truncated WebP"),
        pytest.param(b"hello", "image/jpeg", 422, "upload-unusable", "not a JPEG", id="text"),
        pytest.param(b"", "image/jpeg", 422, "upload-unusable", "empty", id="empty"),
        pytest.param(
            png_bomb(50_000, 50_000), "image/png", 422, "upload-unusable", "more than 40 megapixels", id="bomb"
        ),
        pytest.param(
            png_bomb(11_000, 11_000), "image/png", 422, "upload-unusable", "11000 x 11000", id="a smaller bomb"
        ),
        pytest.param(
            png_bomb(12_001, 100), "image/png", 422, "upload-unusable", "12,000 on a side", id="a long picture"
        ),
        pytest.param(webp_bomb(16_000, 16_000), "image/webp", 422, "upload-unusable", "16000", id="WebP bomb"),
        pytest.param(picture(size=(63, 200)), "image/jpeg", 422, "upload-unusable", "at least 64", id="too small"),
        pytest.param(picture(), "text/html", 415, "upload-type-unsupported", "text/html", id="another type"),
        pytest.param(b'{"a": 1}', "application/json", 415, "upload-type-unsupported", "json", id="JSON"),
        pytest.param(picture(), "", 415, "upload-type-unsupported", "missing", id="no type"),
        pytest.param(picture(), "video/mp4", 422, "upload-unusable", "not an MP4", id="a picture as clip"),
        pytest.param(b"\x00\x00\x00\x04ftyp", "video/mp4", 422, "upload-unusable", "not an MP4", id="no clip"),
    ],
)
async def test_a_hostile_or_wrong_file_is_refused_with_the_reason(
    api: httpx.AsyncClient, gateway: Gateway, content: bytes, kind: str, status: int, problem: str, text: str
) -> None:
    answer = await send(api, content, kind)
    told = answer.json()
    assert (answer.status_code, told["type"]) == (status, f"/problems#{problem}"), answer.text
    assert text in told["detail"]
    assert not any([one async for one in gateway.storage.objects("uploads/")])


@pytest.mark.parametrize(
    ("kind", "limit"), [("image/jpeg", service.LARGEST_PICTURE), ("video/mp4", service.LARGEST_CLIP)]
)
async def test_a_file_is_refused_beyond_its_limit_before_it_is_read(
    api: httpx.AsyncClient, kind: str, limit: int
) -> None:
    async def body() -> Any:
        raise AssertionError("it was read")
        yield b""

    headers = {"content-type": kind, "content-length": str(limit + 1)}
    answer = await api.post(UPLOADS, content=body(), headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (413, "/problems#upload-too-large")
    assert f"{limit:,} bytes" in answer.json()["detail"]


async def test_a_file_that_does_not_say_how_large_it_is_is_refused_at_its_limit(
    api: httpx.AsyncClient, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "LARGEST_CLIP", 5_000_000)
    taken = 0

    async def body() -> Any:
        nonlocal taken
        yield CLIP
        for _ in range(100):
            taken += 1
            yield bytes(1_000_000)

    answer = await api.post(UPLOADS, content=body(), headers={"content-type": "video/mp4"})
    assert (answer.status_code, answer.json()["type"], taken) == (413, "/problems#upload-too-large", 5)
    assert not any([one async for one in gateway.storage.objects("uploads/")])


async def test_more_files_than_there_is_space_for_are_refused_for_a_while(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MOST_RECEIVED", 2 * len(CLIP))
    both = asyncio.Barrier(3)

    async def body() -> Any:
        yield CLIP[:20]
        await both.wait()
        yield CLIP[20:]

    headers = {"content-type": "video/mp4", "content-length": str(len(CLIP))}
    running = [asyncio.create_task(api.post(UPLOADS, content=body(), headers=headers)) for _ in range(2)]
    while both.n_waiting < 2:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.01)
    refused = await send(api, CLIP, "video/mp4")
    assert (refused.status_code, refused.json()["type"]) == (503, "/problems#uploads-busy")
    assert refused.headers["retry-after"] == "2"
    await both.wait()
    assert [(await one).status_code for one in running] == [201, 201]
    assert (await send(api, CLIP, "video/mp4")).status_code == 201


async def test_other_calls_still_take_a_megabyte(api: httpx.AsyncClient) -> None:
    answer = await api.post(VIDEOS, content=b" " * 2_000_000, headers={"content-type": "application/json"})
    assert answer.status_code == 413
    assert (await send(api, picture("PNG", (1200, 1200)) + bytes(2_000_000), "image/png")).status_code == 201


# --- their owner, and their end


def calling_as(monkeypatch: pytest.MonkeyPatch, gateway: Gateway, owner: str, *, sees_all: bool = False) -> None:
    async def identify(_connection: Any) -> Caller:
        return Caller(owner, ALL_SCOPES, sees_all=sees_all)

    monkeypatch.setattr(gateway.access, "identify", identify)


async def test_an_upload_is_its_owner_s_alone(
    api: httpx.AsyncClient, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    calling_as(monkeypatch, gateway, "anna")
    upload_id = await sent(api)
    calling_as(monkeypatch, gateway, "bob")
    assert (await api.get(f"{UPLOADS}/{upload_id}")).status_code == 404
    assert (await api.delete(f"{UPLOADS}/{upload_id}")).status_code == 404
    request = {"prompt": "a fox", "references": [{"name": "Ana", "image": upload_id}]}
    refused = await api.post(VIDEOS, json=request)
    assert (refused.status_code, [one["field"] for one in refused.json()["errors"]]) == (422, ["references.0.image"])
    assert (await api.get(VIDEOS)).json()["total"] == 0
    calling_as(monkeypatch, gateway, "anna")
    assert (await api.post(VIDEOS, json=request)).status_code == 202
    assert (await api.delete(f"{UPLOADS}/{upload_id}")).status_code == 204
    assert (await api.get(f"{UPLOADS}/{upload_id}")).status_code == 404
    assert not any([one async for one in gateway.storage.objects("uploads/")])


async def test_uploads_are_removed_after_a_while(api: httpx.AsyncClient, gateway: Gateway) -> None:
    old, new = await sent(api), await sent(api, CLIP, "video/mp4")
    async with transaction(gateway.database) as work:
        aged = update(Upload).where(Upload.upload_id == old).values(created_at=now(-31 * 86_400))
        await work.session.execute(aged)
    policy = gateway.uploads.policy
    assert await policy.remove(gateway.database, policy.days * 86_400, policy.batch) == 1
    assert (await api.get(f"{UPLOADS}/{old}")).status_code == 404
    assert (await api.get(f"{UPLOADS}/{new}")).status_code == 200
    assert [one.key async for one in gateway.storage.objects("uploads/")] == [f"uploads/{new}.mp4"]


# --- in requests


def scene(number: int, **more: Any) -> dict[str, Any]:
    return {
        "sceneNumber": number, "description": "d", "cameraAngle": ("wide", "medium", "close-up")[number - 1],
        "duration": 10, "action": "a", "transition": "cut", **more,
    }  # fmt: skip


def board(*scenes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "title": "t", "niche": "n", "overallPrompt": "p", "totalDuration": 10 * len(scenes), "scenes": list(scenes),
        **more,
    }  # fmt: skip


async def test_a_request_passes_its_media_on_as_references(api: httpx.AsyncClient, gateway: Gateway) -> None:
    face, frame, clip = await sent(api), await sent(api), await sent(api, CLIP, "video/mp4")
    cast = [{"name": "Ana", "kind": "character", "look": "a red scarf", "image": face}]
    scenes = (scene(1, cast=["Ana"], keyMoment=True), scene(2, image=frame), scene(3, clip=clip))
    answer = await api.post(
        VIDEOS,
        json={
            "storyboard": board(*scenes, cast=cast), "references": [{"name": "Ana", "image": face}],
            "quality": "premium", "clipSound": "lower",
        },
    )  # fmt: skip
    assert (answer.status_code, answer.json()["quality"]) == (202, "premium"), answer.text
    [event] = [one for one in await published(gateway.database) if isinstance(one, VideoRequested)]
    expected = {one: MediaReference.model_validate((await row_of(gateway, one)).media) for one in (face, frame, clip)}
    assert (event.quality, event.clip_sound, event.providers) == ("premium", "lower", ())
    assert [(one.name, one.image) for one in event.references] == [("Ana", expected[face])]
    first, second, third = event.storyboard.scenes
    assert (first.cast, first.key_moment, second.image, third.clip) == (("Ana",), True, expected[frame], expected[clip])
    assert event.storyboard.cast[0].image == expected[face]


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"references": [{"name": "Ana", "image": str(uuid4())}]}, "references.0.image"),
        ({"references": [{"name": "Ana", "image": {"key": "videos/x/film.mp4"}}]}, "references.0.image"),
        ({"references": [{"name": "", "image": str(uuid4())}]}, "references.0.name"),
        ({"references": [{"name": "a", "image": str(uuid4())}, {"name": "A", "image": str(uuid4())}]}, "references"),
        ({"references": [{"name": f"n{n}", "image": str(uuid4())} for n in range(7)]}, "references"),
        ({"storyboard": board(scene(1), scene(2, image=str(uuid4())))}, "storyboard.scenes.1.image"),
        ({"storyboard": board(scene(1), scene(2, clip=str(uuid4())))}, "storyboard.scenes.1.clip"),
        (
            {"storyboard": board(scene(1), scene(2), cast=[{"name": "Ana", "image": str(uuid4())}])},
            "storyboard.cast.0.image",
        ),
        (
            {"storyboard": board(scene(1), scene(2, image={"key": "videos/x/film.mp4", "size": 1}))},
            "storyboard.scenes.1.image",
        ),
        ({"quality": "best"}, "quality"),
        ({"clipSound": "loud"}, "clipSound"),
    ],
)
async def test_media_that_is_not_the_caller_s_upload_is_refused(
    api: httpx.AsyncClient, gateway: Gateway, wish: dict[str, Any], field: str
) -> None:
    for path in (VIDEOS, "/api/v1/estimates"):
        answer = await api.post(path, json={"prompt": "a fox", **wish})
        assert answer.status_code == 422, answer.text
        assert {error["field"] for error in answer.json()["errors"]} == {field}
    assert await published(gateway.database) == []


async def test_a_clip_is_no_picture(api: httpx.AsyncClient) -> None:
    clip, face = await sent(api, CLIP, "video/mp4"), await sent(api)
    storyboard = board(scene(1, image=clip), scene(2, clip=face), scene(3))
    answer = await api.post(VIDEOS, json={"storyboard": storyboard})
    fields = [(error["field"], error["detail"]) for error in answer.json()["errors"]]
    assert fields == [
        ("storyboard.scenes.0.image", f"upload {clip} is a clip"),
        ("storyboard.scenes.1.clip", f"upload {face} is a picture"),
    ]
