"""Folder and S3 storage behave the same."""

import hashlib
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

import pytest

from shared.contracts.media import MediaReference
from shared.storage.errors import LinkInvalid, ObjectDamaged, ObjectMissing
from shared.storage.folder import FolderStorage
from shared.storage.open import open_storage
from shared.storage.s3 import S3Storage
from shared.storage.signer import LinkSigner


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[FolderStorage]:
    async with FolderStorage(tmp_path / "media") as storage:
        yield storage


@pytest.fixture
async def s3_storage(s3, bucket: str) -> AsyncIterator[S3Storage]:
    async with S3Storage(bucket, s3.endpoint) as storage:
        yield storage


@pytest.fixture(params=["folder", pytest.param("s3_storage", marks=pytest.mark.connected)])
def storage(request: pytest.FixtureRequest) -> FolderStorage | S3Storage:
    return request.getfixturevalue(request.param)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(bytes(range(256)) * 40_000)  # 10 MB: more than one part
    return path


async def test_a_stored_object_can_be_downloaded(
    storage: FolderStorage | S3Storage, film: Path, tmp_path: Path
) -> None:
    reference = await storage.put("videos/1/film.mp4", film, "video/mp4")
    assert reference.size == film.stat().st_size
    assert reference.sha256 == hashlib.sha256(film.read_bytes()).hexdigest()
    await storage.get(reference, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == film.read_bytes()


async def test_a_rerun_overwrites_itself(storage: FolderStorage | S3Storage, film: Path, tmp_path: Path) -> None:
    await storage.put("videos/1/film.mp4", film, "video/mp4")
    film.write_bytes(b"newer")
    reference = await storage.put("videos/1/film.mp4", film, "video/mp4")
    await storage.get(reference, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"newer"


async def test_a_missing_object_is_named(storage: FolderStorage | S3Storage, tmp_path: Path) -> None:
    nothing = MediaReference(key="videos/none", content_type="video/mp4", size=1, sha256="0" * 64)
    with pytest.raises(ObjectMissing, match="videos/none"):
        await storage.get(nothing, tmp_path / "back")


async def test_a_changed_object_is_refused(storage: FolderStorage | S3Storage, film: Path, tmp_path: Path) -> None:
    old = await storage.put("videos/1/film.mp4", film, "video/mp4")
    film.write_bytes(b"another")
    await storage.put("videos/1/film.mp4", film, "video/mp4")
    with pytest.raises(ObjectDamaged):
        await storage.get(old, tmp_path / "back")
    assert not (tmp_path / "back").exists()


async def test_delete_removes_everything_below_a_prefix_and_nothing_else(
    storage: FolderStorage | S3Storage, film: Path, tmp_path: Path
) -> None:
    film.write_bytes(b"x")
    first = await storage.put("videos/1/a.mp4", film, "video/mp4")
    other = await storage.put("videos/2/a.mp4", film, "video/mp4")
    await storage.delete("videos/1/")
    with pytest.raises(ObjectMissing):
        await storage.get(first, tmp_path / "back")
    await storage.get(other, tmp_path / "back")


@pytest.mark.parametrize("key", ["../etc/passwd", "/etc/passwd", "a/../b", "a//b", "", ".hidden", "a\x00b"])
async def test_keys_outside_the_folder_are_refused(folder: FolderStorage, film: Path, key: str) -> None:
    with pytest.raises(ValueError, match="not a valid storage key"):
        await folder.put(key, film, "video/mp4")


@pytest.mark.connected
@pytest.mark.parametrize(
    ("filename", "header"),
    [
        ("Kopi pagi-1.mp4", 'attachment; filename="Kopi pagi-1.mp4"'),
        ("Öl-1.mp4", "attachment; filename=\"Ol-1.mp4\"; filename*=UTF-8''%C3%96l-1.mp4"),
        ("夜-1.mp4", "attachment; filename=\"-1.mp4\"; filename*=UTF-8''%E5%A4%9C-1.mp4"),
        ('a"b\\-1.mp4', "attachment; filename=\"ab-1.mp4\"; filename*=UTF-8''a%22b%5C-1.mp4"),
    ],
)
async def test_an_s3_link_saves_an_object_under_its_name(
    s3_storage: S3Storage, film: Path, filename: str, header: str
) -> None:
    reference = await s3_storage.put("videos/1/film.mp4", film, "video/mp4")
    for method in ("GET", "HEAD"):
        link = await s3_storage.link(reference, 60, method, filename)
        with urlopen(Request(link, method=method)) as answer:
            assert answer.headers["content-disposition"] == header


@pytest.mark.connected
async def test_an_s3_link_serves_the_object_and_expires(s3_storage: S3Storage, film: Path) -> None:
    reference = await s3_storage.put("videos/1/film.mp4", film, "video/mp4")
    with urlopen(await s3_storage.link(reference, 60)) as answer:
        assert answer.read() == film.read_bytes()
        assert answer.headers["content-type"] == "video/mp4"
    with urlopen(Request(await s3_storage.link(reference, 60, "HEAD"), method="HEAD")) as answer:
        assert int(answer.headers["content-length"]) == film.stat().st_size
    link = await s3_storage.link(reference, 1)
    time.sleep(2.2)  # noqa: ASYNC251 - the link must end
    with pytest.raises(HTTPError, match="403"):
        urlopen(link)


def test_a_folder_link_is_good_for_its_own_key_and_time_only() -> None:
    signer = LinkSigner(b"secret", "http://localhost/media")
    parts = urlsplit(signer.link("videos/1/film.mp4", 60))
    query = {key: values[0] for key, values in parse_qs(parts.query).items()}
    end, signature = int(query["end"]), query["signature"]
    signer.check("videos/1/film.mp4", end, signature)
    for key, when, mark in [
        ("videos/2/film.mp4", end, signature),
        ("videos/1/film.mp4", end + 60, signature),
        ("videos/1/film.mp4", end, signature[:-1] + ("0" if signature[-1] != "0" else "1")),
    ]:
        with pytest.raises(LinkInvalid):
            signer.check(key, when, mark)
    past = int(time.time()) - 1
    with pytest.raises(LinkInvalid):
        signer.check("videos/1/film.mp4", past, signer._signature("videos/1/film.mp4", past))


def test_a_storage_url_names_its_storage(tmp_path: Path) -> None:
    assert isinstance(open_storage(f"file://{tmp_path}"), FolderStorage)
    s3 = open_storage("s3://films?endpoint=http://127.0.0.1:8333&region=eu-west-1")
    assert isinstance(s3, S3Storage)
    assert (s3.bucket, s3.endpoint, s3.region) == ("films", "http://127.0.0.1:8333", "eu-west-1")
    with pytest.raises(ValueError, match="ftp"):
        open_storage("ftp://films")


async def test_objects_below_a_prefix_are_listed(storage: FolderStorage | S3Storage, film: Path) -> None:
    assert [one async for one in storage.objects("videos/")] == []
    for key in ("videos/1/film.mp4", "videos/2/film.mp4", "animatics/1.mp4"):
        await storage.put(key, film, "video/mp4")
    listed = [one async for one in storage.objects("videos/")]
    assert [(one.key, one.size) for one in listed] == [
        ("videos/1/film.mp4", film.stat().st_size),
        ("videos/2/film.mp4", film.stat().st_size),
    ]
    assert all(abs((datetime.now(UTC) - one.stored_at).total_seconds()) < 3600 for one in listed)
