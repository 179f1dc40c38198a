"""Limits the depth and the size of JSON, checked on its bytes before it is parsed or validated."""

import re

MOST_LEVELS = 20
"""MariaDB accepts at most 32 levels of JSON; a request is stored a few levels down."""
MOST_VALUES = 5_000
"""Array elements and object members. A storyboard has about 60; validation costs time and memory for each."""

# An unterminated string is also one token and there is no backtracking, so that the time is linear in the length.
TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]|,', re.DOTALL)


class JsonTooDeep(ValueError):
    """JSON is nested deeper than any request may be."""

    def __init__(self, most_levels: int) -> None:
        super().__init__(f"JSON has at most {most_levels} levels.")


class JsonTooLong(ValueError):
    """JSON has more values than any request may have."""

    def __init__(self) -> None:
        super().__init__(f"JSON has at most {MOST_VALUES:,} values.")


def check_json(body: bytes, most_levels: int = MOST_LEVELS) -> None:
    """Check the depth and the number of values of JSON, valid or not.

    Raises:
        JsonTooDeep: it has more than `most_levels`.
        JsonTooLong: it has more than `MOST_VALUES`.
    """
    opened = body.count(b"[") + body.count(b"{")
    if opened <= most_levels and opened + body.count(b",") <= MOST_VALUES:
        return
    level = values = 0
    for number, token in enumerate(TOKENS.finditer(body)):
        first = token[0][:1]
        values += first in b"[{,"
        level += (first in b"[{") - (first in b"]}")
        if level > most_levels:
            raise JsonTooDeep(most_levels)
        # A value has at most four tokens; text that is not JSON may have more.
        if values > MOST_VALUES or number > 5 * MOST_VALUES:
            raise JsonTooLong
