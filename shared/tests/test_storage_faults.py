"""A wrongly configured storage is distinguished from an unreachable one: it is reported at once, without retries."""

import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from starlette.applications import Starlette

from shared.http.serving import NotStarted
from shared.messaging.message_processor import Service, fails_video
from shared.persistence.database import Database, is_outage
from shared.settings import ServiceSettings
from shared.storage.errors import StorageMisconfigured, StorageUnavailable
from shared.storage.folder import FolderStorage
from shared.storage.s3 import S3Storage
from shared.worker import Worker
from shared_testing.ports import free_port
from shared_testing.s3_server import S3Server

pytestmark = pytest.mark.slow


class Fake:
    """A server that gives all requests the same response, and records their headers."""

    def __init__(self, status: int = 200, code: str = "") -> None:
        self.status, self.code = status, code
        self.headers: list[dict[str, str]] = []

    @property
    def body(self) -> bytes:
        return f"<Error><Code>{self.code}</Code></Error>".encode() if self.code else b"<ListBucketResult/>"


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    servers = []

    def start(fake: Fake, certificate: Path | None = None) -> str:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # so that it answers `Expect: 100-continue`

            def answer(self) -> None:
                fake.headers.append({name.lower(): value for name, value in self.headers.items()})
                self.rfile.read(int(self.headers.get("content-length", 0)))
                self.send_response(fake.status)
                self.send_header("content-length", str(len(fake.body)))
                self.end_headers()
                self.wfile.write(b"" if self.command == "HEAD" else fake.body)

            do_GET = do_PUT = do_DELETE = do_HEAD = do_POST = answer  # noqa: N815 - the library's names

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def film(tmp_path: Path) -> Path:
    (tmp_path / "film.mp4").write_bytes(b"film")
    return tmp_path / "film.mp4"


async def what_is_wrong(bucket: str, endpoint: str, film: Path) -> tuple[str | None, BaseException | None]:
    """Return the fault that the probe reports, and the error of storing an object."""
    async with S3Storage(bucket, endpoint) as storage:
        fault = await storage.fault()
        try:
            await storage.put("videos/1/film.mp4", film, "video/mp4")
        except (StorageMisconfigured, StorageUnavailable) as error:
            return fault, error
    return fault, None


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (403, "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", "secret key"),
        (403, "AccessDenied", "permission"),
        (403, "SomethingElse", "permission"),
        (404, "NoSuchBucket", "bucket does not exist"),
        (501, "NotImplemented", "lacks something"),
    ],
)
async def test_a_refusal_is_reported_and_not_retried(
    serve: Any, film: Path, status: int, code: str, reason: str
) -> None:
    fault, error = await what_is_wrong("bucket", serve(Fake(status, code)), film)
    assert fault is not None
    assert reason in fault
    assert isinstance(error, StorageMisconfigured)
    assert str(error) == fault
    assert not is_outage(error)


@pytest.mark.parametrize(("status", "code"), [(500, "InternalError"), (503, "SlowDown")])
async def test_an_unreachable_or_busy_server_is_retried(
    serve: Any, film: Path, monkeypatch: pytest.MonkeyPatch, status: int, code: str
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    for endpoint in (serve(Fake(status, code)), f"http://127.0.0.1:{free_port()}"):
        fault, error = await what_is_wrong("bucket", endpoint, film)
        assert fault is None
        assert isinstance(error, StorageUnavailable)
        assert is_outage(error)


async def test_an_unknown_certificate_authority_is_reported_and_not_retried(
    serve: Any, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    names = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    pem = tmp_path / "own.pem"
    keys = ("-newkey", "rsa:2048", "-nodes", "-keyout", pem, "-out", tmp_path / "certificate.pem", "-days", "2")
    subprocess.run(["openssl", "req", "-x509", *keys, *names], check=True, capture_output=True)
    pem.write_text(pem.read_text() + (tmp_path / "certificate.pem").read_text())
    endpoint = serve(Fake(), pem)
    fault, error = await what_is_wrong("bucket", endpoint, film)
    assert fault is not None
    assert "AWS_CA_BUNDLE" in fault
    assert isinstance(error, StorageMisconfigured)

    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "certificate.pem"))
    assert await what_is_wrong("bucket", endpoint, film) == (None, None)


async def test_missing_credentials_are_reported(
    serve: Any, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = serve(Fake())
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    fault, error = await what_is_wrong("bucket", endpoint, film)
    assert fault is not None
    assert "no credentials" in fault
    assert isinstance(error, StorageMisconfigured)


async def test_an_object_is_sent_without_checksums_that_a_server_may_not_know(serve: Any, film: Path) -> None:
    fake = Fake()
    assert await what_is_wrong("bucket", serve(fake), film) == (None, None)
    sent = {name for headers in fake.headers for name in headers}
    assert {name for name in sent if "checksum" in name or "trailer" in name} == set()
    assert not any("aws-chunked" in headers.get("content-encoding", "") for headers in fake.headers)


@pytest.mark.connected
async def test_a_real_server_tells_a_wrong_key_a_wrong_bucket_and_a_right_one_apart(
    s3: S3Server, bucket: str, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await what_is_wrong(bucket, s3.endpoint, film) == (None, None)
    reasons = [(await what_is_wrong("missing", s3.endpoint, film))[0]]
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    reasons.append((await what_is_wrong(bucket, s3.endpoint, film))[0])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    reasons.append((await what_is_wrong(bucket, s3.endpoint, film))[0])
    for reason, what in zip(reasons, ("bucket does not exist", "secret key", "access key"), strict=True):
        assert reason is not None
        assert what in reason


async def test_a_read_only_folder_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with FolderStorage(tmp_path / "media") as storage:
        assert await storage.fault() is None
        monkeypatch.setattr("os.access", lambda *_: False)
        assert "cannot be written" in str(await storage.fault())


@pytest.fixture
async def worker(broker_url: str, mariadb: Database, hearing: Any, tmp_path: Path) -> Callable[..., Worker]:
    (tmp_path / "migrations" / "versions").mkdir(parents=True)
    (tmp_path / "migrations" / "versions" / "0001_x.py").write_text('revision = "0001"\n')
    async with mariadb.engine.begin() as connection:
        await connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        await connection.execute(text("INSERT INTO alembic_version VALUES ('0001')"))

    def make(storage: S3Storage) -> Worker:
        hearer = hearing(mariadb)
        service = Service(hearer.router(), hearer, mariadb, fails_video("composer"), (storage,), storage=storage)
        settings = ServiceSettings(database_url=mariadb.url, broker_url=broker_url)
        return Worker(lambda _hints: service, settings, tmp_path / "migrations")

    return make


@pytest.mark.connected
async def test_a_worker_does_not_start_with_a_storage_that_refuses_it(serve: Any, worker: Any) -> None:
    with pytest.raises(NotStarted, match=r"STORAGE_URL: .*secret key"):
        async with worker(S3Storage("bucket", serve(Fake(403, "SignatureDoesNotMatch")))).running():
            pass


@pytest.mark.connected
async def test_a_worker_is_not_ready_and_says_why_when_its_storage_refuses_it_later(
    serve: Any, worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.storage.s3.FAULT_KNOWN_SECONDS", 0.0)
    fake = Fake()
    storage = S3Storage("bucket", serve(fake))
    one = worker(storage)
    app = Starlette(routes=one.routes())
    async with one.running(), httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://worker") as client:
        assert (await client.get("/readyz")).json()["storage"] is True
        fake.status, fake.code = 403, "AccessDenied"
        refused = await client.get("/readyz")
        fake.status, fake.code = 503, "SlowDown"
        away = await client.get("/readyz")
    assert refused.status_code == 503
    assert "permission" in refused.json()["storage"]
    assert away.json()["storage"] is True
