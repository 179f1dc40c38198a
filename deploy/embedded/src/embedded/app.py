"""The console script `embedded`.

`demo` makes one film and ends, `run` serves until Ctrl-C, `key` makes an API key, `doctor` says what does not fit
together, `redrive` tries again.
"""

import argparse
import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from embedded import demo
from embedded.data_dir import Home, HomeInUse
from embedded.dispatcher import redrive
from embedded.simulated import simulating
from embedded.system import ServerNotStarted, System
from gateway import app as gateway_app
from gateway.access import key_command
from gateway.models import Base
from multishot import NotReachable
from multishot import settings as client_settings
from shared.doctor import command as examining
from shared.messaging.requeued import report
from shared.persistence.database import Database
from shared.persistence.migration_files import folder_of
from shared.persistence.migrations import migrate
from shared.process import telemetry
from simulator.ledger import PROVIDERS

DEFAULT_PROMPT = "A young street musician in Yogyakarta finds a lost kite and returns it across the rooftops"


LARGEST_PORT = 65_535


def main() -> None:
    """Run the command the arguments name."""
    arguments = _parser().parse_args()
    home = Home(arguments.home)
    try:
        code = asyncio.run(arguments.command(home, arguments))
    except HomeInUse as error:
        print(f"{error}. Stop that one first (Ctrl-C), then run this again.", file=sys.stderr)
        code = 1
    except ValidationError as error:
        print("\n".join(str(e["msg"]) for e in error.errors()), file=sys.stderr)
        code = 1
    except ServerNotStarted as error:
        print(error, file=sys.stderr)
        code = 1
    except NotReachable as error:
        print(error, file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on with unfinished films.", file=sys.stderr)
        code = 0
    # Threads that still wait for a library must not hold the prompt up.
    sys.stdout.flush()
    os._exit(code)


def _port(text: str) -> int:
    """Read a port number."""
    if not text.isdecimal() or int(text) > LARGEST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a number from 0 to {LARGEST_PORT}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="embedded", description=__doc__)
    parser.add_argument("--home", type=Path, default=Path(".multishot"), help="where everything is kept")
    commands = parser.add_subparsers(required=True)

    make = commands.add_parser("demo", help="make one film and end")
    make.set_defaults(command=_demo)
    make.add_argument("--prompt", default=DEFAULT_PROMPT)
    make.add_argument("--niche")
    make.add_argument("--scenes", type=int, default=3)
    make.add_argument("--duration", type=int, default=30, help="seconds")
    make.add_argument("--aspect", default="16:9", help="16:9, 9:16 or 1:1")
    make.add_argument("--provider", choices=PROVIDERS, help="simulate this paid provider")

    run = commands.add_parser("run", help="serve until Ctrl-C")
    run.set_defaults(command=_run)
    run.add_argument("--port", type=_port, default=8000)
    run.add_argument("--provider", choices=PROVIDERS, help="simulate this paid provider")

    key = commands.add_parser("key", help="make an API key, for AUTH=keys")
    key.set_defaults(command=_key)
    key_command.add_arguments(key)

    doctor = commands.add_parser("doctor", help=examining.SUMMARY)
    doctor.set_defaults(command=_doctor)
    doctor.add_argument("--fix", action="store_true", help="also repair what is safe to repair")

    again = commands.add_parser("redrive", help="put all dead letters back")
    again.set_defaults(command=_redrive)
    return parser


async def _demo(home: Home, arguments: argparse.Namespace) -> int:
    wish = demo.Wish(arguments.prompt, arguments.scenes, arguments.duration, arguments.aspect, arguments.niche)
    try:
        lock = home.lock()
    except HomeInUse as error:
        if error.url is None:
            raise
        if arguments.provider:
            print(f"{error}, which has its own providers: stop it, or ask for no provider.", file=sys.stderr)
            return 2
        # A server is running here: let it make the film.
        return await demo.make(error.url, wish, home, key=client_settings.key())
    with lock:
        async with simulating(arguments.provider, home.simulator):
            # Nobody but the demo knows of this server, and it ends with it.
            system = _system(home, port=0, quiet=True, auth="none")
            async with system.serving() as url:
                try:
                    return await demo.make(url, wish, home, simulated=arguments.provider)
                except NotReachable as error:
                    # Ctrl-C stops the server first, and the demo finds nobody there.
                    raise KeyboardInterrupt from error


async def _run(home: Home, arguments: argparse.Namespace) -> int:
    with home.lock():
        async with simulating(arguments.provider, home.simulator):
            system = _system(home, arguments.port, quiet=False)
            async with system.serving() as url:
                hint = "Ctrl-C stops it; unfinished films go on at the next start"
                print(f"Multishot is running on {url}  ({hint})", flush=True)
                await system.stopped
    return 0


async def _key(home: Home, arguments: argparse.Namespace) -> int:
    wish = key_command.wish_of(arguments)
    database = Database(home.database_url("gateway"), Base.metadata)
    # Whoever holds the folder has brought the schema up to date.
    with contextlib.suppress(HomeInUse), home.lock():
        await migrate(database, folder_of(gateway_app.__file__))
    await key_command.make(database, wish)
    return 0


async def _doctor(home: Home, arguments: argparse.Namespace) -> int:
    async with contextlib.AsyncExitStack() as stack:
        try:
            stack.enter_context(home.lock())
            is_running = False
        except HomeInUse:
            is_running = True
        system = _system(home, port=0, quiet=True)
        if not is_running:
            await system.migrate()
        reports = await system.examine(fix=arguments.fix, is_running=is_running)
    print("\n".join(map(str, reports)))
    return int(any(report.differs for report in reports))


async def _redrive(home: Home, _arguments: argparse.Namespace) -> int:
    with home.lock():
        system = _system(home, port=0, quiet=True)
        await system.migrate()
        requeued = await redrive(home.dead_letters, system.all_services)
        for service in system.all_services:
            await service.database.close()
    print(report(requeued))
    if requeued:
        print("They are handled at the next `make run` or `make demo`.")
    return 0


def _system(home: Home, port: int, *, quiet: bool, auth: Literal["none"] | None = None) -> System:
    system = System(home, port, auth)
    level = {"log_level": "ERROR"} if quiet else {}
    telemetry.set_up("multishot", system.gateway.settings.model_copy(update={"log_format": "text", **level}))
    return system
