"""superjson in Python, compared with the npm package."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic_core import from_json

from gateway.trpc import superjson
from gateway.trpc.superjson import UNDEFINED, BigInt, InvalidSuperjson, Map, Set, defined, dump, load, plain

AT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
ISO = "2026-01-02T03:04:05.678Z"


@pytest.mark.parametrize(("seed", "count", "more"), [(1, 12_000, ()), (2, 2_000, ("before",))])
async def test_random_values_survive_the_round_trip(
    node: Callable[..., Any], seed: int, count: int, more: tuple[str, ...]
) -> None:
    arguments = (str(seed), str(count), *more)
    written = await node("newest/superjson.mjs", "write", *arguments)
    assert len(written) == count if not more else len(written) > count / 2
    assert any('"v":1' in line for line in written) is not bool(more)
    # As the adapter reads a request.
    again = "\n".join(json.dumps(dump(load(from_json(line, allow_inf_nan=False)))) for line in written)
    assert await node("newest/superjson.mjs", "check", *arguments, given=again) == {
        "read": len(written), "wrong": [], "differences": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (UNDEFINED, {"json": None, "meta": {"values": ["undefined"], "v": 1}}),
        (None, {"json": None}),
        (AT, {"json": ISO, "meta": {"values": ["Date"], "v": 1}}),
        ({"at": AT, "n": 5}, {"json": {"at": ISO, "n": 5}, "meta": {"values": {"at": ["Date"]}, "v": 1}}),
        ({"a.b\\": AT}, {"json": {"a.b\\": ISO}, "meta": {"values": {"a\\.b\\\\": ["Date"]}, "v": 1}}),
        ([[AT]], {"json": [[ISO]], "meta": {"values": {"0.0": ["Date"]}, "v": 1}}),
        (Set([1, AT]), {"json": [1, ISO], "meta": {"values": ["set", {"1": ["Date"]}], "v": 1}}),
        (Map([["k", AT]]), {"json": [["k", ISO]], "meta": {"values": ["map", {"0.1": ["Date"]}], "v": 1}}),
        (BigInt(2**70), {"json": str(2**70), "meta": {"values": ["bigint"], "v": 1}}),
        (2**70, {"json": 2**70}),
        ({"x": float("-inf")}, {"json": {"x": "-Infinity"}, "meta": {"values": {"x": ["number"]}, "v": 1}}),
    ],
)
def test_values_are_encoded_as_by_superjson_and_decoded_again(value: Any, written: Any) -> None:
    assert dump(value) == written
    assert load(json.loads(json.dumps(written))) == value


@pytest.mark.parametrize(
    ("path", "meta_v", "key"),
    [
        ("a\\.b", None, "a.b"),
        ("a\\b", None, "a\\b"),
        ("a\\\\", None, "a\\\\"),
        ("a\\\\", 1, "a\\"),
        ("a\\\\\\.b", 1, "a\\.b"),
    ],
)
def test_paths_without_a_version_follow_the_old_rule(path: str, meta_v: int | None, key: str) -> None:
    meta: dict[str, Any] = {"values": {path: ["Date"]}} | ({} if meta_v is None else {"v": meta_v})
    assert load({"json": {key: ISO}, "meta": meta}) == {key: AT}


@pytest.mark.parametrize(
    "payload",
    [
        {"json": 1, "meta": "x"},
        {"json": 1, "meta": {"values": "x"}},
        {"json": 1, "meta": {"values": ["Date"], "v": "1"}},
        {"json": 1, "meta": {"values": ["unheard of"], "v": 1}},
        {"json": 1, "meta": {"values": [["class", "Admin"]], "v": 1}},
        {"json": 1, "meta": {"values": [["custom", "x"]], "v": 1}},
        {"json": {"name": "x"}, "meta": {"values": ["Error"], "v": 1}},
        {"json": {}, "meta": {"values": {"__proto__.a": ["Date"]}, "v": 1}},
        {"json": {"a": 1}, "meta": {"values": {"a.b": ["Date"]}, "v": 1}},
        {"json": [1], "meta": {"values": {"1": ["undefined"]}, "v": 1}},
        {"json": [1], "meta": {"values": {"-1": ["undefined"]}, "v": 1}},
        {"json": {"a": 1}, "meta": {"values": {"a\\b": ["Date"]}, "v": 1}},
        {"json": "soon", "meta": {"values": ["Date"], "v": 1}},
        {"json": None, "meta": {"values": ["Date"], "v": 1}},
        {"json": "2026-01-01T00:00:00", "meta": {"values": ["Date"], "v": 1}},
        {"json": "0001-01-01T00:00:00+23:00", "meta": {"values": ["Date"], "v": 1}},
        {"json": "9" * 5000, "meta": {"values": ["bigint"], "v": 1}},
        {"json": "five", "meta": {"values": ["bigint"], "v": 1}},
        {"json": "1e999", "meta": {"values": ["number"], "v": 1}},
        {"json": 5, "meta": {"values": ["set"], "v": 1}},
        {"json": [[1]], "meta": {"values": ["map"], "v": 1}},
        {"json": 5, "meta": {"values": ["regexp"], "v": 1}},
        {"json": [0] * 10_001, "meta": {"values": {str(n): ["undefined"] for n in range(10_001)}, "v": 1}},
        {"json": 1, "meta": {"values": ["undefined", 5, 5], "v": 1}},
    ],
    ids=lambda payload: str(payload)[:60],
)
def test_malicious_payloads_are_rejected(payload: Any) -> None:
    with pytest.raises(InvalidSuperjson):
        load(payload)


def test_plain_json_equals_json_stringify() -> None:
    value = {"at": AT, "gone": UNDEFINED, "list": [UNDEFINED, float("nan")], "n": None}
    assert plain(value) == {"at": ISO, "list": [None, None], "n": None}


def test_undefined_members_are_dropped() -> None:
    assert defined({"a": UNDEFINED, "b": [UNDEFINED, {"c": UNDEFINED}]}) == {"b": [None, {}]}


def test_a_time_without_a_time_zone_is_rejected() -> None:
    with pytest.raises(ValueError, match="zone"):
        superjson.dump(AT.replace(tzinfo=None))
