"""Removes terminal control characters from what a server sends."""

import re
from typing import Any

CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters except tabs and line breaks, and lone surrogates, which cannot be printed."""


def sanitized(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return JSON with U+FFFD in place of each control character, in texts and keys."""
    if isinstance(value, str):
        return CONTROL_CHARACTERS.sub("\ufffd", value.replace("\r\n", "\n"))
    if isinstance(value, dict):
        return {sanitized(key): sanitized(part) for key, part in value.items()}
    return [sanitized(part) for part in value] if isinstance(value, list) else value
