"""What the command line reads from the environment; a program names both itself."""

import os

DEFAULT_URL = "http://localhost:8000"


def url() -> str:
    """Where the gateway is: `MULTISHOT_URL`."""
    told = os.environ.get("MULTISHOT_URL") or DEFAULT_URL
    return told if "://" in told else f"http://{told}"


def key() -> str | None:
    """The API key: `MULTISHOT_KEY`. None: the gateway asks for none."""
    return os.environ.get("MULTISHOT_KEY") or None
