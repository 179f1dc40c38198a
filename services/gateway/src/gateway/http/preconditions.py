"""Reads conditional requests (RFC 9110) and the `Prefer` header (RFC 7240)."""

import re

TAG = re.compile(r'(?:W/)?("[^"]*")')
WAIT = re.compile(r'(?:^|[,;])\s*wait\s*=\s*"?(\d{1,9})"?\s*(?=$|[,;])', re.IGNORECASE)
LONGEST_WAIT_SECONDS = 30


def matches(if_none_match: str | None, tag: str) -> bool:
    """Return whether `If-None-Match` holds this entity tag, by weak comparison."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or tag.removeprefix("W/") in TAG.findall(if_none_match)


def wait_of(prefer: str | None) -> int | None:
    """Return the seconds that a caller wants to wait for the end, at most `LONGEST_WAIT_SECONDS`; None: not at all."""
    found = WAIT.search(prefer or "")
    return min(int(found[1]), LONGEST_WAIT_SECONDS) if found else None
