"""The lifecycle rules of the bucket remove leftovers, and other rules are kept."""

import os
import subprocess
import sys
from typing import Any

import pytest

from shared.storage.bucket_lifecycle import rules
from shared_testing.s3_server import S3Server

pytestmark = pytest.mark.connected

FOREIGN: Any = {"ID": "backups", "Status": "Enabled", "Filter": {"Prefix": "backups/"}, "Expiration": {"Days": 9}}


def run(s3: S3Server, bucket: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    url = f"s3://{bucket}?endpoint={s3.endpoint}"
    return subprocess.run(
        [sys.executable, "-m", "shared.storage.bucket_lifecycle", *arguments],
        env={**os.environ, "STORAGE_URL": url}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def ids(s3: S3Server, bucket: str) -> set[str]:
    return {rule["ID"] for rule in s3.client().get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]}


def test_the_command_replaces_our_rules_and_keeps_others(s3: S3Server, bucket: str) -> None:
    first = run(s3, bucket, "--films-days", "90")
    assert first.returncode == 0, first.stderr
    ours = {"multishot-uploads", "multishot-animatics"}
    assert ids(s3, bucket) == {*ours, "multishot-films"}
    s3.client().put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": [*rules(90), FOREIGN]}
    )
    for _ in range(2):
        assert run(s3, bucket).returncode == 0
        assert ids(s3, bucket) == {*ours, "backups"}
    assert run(s3, bucket, "--films-days", "0").returncode == 2


def test_unfinished_uploads_expire_and_films_only_on_request(s3: S3Server, bucket: str) -> None:
    assert run(s3, bucket).returncode == 0
    found = s3.client().get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert [rule["AbortIncompleteMultipartUpload"] for rule in found if rule["ID"] == "multishot-uploads"] == [
        {"DaysAfterInitiation": 1}
    ]
    assert [rule["Filter"]["Prefix"] for rule in found if "Expiration" in rule] == ["animatics/"]
