"""The environment variables of the command line."""

import os

DEFAULT_URL = "http://localhost:8000"


def url() -> str:
    """Return the address of the gateway: `MULTISHOT_URL`."""
    address = os.environ.get("MULTISHOT_URL") or DEFAULT_URL
    return address if "://" in address else f"http://{address}"


def key() -> str | None:
    """Return the API key: `MULTISHOT_KEY`; None: no key."""
    return os.environ.get("MULTISHOT_KEY") or None
