"""The command `doctor` of each service."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from shared.doctor.examination import examine
from shared.messaging.message_processor import Service
from shared.settings import ServiceSettings

SUMMARY = "say which rows, objects, messages and queues do not fit together; --fix repairs what is safe to repair"


def main(build: Callable[[], Service[Any]], settings: ServiceSettings, migrations: Path, *, fix: bool) -> NoReturn:
    """Examine a service of the distributed mode and end the process: with 1 if anything differs."""
    url = settings.broker_url.get_secret_value()

    async def run() -> bool:
        report = await examine(build(), migrations, fix=fix, broker_url=url)
        sys.stdout.write(f"{report}\n")
        return report.differs

    sys.exit(int(asyncio.run(run())))
