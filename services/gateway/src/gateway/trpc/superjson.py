"""superjson: JSON beside notes of what JSON cannot say. It is written `{json, meta: {values, v: 1}}`.

`values` is a tree: under the dotted place of each value that is more than its JSON stands what it is. Values that
Python has no like of are the classes below. References to one and the same object are neither written nor read.
Source: the package superjson 2.2, `src/plainer.ts`, `src/pathstringifier.ts` and `src/transformer.ts`.
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from pydantic_core import to_jsonable_python

MOST_NOTES = 10_000
BIGINT = re.compile(r"-?[0-9]{1,1000}")
TOKENS = re.compile(r"\\.|\.|[^\\.]+|\\", re.DOTALL)
OLD_TOKENS = re.compile(r"\\\.|\.|[^\\.]+|\\")
NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf, "-0": -0.0}


class Undefined(Enum):
    """JavaScript's `undefined`, which is not its `null`."""

    VALUE = None

    def __bool__(self) -> bool:
        return False


UNDEFINED = Undefined.VALUE


class BigInt(int):
    """A whole number that JavaScript keeps apart from its numbers."""


class Set(list[object]):
    """A set, in its order; in JavaScript anything can be in one."""


class Map(list[list[object]]):
    """Pairs of key and value, in their order; in JavaScript anything can be a key."""


class RegExp(str):
    """A regular expression as JavaScript writes it, `/a/i`. It is never run."""

    __slots__ = ()


class Url(str):
    """An address."""

    __slots__ = ()


class InvalidSuperjson(ValueError):
    """This is not superjson, or holds what a server takes from nobody."""


def is_payload(value: object) -> bool:
    """Whether a JSON value looks as superjson does."""
    return isinstance(value, dict) and "json" in value and value.keys() <= {"json", "meta"}


# --- reading ----------------------------------------------------------------------------


def load(payload: Any) -> object:  # noqa: ANN401 - whatever was sent
    """The value of a payload that was parsed as JSON; what is in it is changed. Raises `InvalidSuperjson`."""
    if not is_payload(payload):
        raise InvalidSuperjson("this is not superjson")
    meta = payload.get("meta")
    if meta is None:
        return payload["json"]
    values, version = (meta.get("values"), meta.get("v", 0)) if isinstance(meta, dict) else (None, None)
    if not isinstance(version, int) or not isinstance(values, dict | list | None):
        raise InvalidSuperjson("meta is not superjson's")
    if values is not None:
        _Reading(legacy=version < 1).apply(values, payload, "json")
    return payload["json"]


class _Reading:
    def __init__(self, *, legacy: bool) -> None:
        self.legacy = legacy
        self.left = MOST_NOTES

    def apply(self, notes: object, parent: Any, key: Any) -> None:  # noqa: ANN401 - any container of JSON
        """Apply the notes on what is at `parent[key]`, the inner ones first."""
        if isinstance(notes, list) and len(notes) in (1, 2):
            kind, inner = notes[0], notes[1] if len(notes) == 2 else {}
        else:
            kind, inner = None, notes
        if not isinstance(inner, dict):
            raise InvalidSuperjson("a note is neither a type nor a tree")
        for path, notes_there in inner.items():
            self.apply(notes_there, *self._find(parent[key], path))
        if kind is None:
            return
        self.left -= 1
        if self.left < 0:
            raise InvalidSuperjson(f"more than {MOST_NOTES} notes")
        restore = _RESTORE.get(kind) if isinstance(kind, str) else None
        if restore is None:
            raise InvalidSuperjson("a type that is not taken")
        parent[key] = restore(parent[key])

    def _find(self, container: Any, path: str) -> tuple[Any, Any]:  # noqa: ANN401 - any container of JSON
        *way, last = (segment for segment in _split(path, legacy=self.legacy))
        for segment in way:
            container = container[_key(container, segment)]
        return container, _key(container, last)


def _key(container: object, segment: str) -> str | int:
    if isinstance(container, dict) and segment in container:
        return segment
    # Sets and maps are still the lists that they are in JSON.
    if isinstance(container, list) and segment.isdecimal() and len(segment) < 10 and int(segment) < len(container):
        return int(segment)
    raise InvalidSuperjson("a note about nothing")


def _split(path: str, *, legacy: bool) -> list[str]:
    """The segments of a dotted path. Clients of old, who name no version, escape dots alone."""
    segments, parts = [], list[str]()
    for piece in (OLD_TOKENS if legacy else TOKENS).findall(path):
        if piece == ".":
            segments.append("".join(parts))
            parts = []
        elif piece == r"\." or (piece == r"\\" and not legacy):
            parts.append(piece[1])
        elif piece[0] == "\\" and not legacy:
            raise InvalidSuperjson("a backslash before nothing")
        else:
            parts.append(piece)
    return [*segments, "".join(parts)]


def _date(text: object) -> datetime:
    try:
        moment = datetime.fromisoformat(str(text))
        if moment.tzinfo is None:
            raise InvalidSuperjson("a date without its zone")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidSuperjson("not a date") from error


def _bigint(text: object) -> BigInt:
    if not isinstance(text, str) or not BIGINT.fullmatch(text):
        raise InvalidSuperjson("not a bigint")
    return BigInt(text)


def _number(text: object) -> float:
    if not isinstance(text, str) or text not in NUMBERS:
        raise InvalidSuperjson("not a number")
    return NUMBERS[text]


def _set(items: object) -> Set:
    if not isinstance(items, list):
        raise InvalidSuperjson("not a set")
    return Set(items)


def _map(pairs: object) -> Map:
    if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise InvalidSuperjson("not a map")
    return Map(pairs)


def _text(kind: type[RegExp | Url]) -> Callable[[object], str]:
    def restore(text: object) -> str:
        if not isinstance(text, str):
            raise InvalidSuperjson("not text")
        return kind(text)

    return restore


# Not `Error`, `class`, `custom`, `symbol` and typed arrays: no call needs them.
_RESTORE: dict[str, Callable[[object], object]] = {
    "undefined": lambda _: UNDEFINED,
    "Date": _date,
    "bigint": _bigint,
    "number": _number,
    "set": _set,
    "map": _map,
    "regexp": _text(RegExp),
    "URL": _text(Url),
}


# --- writing ----------------------------------------------------------------------------


def dump(value: object) -> dict[str, object]:
    """A value as superjson. A `datetime` is a Date and must know its zone; a whole number is a number at any size."""
    json, notes = _note(value)
    return {"json": json, "meta": {"values": notes, "v": 1}} if notes else {"json": json}


def plain(value: object) -> object:
    """A value as the plain JSON that JavaScript would make of it: without what is undefined, dates as text."""
    match value:
        case dict():
            return {key: plain(item) for key, item in value.items() if item is not UNDEFINED}
        case list() | tuple() | set() | frozenset():
            return [plain(item) for item in value]
        case float() if not math.isfinite(value):
            return None
        case _:
            return _note(value)[0]


def defined(value: object) -> object:
    """A value without its undefined members, so that what has a default gets it."""
    match value:
        case Undefined():
            return None
        case dict():
            return {key: defined(item) for key, item in value.items() if item is not UNDEFINED}
        case list():
            return type(value)(defined(item) for item in value)
        case _:
            return value


Notes = dict[str, Any] | list[Any] | None


def _note(value: object) -> tuple[object, Notes]:
    match value:
        case Undefined():
            return None, ["undefined"]
        case RegExp():
            return str(value), ["regexp"]
        case Url():
            return str(value), ["URL"]
        case BigInt():
            return str(int(value)), ["bigint"]
        case datetime():
            return iso(value), ["Date"]
        case None | bool() | int() | str():
            return value, None
        case float():
            return _note_number(value)
        case dict():
            return _note_members(value, {}, None)
        case Map():
            return _note_members(enumerate(value), [], "map")
        case Set() | set() | frozenset():
            return _note_members(enumerate(value), [], "set")
        case list() | tuple():
            return _note_members(enumerate(value), [], None)
        case _:
            return to_jsonable_python(value), None


def _note_members(members: Any, json: Any, kind: str | None) -> tuple[object, Notes]:  # noqa: ANN401 - of any kind
    tree: dict[str, Any] = {}
    for key, item in members.items() if isinstance(members, dict) else members:
        inner, notes = _note(item)
        if isinstance(json, dict):
            json[key] = inner
        else:
            json.append(inner)
        place = str(key).replace("\\", "\\\\").replace(".", "\\.")
        if isinstance(notes, list):
            tree[place] = notes
        elif notes:
            tree |= {f"{place}.{path}": note for path, note in notes.items()}
    if kind is None:
        return json, tree or None
    return json, [kind, tree] if tree else [kind]


def _note_number(value: float) -> tuple[object, Notes]:
    if math.isnan(value):
        return "NaN", ["number"]
    if math.isinf(value):
        return ("Infinity" if value > 0 else "-Infinity"), ["number"]
    if value == 0 and math.copysign(1, value) < 0:
        return "-0", ["number"]
    return value, None


def iso(moment: datetime) -> str:
    """A time as JavaScript writes it: in UTC, to the millisecond."""
    if moment.tzinfo is None:
        raise ValueError("a time without its zone")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
