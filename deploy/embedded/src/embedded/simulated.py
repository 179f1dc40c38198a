"""Simulates a paid provider in this process: the same flow and prices, without a key and for free."""

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from simulator.app import KEYS, Settings, api_urls, serving
from simulator.ledger import PROVIDERS

SPEED = 10.0
"""How many times faster than the real provider."""


@contextlib.asynccontextmanager
async def simulating(provider: str | None, folder: Path) -> AsyncIterator[None]:
    """Let this simulated provider render scenes while the block runs; None: the configured ones."""
    name = next((one for one in PROVIDERS if one == provider), None)
    if name is None:
        yield
        return
    async with serving(Settings(port=0, speed=SPEED, clips=folder)) as url:
        # The services read their settings from the environment.
        os.environ |= {
            "VIDEO_API_PROVIDER": name,
            "VIDEO_PROVIDERS": "",
            "VIDEO_API_URL": api_urls(url)[name],
            "VIDEO_API_KEY": KEYS[name],
            "PROVIDERS_SIMULATED": "true",
            "SIMULATOR_SPEED": str(SPEED),
        }
        yield
