"""Encodes and decodes superjson: JSON with annotations of types that JSON lacks, `{json, meta: {values, v: 1}}`.

`values` is a tree of annotations by the dotted path of the value. The classes below stand for JavaScript types without
a Python equivalent. Shared references (`referentialEqualities`) are neither written nor read.
Source: the package superjson 2.2, `src/plainer.ts`, `src/pathstringifier.ts` and `src/transformer.ts`.
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from pydantic_core import to_jsonable_python

MAX_ANNOTATIONS = 10_000
BIGINT = re.compile(r"-?[0-9]{1,1000}")
TOKENS = re.compile(r"\\.|\.|[^\\.]+|\\", re.DOTALL)
OLD_TOKENS = re.compile(r"\\\.|\.|[^\\.]+|\\")
NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf, "-0": -0.0}


class Undefined(Enum):
    """JavaScript's `undefined`, as opposed to `null`."""

    VALUE = None

    def __bool__(self) -> bool:
        return False


UNDEFINED = Undefined.VALUE


class BigInt(int):
    """A JavaScript `bigint`."""


class Set(list[object]):
    """A JavaScript `Set`, in order; its items need not be hashable."""


class Map(list[list[object]]):
    """A JavaScript `Map` as pairs, in order; its keys need not be hashable."""


class RegExp(str):
    """A regular expression in JavaScript syntax, `/a/i`. It is never executed."""

    __slots__ = ()


class Url(str):
    """A JavaScript `URL`."""

    __slots__ = ()


class InvalidSuperjson(ValueError):
    """The value is not superjson, or has a type that the server does not accept."""


def is_payload(value: object) -> bool:
    """Return whether a JSON value has the shape of superjson."""
    return isinstance(value, dict) and "json" in value and value.keys() <= {"json", "meta"}


# --- reading ----------------------------------------------------------------------------


def load(payload: Any) -> object:  # noqa: ANN401 - whatever was sent
    """Decode a payload, which is changed in place. Raises `InvalidSuperjson`."""
    if not is_payload(payload):
        raise InvalidSuperjson("it is not superjson")
    meta = payload.get("meta")
    if meta is None:
        return payload["json"]
    values, version = (meta.get("values"), meta.get("v", 0)) if isinstance(meta, dict) else (None, None)
    if not isinstance(version, int) or not isinstance(values, dict | list | None):
        raise InvalidSuperjson("its meta is not superjson's")
    if values is not None:
        _Reading(legacy=version < 1).apply(values, payload, "json")
    return payload["json"]


class _Reading:
    def __init__(self, *, legacy: bool) -> None:
        self.legacy = legacy
        self.left = MAX_ANNOTATIONS

    def apply(self, notes: object, parent: Any, key: Any) -> None:  # noqa: ANN401 - any container of JSON
        """Apply the annotations of `parent[key]`, the inner ones first."""
        if isinstance(notes, list) and len(notes) in (1, 2):
            kind, inner = notes[0], notes[1] if len(notes) == 2 else {}
        else:
            kind, inner = None, notes
        if not isinstance(inner, dict):
            raise InvalidSuperjson("an annotation is neither a type nor a tree")
        for path, notes_there in inner.items():
            self.apply(notes_there, *self._find(parent[key], path))
        if kind is None:
            return
        self.left -= 1
        if self.left < 0:
            raise InvalidSuperjson(f"more than {MAX_ANNOTATIONS} annotations")
        restore = _RESTORE.get(kind) if isinstance(kind, str) else None
        if restore is None:
            raise InvalidSuperjson("a type that is not accepted")
        parent[key] = restore(parent[key])

    def _find(self, container: Any, path: str) -> tuple[Any, Any]:  # noqa: ANN401 - any container of JSON
        *way, last = (segment for segment in _split(path, legacy=self.legacy))
        for segment in way:
            container = container[_key(container, segment)]
        return container, _key(container, last)


def _key(container: object, segment: str) -> str | int:
    if isinstance(container, dict) and segment in container:
        return segment
    # Sets and maps are still JSON lists here.
    if isinstance(container, list) and segment.isdecimal() and len(segment) < 10 and int(segment) < len(container):
        return int(segment)
    raise InvalidSuperjson("an annotation of a missing value")


def _split(path: str, *, legacy: bool) -> list[str]:
    """Split a dotted path. Old clients, which send no version, escape only dots."""
    segments, parts = [], list[str]()
    for piece in (OLD_TOKENS if legacy else TOKENS).findall(path):
        if piece == ".":
            segments.append("".join(parts))
            parts = []
        elif piece == r"\." or (piece == r"\\" and not legacy):
            parts.append(piece[1])
        elif piece[0] == "\\" and not legacy:
            raise InvalidSuperjson("a stray backslash")
        else:
            parts.append(piece)
    return [*segments, "".join(parts)]


def _date(text: object) -> datetime:
    try:
        moment = datetime.fromisoformat(str(text))
        if moment.tzinfo is None:
            raise InvalidSuperjson("a date without a time zone")
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


# No procedure needs `Error`, `class`, `custom`, `symbol` or typed arrays.
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
    """Encode a value as superjson. A `datetime` becomes a Date and must have a time zone; an `int` becomes a number."""
    json, notes = _note(value)
    return {"json": json, "meta": {"values": notes, "v": 1}} if notes else {"json": json}


def plain(value: object) -> object:
    """Encode a value as JavaScript's `JSON.stringify` would: without undefined members, dates as text."""
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
    """Return a value without its undefined members, so that defaults apply."""
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
    """Format a time as JavaScript does: in UTC, with milliseconds."""
    if moment.tzinfo is None:
        raise ValueError("a time without a time zone")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
