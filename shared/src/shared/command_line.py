"""The command line that the console scripts of all services have in common."""

import argparse

from shared.doctor import command as doctor


def command_of(service: str, arguments: list[str], **more: str) -> argparse.Namespace:
    """Return the `command` on a service's command line (None: run the service), and whether `doctor` may `fix`.

    An unknown command ends the process. `more`: further commands of this service, and what each does.
    """
    commands = {"migrate": "bring the database schema up to date, and end", "doctor": doctor.SUMMARY, **more}
    listing = "\n".join(f"  {name:<10}{text}" for name, text in commands.items())
    parser = argparse.ArgumentParser(
        prog=service,
        description="Without a command, run the service. shared/docs/configuration.md lists its settings.",
        epilog=f"commands:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", nargs="?", choices=commands, metavar="command", help="see below")
    parser.add_argument("--fix", action="store_true", help="with doctor: also repair what is safe to repair")
    given = parser.parse_args(arguments)
    if given.fix and given.command != "doctor":
        parser.error("--fix is an option of doctor")
    return given
