"""Any answer of a model leads to a valid storyboard or to a failure with a reason."""

import json
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest
from httpx import AsyncClient, MockTransport, Response
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.events import VideoRequested
from shared.contracts.media import MediaReference
from shared.contracts.story import CastReference, Storyboard
from shared.contracts.story_rules import SceneSeconds
from shared.messaging.errors import StepFailed
from simulator.llm.stories import STYLE, good_story
from storyboard.agent import LanguageModelWriter
from storyboard.answers import Answers
from storyboard.cast import folded, references_of
from storyboard.endpoint import Endpoint
from storyboard.instructions import request_message
from storyboard.rules import check
from storyboard.shots import LONGEST_SHOT_PROMPT
from storyboard.text import units

SECONDS = SceneSeconds(2, 12)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
NUMBERS = st.floats(allow_nan=True) | st.integers(-5, 100) | st.sampled_from(["5s", "ten", "1e999", -0.0, 1e308])
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "cameraAngle": st.sampled_from(["wide", "Close Up", "dutch tilt", "POV", "bird's eye view", "overhead", ""]),
    "duration": NUMBERS,
    "transition": st.sampled_from(["cut", "FADE", "wipe", "dissolve", "explode", ""]),
    "action": st.sampled_from(["A fox jumps.", "It represents hope.", "x", "", "猫が走る。", "é " * 400]) | st.text(),
    "description": st.text(max_size=400),
    "shot": st.text() | st.just("A very long shot. 🎬" * 100),
    "beat": st.sampled_from(["beginning", "turn", "end", "climax"]),
    "cast": st.lists(st.sampled_from(["mara", "Otto", "A", "nobody", ""]), max_size=9) | st.just("Mara, Otto"),
    "keyMoment": st.sampled_from([True, "yes", None, 7]),
}
NAMES = st.sampled_from(["A", "a ", "Mara", "Otto", "\u200b", "🎬" * 50]) | st.text()
KINDS = st.sampled_from(["character", "Place", "prop", "hero", ""])
LOOKS = st.sampled_from(["red coat", "long " * 100, "🦊" * 300]) | st.text()
REFERENCES = st.lists(st.sampled_from(["mara", "Otto", "Budi", "BUDI", "the sea", "🎬" * 40]), max_size=6)
IMAGE = MediaReference(key="uploads/1.jpg", content_type="image/jpeg", size=1, sha256="0" * 64)


@st.composite
def nearly_good(draw: st.DrawFn, request: Any) -> str:
    """A good answer in which some things were changed."""
    story = json.loads(json.dumps(good_story(json.loads(request_message(request, SECONDS)))))
    for _ in range(draw(st.integers(0, 4))):
        scene = draw(st.sampled_from(story["scenes"] or [{}]))
        field = draw(st.sampled_from(list(FIELDS)))
        match draw(st.integers(0, 9)):
            case 0:
                scene.pop(field, None)
            case 1:
                scene[field] = draw(ANYTHING)
            case 2:
                story[draw(st.sampled_from(list(story)))] = draw(ANYTHING)
                if not isinstance(story["scenes"], list) or not all(isinstance(s, dict) for s in story["scenes"]):
                    break
            case 3:
                names = draw(st.lists(NAMES, max_size=9))
                story["cast"] = [{"name": name, "kind": draw(KINDS), "look": draw(LOOKS)} for name in names]
                story["style"] = {**STYLE, "place": draw(LOOKS)}
            case _:
                scene[field] = draw(FIELDS[field])
    text = json.dumps(story)
    return text[: draw(st.integers(0, len(text)))] if draw(st.integers(0, 9)) == 0 else text


@st.composite
def cases(draw: st.DrawFn) -> tuple[Any, list[str]]:
    count = draw(st.integers(1, 5))
    duration = draw(st.integers(15, 60))
    prompt = draw(st.sampled_from(["A fox and the moon", "Kopi pagi di warung", "Start with a close-up of the sea"]))
    references = [CastReference(name=name, image=IMAGE) for name in draw(REFERENCES)]
    request = VideoRequested(
        video_id=uuid4(), prompt=prompt, scene_count=count, duration=duration, references=references
    )
    answer = nearly_good(request) | nearly_good(request) | ANYTHING.map(json.dumps) | st.text()
    return request, draw(st.lists(answer, min_size=3, max_size=3))


OUTCOMES: Counter[str] = Counter()


@given(cases())
async def test_any_answer_ends_in_a_good_storyboard_or_in_a_failure_with_a_reason(rig, case) -> None:
    request, said = case
    replies = iter(said)
    answering = MockTransport(lambda _: Response(200, json={"choices": [{"message": {"content": next(replies)}}]}))
    endpoint = Endpoint(AsyncClient(transport=answering), "http://llm", None, "m", form="json")
    writer = LanguageModelWriter(endpoint, Answers(rig.database, "m"), SECONDS)
    try:
        board = await writer.write(request)
    except StepFailed as failed:
        assert (failed.kind, bool(failed.reason)) == ("storyboard", True)  # noqa: PT017 - one of two good ends
        OUTCOMES["failed"] += 1
        return
    OUTCOMES["repaired" if board.repairs else "good"] += 1
    check(board.story, request, SECONDS)
    assert len(board.shot_prompts) == request.scene_count
    assert all(0 < units(shot) <= LONGEST_SHOT_PROMPT for shot in board.shot_prompts)
    assert all(shot.endswith(board.story.style) for shot in board.shot_prompts)
    story = Storyboard.model_validate(board.story.model_dump())
    names = [member.name for member in story.cast]
    assert len({folded(name) for name in names}) == len(names)
    assert {name for scene in story.scenes for name in scene.cast} == set(names)
    assert {folded(one.name) for one in references_of(request)} <= {folded(one.name) for one in story.cast if one.image}
    assert sum(scene.key_moment for scene in story.scenes) == 1
    # As the wire and the database take it.
    board.story.model_dump_json()
    "".join([board.story_script, *board.shot_prompts, *board.repairs]).encode()


def test_the_answers_above_led_to_every_outcome() -> None:
    if not OUTCOMES:
        pytest.skip("they were not tried")
    assert min(OUTCOMES[outcome] for outcome in ("good", "repaired", "failed")) > OUTCOMES.total() // 50, OUTCOMES
