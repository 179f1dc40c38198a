"""Runs the checks of a service, fixes what is safe to fix, and reports."""

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiormq.exceptions import AMQPError

from shared.consistency import Check, Examined, Finding
from shared.doctor.common import OF_EVERY_SERVICE
from shared.doctor.queues import connected
from shared.messaging.message_processor import Service
from shared.messaging.topology import queues_of
from shared.persistence.migration_files import is_behind


@dataclass
class Report:
    """A line for each finding. `differs`: an inconsistency remains."""

    service: str
    lines: list[str] = field(default_factory=list)
    differs: bool = False

    def add(self, text: str, *, differs: bool = True) -> None:
        """Add a line."""
        self.lines.append(f"{self.service}: {text}")
        self.differs |= differs

    def __str__(self) -> str:
        """Return all lines."""
        return "\n".join(self.lines or [f"{self.service}: nothing differs."])


async def examine(
    service: Service[Any], migrations: Path, *, fix: bool, broker_url: str | None = None, is_running: bool = True
) -> Report:
    """Check the consistency of a service: its rows, objects, messages and queues.

    `broker_url`: RabbitMQ; None: the embedded mode, which has none. `is_running`: see `Examined`.
    """
    report = Report(service.router.service)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(service.database.close)
        try:
            if await is_behind(service.database, migrations):
                report.add(f"migrations are missing; run `{report.service} migrate`.")
                return report
            if service.storage is not None:
                await stack.enter_async_context(service.storage)
        except Exception as error:  # noqa: BLE001 - any error is a finding
            report.add(f"Could not be examined: {error}")
            return report
        checks: Sequence[Check] = (*OF_EVERY_SERVICE, *service.checks)
        queues = None
        if broker_url is not None:
            consumed = [one.consumer for one in service.router.subscriptions if not one.broadcast]
            bound = queues_of(report.service, service.router.subscriptions)
            try:
                looked = await stack.enter_async_context(connected(broker_url, report.service, bound, consumed))
                queues = await looked.look()
            except (AMQPError, OSError) as error:
                report.add(f"Could not check the queues: RabbitMQ cannot be used ({type(error).__name__}).")
                queues = {}
            else:
                checks = (Check("the queues", looked.find), *checks)
        examined = Examined(service.database, service.storage, queues, is_running)
        for check in checks:
            await carry_out(check, examined, report, fix=fix)
    return report


async def carry_out(check: Check, examined: Examined, report: Report, *, fix: bool) -> None:
    """Report the findings of a check and, with `fix`, the result of their repair."""
    try:
        async for finding in check.find(examined):
            if fix and finding.fix is not None:
                await _fix(finding, finding.fix, report)
            else:
                report.add(str(finding))
    except Exception as error:  # noqa: BLE001 - the other checks continue
        report.add(f"Could not check {check.what}: {str(error) or type(error).__name__}")


async def _fix(finding: Finding, fix: Callable[[], Awaitable[int]], report: Report) -> None:
    what = f"{finding.what}: {finding.count}"
    try:
        fixed = await fix()
    except Exception as error:  # noqa: BLE001 - the other findings are still fixed
        report.add(f"{what}; --fix failed to {finding.todo}: {str(error) or type(error).__name__}")
        return
    report.add(f"{what}; fixed {fixed} of {finding.count} ({finding.todo}).", differs=fixed < finding.count)
