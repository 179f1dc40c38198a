"""What callers say in headers about the answer they want: RFC 9110's conditions, and RFC 7240's preferences."""

import re

TAG = re.compile(r'(?:W/)?("[^"]*")')
WAIT = re.compile(r'(?:^|[,;])\s*wait\s*=\s*"?(\d{1,9})"?\s*(?=$|[,;])', re.IGNORECASE)
LONGEST_WAIT_SECONDS = 30


def matches(if_none_match: str | None, tag: str) -> bool:
    """Whether a caller already has what this entity tag names; compared weakly."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or tag.removeprefix("W/") in TAG.findall(if_none_match)


def wait_of(prefer: str | None) -> int | None:
    """How many seconds a caller wants to wait for the end, as far as we let them; None: not at all."""
    found = WAIT.search(prefer or "")
    return min(int(found[1]), LONGEST_WAIT_SECONDS) if found else None
