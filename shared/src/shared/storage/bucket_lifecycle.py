"""Sets the lifecycle rules of a bucket: `python -m shared.storage.bucket_lifecycle`.

They are a safety net below the services' own retention. Other rules of the bucket stay. A bucket does not know which
films are kept, so it removes films only with `--films-days`.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from pydantic import Field

from shared.settings import BrokerSettings, read
from shared.storage.open import open_storage
from shared.storage.s3 import S3Storage

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import LifecycleRuleTypeDef

OURS = "multishot-"
UPLOAD_DAYS = 1
"""An upload takes minutes; one that is older belongs to a process that was killed."""
ORIGINAL_DAYS = 14
"""Drawn originals of animatics are not needed once their clip is stored."""


class Settings(BrokerSettings):
    """The storage that the rules are for."""

    storage_url: str = Field(description="`s3://bucket?endpoint=...`")


def rules(films_days: int | None = None) -> "list[LifecycleRuleTypeDef]":
    """Return our rules. `films_days`: the greatest age of films and clips, kept ones included."""
    found: list[LifecycleRuleTypeDef] = [
        {
            "ID": f"{OURS}uploads",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": UPLOAD_DAYS},
        },
        _expiring("animatics", "animatics/", ORIGINAL_DAYS),
    ]
    return found if films_days is None else [*found, _expiring("films", "videos/", films_days)]


def _expiring(name: str, prefix: str, days: int) -> "LifecycleRuleTypeDef":
    return {
        "ID": f"{OURS}{name}",
        "Status": "Enabled",
        "Filter": {"Prefix": prefix},
        "Expiration": {"Days": days},
    }


async def set_rules(storage: S3Storage, wanted: "Sequence[LifecycleRuleTypeDef]") -> None:
    """Replace our rules of a bucket with these."""
    others = [rule for rule in await _present(storage) if not rule.get("ID", "").startswith(OURS)]
    await _put(storage, [*others, *wanted])


async def missing_rules(storage: S3Storage) -> "list[LifecycleRuleTypeDef]":
    """Return our rules that a bucket lacks, apart from the optional one about films."""
    present = {rule.get("ID") for rule in await _present(storage)}
    return [rule for rule in rules() if rule["ID"] not in present]


async def add_rules(storage: S3Storage, missing: "Sequence[LifecycleRuleTypeDef]") -> int:
    """Add rules to those of a bucket. Return how many were added."""
    await _put(storage, [*await _present(storage), *missing])
    return len(missing)


async def _present(storage: S3Storage) -> list[Any]:
    try:
        return list((await storage.client.get_bucket_lifecycle_configuration(Bucket=storage.bucket))["Rules"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchLifecycleConfiguration":
            raise
        return []


async def _put(storage: S3Storage, all_rules: "Sequence[LifecycleRuleTypeDef]") -> None:
    await storage.client.put_bucket_lifecycle_configuration(
        Bucket=storage.bucket, LifecycleConfiguration={"Rules": all_rules}
    )


async def _set(url: str, films_days: int | None) -> str:
    storage = open_storage(url)
    if not isinstance(storage, S3Storage):
        return "STORAGE_URL is a folder; it needs no rules."
    async with storage:
        wanted = rules(films_days)
        await set_rules(storage, wanted)
        return f"The bucket {storage.bucket} now has these rules: {', '.join(rule['ID'] for rule in wanted)}."


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="bucket_lifecycle", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--films-days", type=int, metavar="N", help="remove films and clips older than this, kept ones included"
    )
    arguments = parser.parse_args()
    if arguments.films_days is not None and arguments.films_days < 1:
        parser.error(f"--films-days must be 1 or more, not {arguments.films_days}")
    result = asyncio.run(_set(read(Settings).storage_url, arguments.films_days))
    sys.stdout.write(f"{result}\n")


if __name__ == "__main__":
    main()
