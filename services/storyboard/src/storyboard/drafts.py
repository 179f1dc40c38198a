"""Finds the storyboard in an answer of a language model, even if it is wrapped, escaped or broken. No I/O."""

import contextlib
import json
from collections.abc import Iterator, Mapping

import json_repair
from pydantic import ValidationError
from pydantic_core import from_json

from storyboard.draft import Draft

LONGEST_REPAIRED = 20_000
"""The time of a repair grows with the square of the length. Storyboards have a third of this."""
DEEPEST = 6
"""The deepest nesting in which a storyboard is searched for."""
SCENES = ("scenes", "items", "shots", "storyboard", "story")
OF_A_SCENE = {"action", "description", "shot"}
NUMBERS = ("sceneNumber", "scene_number", "number", "scene", "index")

decoder = json.JSONDecoder(strict=False)
"""Also accepts raw newlines in strings, NaN and unpaired surrogates."""


def read_draft(answer: str, *, cut: bool = False) -> Draft | None:
    """Return the draft in a model's answer; None if none has a scene or a refusal.

    `cut`: the answer was truncated, so do not complete invalid JSON.
    """
    for values in (_whole(answer), _unfinished(answer), () if cut else _repaired(answer)):
        drafts = [draft for value in values for draft in _drafts(value)]
        if drafts:
            # The last draft with the most scenes, because models write earlier versions while reasoning.
            return max(reversed(drafts), key=lambda draft: len(draft.scenes))
    return None


def _whole(text: str) -> Iterator[object]:
    """Yield the answer if it is JSON, then every JSON object in it."""
    with contextlib.suppress(ValueError, RecursionError):
        yield decoder.decode(text)
    start = text.find("{")
    while start >= 0:
        try:
            value, end = decoder.raw_decode(text, start)
        except ValueError:
            end = start + 1
        except RecursionError:
            return
        else:
            yield value
        start = text.find("{", end)


def _unfinished(text: str) -> Iterator[object]:
    """Return the object in a truncated answer, without the string at its end."""
    for part in (text, text.rpartition("```")[2]):
        if "{" in part:
            with contextlib.suppress(ValueError):
                yield from_json(part[part.index("{") :], allow_partial=True)


def _repaired(text: str) -> Iterator[object]:
    """Return the repaired value of invalid JSON."""
    for part in (text, *text.split("```")[1::2], text.rpartition("</think>")[2]):
        if "{" in part and len(part) <= LONGEST_REPAIRED:
            with contextlib.suppress(ValueError, RecursionError):
                yield json_repair.loads(part, skip_json_loads=True)


def _drafts(value: object, depth: int = 0) -> Iterator[Draft]:
    """Yield the drafts in a value, at any nesting."""
    if isinstance(value, str):
        inner = list(_whole(value)) if "{" in value else []
    elif isinstance(value, dict):
        inner = list(value.values())
        if draft := _draft(value):
            yield draft
            return
    elif isinstance(value, list):
        inner = value
        if draft := _draft({"scenes": value}):
            yield draft
            return
    else:
        return
    if depth < DEEPEST:
        for one in inner:
            yield from _drafts(one, depth + 1)


def _draft(value: Mapping[str, object]) -> Draft | None:
    scenes = next((scenes for key in SCENES if (scenes := _scenes(value.get(key)))), [])
    try:
        draft = Draft.model_validate({**value, "scenes": _in_order(scenes)})
    except ValidationError:
        return None
    return draft if draft.scenes or draft.refusal else None


def _scenes(value: object) -> list[dict[str, object]]:
    """Return scenes given as a list, as an object with a member for each, or as one scene, possibly JSON-encoded."""
    if isinstance(value, str):
        value = next(iter(_read_again(value)), None)
    if isinstance(value, dict):
        value = [value] if OF_A_SCENE & value.keys() else [_numbered(key, one) for key, one in value.items()]
    if not isinstance(value, list):
        return []
    read = [next(iter(_read_again(one)), None) if isinstance(one, str) else one for one in value]
    return [one for one in read if isinstance(one, dict) and OF_A_SCENE & one.keys()]


def _read_again(text: str) -> Iterator[object]:
    yield from _whole(text) if text.lstrip()[:1] in ("{", "[") else ()
    yield from _repaired(text)


def _numbered(key: str, scene: object) -> object:
    digits = "".join(c for c in key if c in "0123456789")
    return {"sceneNumber": int(digits), **scene} if isinstance(scene, dict) and 0 < len(digits) < 4 else scene


def _in_order(scenes: list[dict[str, object]]) -> list[dict[str, object]]:
    """Sort scenes by their numbers, if these are complete and unique."""
    numbers = [next((_number(scene.get(key)) for key in NUMBERS if key in scene), None) for scene in scenes]
    known = [number for number in numbers if number is not None]
    if len(set(known)) < len(scenes):
        return scenes
    return [scene for _, scene in sorted(zip(known, scenes, strict=True), key=lambda pair: pair[0])]


def _number(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None
