"""The command that creates an API key, such as the first one, before anybody can call the API."""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from pydantic import ValidationError

from gateway.access.keys import KeyRequest, Keys
from gateway.models import Base
from shared.persistence.database import Database
from shared.settings import ServiceSettings, read


def main(arguments: Sequence[str]) -> None:
    """Run `gateway key`: create a key in the configured database."""
    parser = argparse.ArgumentParser(prog="gateway key", description=__doc__)
    add_arguments(parser)
    request = request_of(parser.parse_args(arguments))
    settings = read(ServiceSettings)
    asyncio.run(create(Database(settings.database_url.get_secret_value(), Base.metadata), request))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command-line arguments that describe a key."""
    parser.add_argument("--owner", required=True, help="the owner of the videos that it requests and sees")
    parser.add_argument("--scopes", default="read,write", help="read, write, admin; separated by commas")
    parser.add_argument("--name", default="made by hand", help="what it is for")
    parser.add_argument("--calls-per-minute", help="the limit for this key, instead of the one for its owner")
    parser.add_argument("--budget-day-usd", help="the most its owner may spend in a day")
    parser.add_argument("--days", help="days until it expires; default: never")


def request_of(given: argparse.Namespace) -> KeyRequest:
    """Return the key that the arguments describe, or exit with an error message."""
    fields = {
        name: value for name, value in vars(given).items() if name in KeyRequest.model_fields and value is not None
    }
    fields["scopes"] = [scope.strip() for scope in given.scopes.split(",")]
    try:
        return KeyRequest.model_validate(fields)
    except ValidationError as error:
        sys.exit("\n".join(f"--{str(e['loc'][0]).replace('_', '-')}: {e['msg']}" for e in error.errors()))


async def create(database: Database, request: KeyRequest) -> None:
    """Create the key; write it to stdout, and its description to stderr."""
    try:
        key, row = await Keys(database).create(request)
    finally:
        await database.close()
    about = f"Key {row.key_id} ({row.name}) of {row.owner}, for {', '.join(row.scopes)}. It is shown only once:\n"
    sys.stderr.write(about)
    sys.stderr.flush()
    sys.stdout.write(f"{key}\n")
    sys.stdout.flush()
