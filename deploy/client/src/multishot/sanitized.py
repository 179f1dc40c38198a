"""What a server sends, without the characters that steer a terminal."""

import re
from typing import Any

STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters but tabs and line breaks, and halves of surrogate pairs, which cannot be printed."""


def sanitized(value: Any) -> Any:  # noqa: ANN401 - JSON
    """JSON whose texts and keys hold U+FFFD for each control character."""
    if isinstance(value, str):
        return STEERING.sub("\ufffd", value.replace("\r\n", "\n"))
    if isinstance(value, dict):
        return {sanitized(key): sanitized(part) for key, part in value.items()}
    return [sanitized(part) for part in value] if isinstance(value, list) else value
