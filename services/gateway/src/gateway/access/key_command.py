"""The command that makes a key: the first one, which nobody could be asked for."""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from pydantic import ValidationError

from gateway.access.keys import Keys, KeyWish
from gateway.models import Base
from shared.persistence.database import Database
from shared.settings import ServiceSettings, read


def main(arguments: Sequence[str]) -> None:
    """`gateway key`: make a key in the database of the settings."""
    parser = argparse.ArgumentParser(prog="gateway key", description=__doc__)
    add_arguments(parser)
    wish = wish_of(parser.parse_args(arguments))
    settings = read(ServiceSettings)
    asyncio.run(make(Database(settings.database_url.get_secret_value(), Base.metadata), wish))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said of a key on a command line."""
    parser.add_argument("--owner", required=True, help="whose videos it asks for and sees")
    parser.add_argument("--scopes", default="read,write", help="read, write, admin; several with commas between them")
    parser.add_argument("--name", default="made by hand", help="what it is for")
    parser.add_argument("--calls-per-minute", help="the limit for this key, instead of the one for its owner")
    parser.add_argument("--budget-day-usd", help="the most its owner may spend in a day")
    parser.add_argument("--days", help="how long it holds; else until it is revoked")


def wish_of(given: argparse.Namespace) -> KeyWish:
    """The key that these arguments ask for, or the end of the process with what is wrong with them."""
    said = {name: value for name, value in vars(given).items() if name in KeyWish.model_fields and value is not None}
    said["scopes"] = [scope.strip() for scope in given.scopes.split(",")]
    try:
        return KeyWish.model_validate(said)
    except ValidationError as error:
        sys.exit("\n".join(f"--{str(e['loc'][0]).replace('_', '-')}: {e['msg']}" for e in error.errors()))


async def make(database: Database, wish: KeyWish) -> None:
    """Make the key and write it to stdout, and beside it, to stderr, what it is."""
    try:
        key, row = await Keys(database).make(wish)
    finally:
        await database.close()
    about = f"Key {row.key_id} ({row.name}) of {row.owner}, for {', '.join(row.scopes)}. It is shown this once:\n"
    sys.stderr.write(about)
    sys.stderr.flush()
    sys.stdout.write(f"{key}\n")
    sys.stdout.flush()
