"""A paid provider, simulated in this process: what films cost and how they come about, without a key and for free."""

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from simulator.app import KEYS, Settings, api_urls, serving
from simulator.ledger import PROVIDERS

SPEED = 10.0
"""How many times faster than life."""


@contextlib.asynccontextmanager
async def simulating(provider: str | None, folder: Path) -> AsyncIterator[None]:
    """Have scenes rendered by this simulated provider while the block runs; None: by whoever is configured."""
    name = next((one for one in PROVIDERS if one == provider), None)
    if name is None:
        yield
        return
    async with serving(Settings(port=0, speed=SPEED, clips=folder)) as url:
        # The services are built as ever, from the environment.
        os.environ |= {
            "VIDEO_API_PROVIDER": name,
            "VIDEO_PROVIDERS": "",
            "VIDEO_API_URL": api_urls(url)[name],
            "VIDEO_API_KEY": KEYS[name],
            "PROVIDERS_SIMULATED": "true",
            "SIMULATOR_SPEED": str(SPEED),
        }
        yield
