"""The console script `embedded`: all services in one process.

`demo` makes one film and ends, `run` serves until Ctrl-C, `key` creates an API key, `doctor` reports inconsistencies,
`redrive` requeues dead letters.
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
from embedded.data_dir import DataDir, DataDirInUse
from embedded.dispatcher import redrive
from embedded.simulated import simulating
from embedded.system import ServerNotStarted, System
from gateway import app as gateway_app
from gateway.access import key_command
from gateway.models import Base
from multishot import NotReachable
from multishot import settings as client_settings
from shared import telemetry
from shared.doctor import command as examining
from shared.messaging.requeued import report
from shared.persistence.database import Database
from shared.persistence.migration_files import folder_of
from shared.persistence.migrations import migrate
from simulator.ledger import PROVIDERS

DEFAULT_PROMPT = "A young street musician in Yogyakarta finds a lost kite and returns it across the rooftops"
LARGEST_PORT = 65_535


def main() -> None:
    """Run the command the arguments name."""
    arguments = _parser().parse_args()
    data_dir = DataDir(arguments.data_dir)
    try:
        code = asyncio.run(arguments.command(data_dir, arguments))
    except DataDirInUse as error:
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
        print("\nStopped. The same command resumes unfinished films.", file=sys.stderr)
        code = 0
    # Do not wait for threads that a library still blocks.
    sys.stdout.flush()
    os._exit(code)


def _port(text: str) -> int:
    """Read a port number."""
    if not text.isdecimal() or int(text) > LARGEST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port number from 0 to {LARGEST_PORT}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="embedded", description=__doc__)
    parser.add_argument(
        "--data-dir",
        "--home",
        type=Path,
        default=Path(".multishot"),
        help="the folder of databases, media and dead letters",
    )
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

    key = commands.add_parser("key", help="create an API key, for AUTH=keys")
    key.set_defaults(command=_key)
    key_command.add_arguments(key)

    doctor = commands.add_parser("doctor", help=examining.SUMMARY)
    doctor.set_defaults(command=_doctor)
    doctor.add_argument("--fix", action="store_true", help="also repair what is safe to repair")

    again = commands.add_parser("redrive", help="requeue all dead letters")
    again.set_defaults(command=_redrive)
    return parser


async def _demo(data_dir: DataDir, arguments: argparse.Namespace) -> int:
    request = demo.FilmRequest(
        arguments.prompt, arguments.scenes, arguments.duration, arguments.aspect, arguments.niche
    )
    try:
        lock = data_dir.lock()
    except DataDirInUse as error:
        if error.url is None:
            raise
        if arguments.provider:
            print(f"{error}, which has its own providers. Stop it, or run this without a provider.", file=sys.stderr)
            return 2
        # Let the server that is already running make the film.
        return await demo.make(error.url, request, data_dir, key=client_settings.key())
    with lock:
        async with simulating(arguments.provider, data_dir.simulator):
            # Only the demo uses this server, which ends with it.
            system = _system(data_dir, port=0, quiet=True, auth="none")
            async with system.serving() as url:
                try:
                    return await demo.make(url, request, data_dir, simulated=arguments.provider)
                except NotReachable as error:
                    # Ctrl-C stopped the server first.
                    raise KeyboardInterrupt from error


async def _run(data_dir: DataDir, arguments: argparse.Namespace) -> int:
    with data_dir.lock():
        async with simulating(arguments.provider, data_dir.simulator):
            system = _system(data_dir, arguments.port, quiet=False)
            async with system.serving() as url:
                hint = "Ctrl-C stops it; unfinished films resume at the next start"
                print(f"Multishot is running on {url}  ({hint})", flush=True)
                await system.stopped
    return 0


async def _key(data_dir: DataDir, arguments: argparse.Namespace) -> int:
    request = key_command.request_of(arguments)
    database = Database(data_dir.database_url("gateway"), Base.metadata)
    # A process that holds the lock has already migrated the schema.
    with contextlib.suppress(DataDirInUse), data_dir.lock():
        await migrate(database, folder_of(gateway_app.__file__))
    await key_command.create(database, request)
    return 0


async def _doctor(data_dir: DataDir, arguments: argparse.Namespace) -> int:
    async with contextlib.AsyncExitStack() as stack:
        try:
            stack.enter_context(data_dir.lock())
            is_running = False
        except DataDirInUse:
            is_running = True
        system = _system(data_dir, port=0, quiet=True)
        if not is_running:
            await system.migrate()
        reports = await system.examine(fix=arguments.fix, is_running=is_running)
    print("\n".join(map(str, reports)))
    return int(any(report.differs for report in reports))


async def _redrive(data_dir: DataDir, _arguments: argparse.Namespace) -> int:
    with data_dir.lock():
        system = _system(data_dir, port=0, quiet=True)
        await system.migrate()
        requeued = await redrive(data_dir.dead_letters, system.all_services)
        for service in system.all_services:
            await service.database.close()
    print(report(requeued))
    if requeued:
        print("The next `make run` or `make demo` processes them.")
    return 0


def _system(data_dir: DataDir, port: int, *, quiet: bool, auth: Literal["none"] | None = None) -> System:
    system = System(data_dir, port, auth)
    level = {"log_level": "ERROR"} if quiet else {}
    telemetry.set_up("multishot", system.gateway.settings.model_copy(update={"log_format": "text", **level}))
    return system
