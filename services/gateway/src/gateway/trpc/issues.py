"""Translates pydantic's validation errors into zod issues, which tRPC clients can show."""

import json
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.trpc.errors import Issue, TRPCError
from gateway.trpc.sentences import sentences
from gateway.trpc.superjson import UNDEFINED, BigInt, Map, Set

MOST_ISSUES = 50

TYPES = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "array": "array"}

EXPECTED = {
    "string_type": "string",
    "int_type": "number",
    "int_parsing": "number",
    "float_type": "number",
    "float_parsing": "number",
    "bool_type": "boolean",
    "bool_parsing": "boolean",
    "list_type": "array",
    "tuple_type": "array",
    "dict_type": "object",
    "model_type": "object",
    "model_attributes_type": "object",
    "datetime_type": "date",
    "datetime_parsing": "date",
}
BOUNDS = {
    "string_too_short": ("too_small", "string", "min_length", ">=", " characters"),
    "string_too_long": ("too_big", "string", "max_length", "<=", " characters"),
    "too_short": ("too_small", "array", "min_length", ">=", " items"),
    "too_long": ("too_big", "array", "max_length", "<=", " items"),
    "greater_than_equal": ("too_small", "number", "ge", ">=", ""),
    "greater_than": ("too_small", "number", "gt", ">", ""),
    "less_than_equal": ("too_big", "number", "le", "<=", ""),
    "less_than": ("too_big", "number", "lt", "<", ""),
}


def refused(error: ValidationError, schema: dict[str, Any]) -> TRPCError:
    """Return the error of an invalid input of this JSON schema. As with zod, its message is the issues as JSON."""
    details = error.errors(include_url=False)[:MOST_ISSUES]
    issues = tuple(_issue(detail, schema) for detail in details)
    message = json.dumps(issues, indent=2, ensure_ascii=False, default=str)
    return TRPCError("BAD_REQUEST", message, issues, sentences=sentences(details, issues))


def _issue(detail: ErrorDetails, schema: dict[str, Any]) -> Issue:
    kind, path, given = detail["type"], list(detail["loc"]), detail["input"]
    if kind == "missing":
        return _wrong_type(path, _type_at(schema, path), UNDEFINED)
    if kind in ("int_type", "int_from_float") and isinstance(given, float):
        return {**_wrong_type(path, "int", given), "format": "safeint"}
    if kind in EXPECTED:
        return _wrong_type(path, EXPECTED[kind], given)
    if kind in BOUNDS:
        code, origin, name, sign, unit = BOUNDS[kind]
        bound = detail["ctx"][name]
        size = "Too small" if code == "too_small" else "Too big"
        return {
            "origin": origin,
            "code": code,
            "minimum" if code == "too_small" else "maximum": bound,
            "inclusive": sign.endswith("="),
            "path": path,
            "message": f"{size}: expected {origin} to {'be ' if not unit else 'have '}{sign}{bound}{unit}",
        }
    if kind == "extra_forbidden":
        text = f'Unrecognized key: "{path[-1]}"'
        return {"code": "unrecognized_keys", "keys": path[-1:], "path": path[:-1], "message": text}
    return {"code": "custom", "path": path, "message": detail["msg"]}


def _wrong_type(path: list[int | str], expected: str, given: object) -> Issue:
    message = f"Invalid input: expected {expected}, received {_type_of(given)}"
    return {"expected": expected, "code": "invalid_type", "path": path, "message": message}


def _type_of(value: object) -> str:
    """Return the JavaScript name of a value's type."""
    names: Iterable[tuple[type | tuple[type, ...], str]] = (
        (bool, "boolean"),
        (BigInt, "bigint"),
        ((int, float), "number"),
        (str, "string"),
        (Map, "map"),
        (Set, "set"),
        (list, "array"),
        (dict, "object"),
        (type(UNDEFINED), "undefined"),
        (type(None), "null"),
    )
    return next((name for kind, name in names if isinstance(value, kind)), "Date")


def _type_at(schema: dict[str, Any], path: list[int | str]) -> str:
    """Return the zod name of the type that a JSON schema requires at a path."""
    here: dict[str, Any] = schema
    for step in (None, *path):
        if step is not None:
            here = here.get("items", {}) if isinstance(step, int) else here.get("properties", {}).get(step, {})
        if "$ref" in here:
            here = schema.get("$defs", {}).get(here["$ref"].rsplit("/", 1)[-1], {})
    return TYPES.get(here.get("type", "object"), "object")
