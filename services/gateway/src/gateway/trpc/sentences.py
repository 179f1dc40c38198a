"""Describes an invalid input in sentences, for the person who filled in a form."""

from collections.abc import Sequence

from pydantic_core import ErrorDetails

from gateway.trpc.errors import Issue

MAX_SENTENCES = 3
"""Further errors are only counted."""
LARGEST_SHOWN = 10**15
UNITS = {"string": "characters", "array": "items"}


def sentences(details: Sequence[ErrorDetails], issues: Sequence[Issue]) -> str:
    """Return one sentence per error. `issues` are the same errors as zod issues."""
    texts = [
        _sentence(detail, issue) for detail, issue in zip(details[:MAX_SENTENCES], issues[:MAX_SENTENCES], strict=True)
    ]
    more = len(issues) - MAX_SENTENCES
    if more > 0:
        texts.append("1 more field is wrong." if more == 1 else f"{more} more fields are wrong.")
    return " ".join(texts)


def _sentence(detail: ErrorDetails, issue: Issue) -> str:
    name = ".".join(map(str, issue["path"])) or "The input"
    match issue["code"]:
        case "too_big" | "too_small":
            return f"{name} {_size(detail['input'], issue)}."
        case "invalid_type" if detail["type"] == "missing":
            return f"{name} is missing."
        case "invalid_type":
            received = issue["message"].rpartition("received ")[2]
            return f"{name} must be of type {issue['expected']}, not {received}."
        case "unrecognized_keys":
            return f"{'.'.join(map(str, detail['loc']))} is not a known field."
        case _:
            text = detail["msg"].removeprefix("Value error, ").rstrip(".")
            return f"{name}: {text}."


def _size(given: object, issue: Issue) -> str:
    bound = issue["maximum"] if issue["code"] == "too_big" else issue["minimum"]
    at = "at most" if issue["code"] == "too_big" else "at least"
    unit = UNITS.get(issue["origin"])
    if unit is None:
        bound_text = (
            f"{at} {bound:,}" if issue["inclusive"] else f"{'less' if at == 'at most' else 'more'} than {bound:,}"
        )
        return f"is {_number(given)}; it must be {bound_text}"
    size = len(given) if isinstance(given, str | list | dict) else 0
    return f"has {size:,} {unit}; it must have {at} {bound:,}" if size else "is empty"


def _number(given: object) -> str:
    if isinstance(given, int | float) and abs(given) < LARGEST_SHOWN:
        return f"{given:,}"
    return "out of range"
