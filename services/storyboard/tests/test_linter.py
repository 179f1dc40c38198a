"""The rules of a good storyboard: repairs and their messages, and faults that only the writer can correct."""

from typing import Any
from uuid import UUID

import pytest

from shared.contracts.events import VideoRequested
from shared.contracts.story import CastMember
from shared.contracts.story_rules import SceneSeconds
from simulator.llm.stories import good_story
from storyboard.draft import Draft, DraftMember, StyleBible
from storyboard.instructions import INSTRUCTIONS
from storyboard.linter import leaks, lint
from storyboard.rules import StoryboardInvalid, check, opening
from storyboard.shots import LONGEST_SHOT_PROMPT, fitted, shot_prompts, style_text
from storyboard.text import units
from storyboard.writer import storyboard_of

SECONDS = SceneSeconds(2, 12)


def asked(prompt: str = "The fox and the moon", scenes: int = 3, duration: int = 30) -> VideoRequested:
    return VideoRequested(video_id=UUID(int=1), prompt=prompt, scene_count=scenes, duration=duration)


def written(request: VideoRequested, **changes: list[Any]) -> Draft:
    """A good draft, with these values in its scenes instead."""
    brief = {"prompt": request.prompt, "sceneCount": request.scene_count, "totalSeconds": request.duration}
    story = good_story(brief | {"secondsPerScene": {"max": SECONDS.longest}})
    for field, values in changes.items():
        for scene, value in zip(story["scenes"], values, strict=True):
            scene[field] = value
    return Draft.model_validate(story)


def linted(request: VideoRequested, **changes: list[Any]) -> tuple[list[Any], list[str]]:
    """What becomes of these values, and the repairs."""
    story, repairs = lint(written(request, **changes), request, SECONDS)
    check(story, request, SECONDS)
    scenes = [scene.model_dump(by_alias=True) for scene in story.scenes]
    return [[scene[field] for scene in scenes] for field in changes], repairs


@pytest.mark.parametrize("scenes", range(1, 6))
@pytest.mark.parametrize("duration", [15, 16, 31, 47, 60])
def test_a_good_draft_is_left_as_it_is(scenes: int, duration: int) -> None:
    request = asked(scenes=scenes, duration=duration)
    story, repairs = lint(written(request), request, SceneSeconds())
    assert repairs == []
    check(story, request, SceneSeconds())


@pytest.mark.parametrize(
    ("drafted", "given"),
    [
        (["wide", "medium", "medium"], ["wide", "medium", "close-up"]),
        (["medium", "close-up", "wide"], ["wide", "close-up", "medium"]),
        (["wide", "medium", "wide"], ["wide", "medium", "close-up"]),
        (["Establishing shot", "Close Up", "bird's-eye view"], ["wide", "close-up", "overhead"]),
        (["wide", "dutch tilt", ""], ["wide", "medium", "close-up"]),
    ],
)
def test_angles_change_as_little_as_possible(drafted: list[str], given: list[str]) -> None:
    [angles], repairs = linted(asked(), cameraAngle=drafted)
    assert angles == given
    assert len(repairs) == sum(a != b for a, b in zip(angles, drafted, strict=True))


@pytest.mark.parametrize(
    ("prompt", "first"),
    [
        ("A fox crosses the night market", "wide"),
        ("Start with a close-up of her eyes, then the city", "close-up"),
        ("Dimulai dengan close up tangan nenek", "close-up"),
        ("The first shot is from above, a bird's eye view", "overhead"),
        ("Open on a medium shot of the baker", "medium"),
        ("It starts with a bird on a wire", "wide"),
        ("The first person to cross the wide river", "wide"),
    ],
)
def test_the_establishing_shot_is_first_unless_the_prompt_says_otherwise(prompt: str, first: str) -> None:
    assert opening(asked(prompt)) == first
    [angles], _ = linted(asked(prompt), cameraAngle=["wide", "medium", "close-up"])
    assert angles[0] == first


@pytest.mark.parametrize(
    ("drafted", "given"),
    [
        ([10, 10, 10], [10, 10, 10]),
        ([9.5, 10.25, 10.25], [9.5, 10.25, 10.25]),
        ([5, 5, 5], [10, 10, 10]),
        ([1, 1, 30], None),
        ([0, 0, 0], [10, 10, 10]),
        ([-3, 1e308, "7s"], None),
        (["long", None, float("nan")], [10, 10, 10]),
    ],
)
def test_durations_are_rebalanced_to_the_request(drafted: list[Any], given: list[float] | None) -> None:
    [durations], repairs = linted(asked(), duration=drafted)
    assert sum(durations) == 30
    assert all(SECONDS.shortest <= duration <= SECONDS.longest for duration in durations)
    assert given is None or durations == given
    assert bool(repairs) == (durations != drafted)


def test_a_clip_is_no_longer_than_the_provider_renders_with_its_overlap() -> None:
    request = asked(duration=35)
    [durations, joins], _ = linted(request, duration=[12, 11.5, 11.5], transition=["dissolve", "cut", "cut"])
    assert (durations, joins) == ([11, 12, 12], ["dissolve", "cut", "cut"])
    [durations, joins], repairs = linted(
        asked(duration=36), duration=[12, 12, 12], transition=["dissolve", "fade", "cut"]
    )
    assert (durations, joins) == ([12, 12, 12], ["cut", "cut", "cut"])
    assert any("all transitions were made cuts" in repair for repair in repairs)


def test_a_transition_that_is_too_long_for_its_neighbours_becomes_a_cut() -> None:
    request = asked(scenes=2, duration=15)
    story, repairs = lint(written(request, duration=[1, 14], transition=["dissolve", "cut"]), request, SceneSeconds(1))
    assert [scene.transition for scene in story.scenes] == ["cut", "cut"]
    assert repairs == ["scene 1: its transition was too long for its neighbours, is now cut"]


def test_unknown_transitions_and_one_to_nothing_become_cuts() -> None:
    [joins], repairs = linted(asked(), transition=["Fade", "explode", "wipe"])
    assert joins == ["fade", "cut", "cut"]
    assert repairs == [f"scene {n}: its transition was {was}, is now {now}" for n, was, now in (
        (1, "Fade", "fade"), (2, "explode", "cut"), (3, "wipe", "cut"),
    )]  # fmt: skip


def test_missing_and_long_texts_are_repaired_and_listed() -> None:
    request = asked()
    draft = written(request, description=["", "d" * 400, "x"]).model_copy(update={"title": ""})
    story, repairs = lint(draft, request, SECONDS)
    assert story.title == "The fox and the moon"
    assert story.scenes[0].description == story.scenes[0].action
    assert repairs == [
        "scene 1: its description was missing", "scene 2: its description was cut", "the title was missing",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"action": ["", "A fox runs.", "It sleeps."]}, "scene 1: nothing is seen to happen"),
        ({"action": ["Fox", "A fox runs.", "It sleeps."]}, "scene 1: nothing is seen to happen"),
        ({"action": ["A fox runs.", "The moon symbolizes hope.", "It sleeps."]}, "scene 2: what it «symbolizes»"),
        ({"action": ["A fox runs.", "A FOX RUNS.", "It sleeps."]}, "two scenes have the same action"),
        ({"beat": ["beginning", "middle", "end"]}, "nothing turns between"),
        ({"beat": ["turn", "turn", "end"]}, "from a beginning to an end"),
        ({"action": ["Seekor rubah tua berlari di hutan.", "Rubah itu melihat bulan.", "Rubah tidur di rumah."],
          "description": ["Pagi di hutan.", "Malam di hutan yang gelap.", "Pagi di rumah."]},
         "the story is in Indonesian, the prompt in English"),
    ],
)  # fmt: skip
def test_unrepairable_faults_are_listed(changes: dict[str, list[Any]], fault: str) -> None:
    request = asked("The fox and the moon are in the forest")
    with pytest.raises(StoryboardInvalid, match=fault):
        lint(written(request, **changes), request, SECONDS)


@pytest.mark.parametrize("prompt", ["Penguins", "Bali", "Die Hard", "À la carte", "🎉"])
def test_an_ambiguous_prompt_may_be_answered_in_any_language(prompt: str) -> None:
    assert linted(asked(prompt)) == ([], [])


def test_a_wrong_number_of_scenes_is_rejected() -> None:
    with pytest.raises(StoryboardInvalid, match="3 scenes instead of 4"):
        lint(written(asked()), asked(scenes=4), SECONDS)


def test_an_impossible_duration_is_rejected() -> None:
    with pytest.raises(StoryboardInvalid, match="3 scenes of 2 to 12 s each cannot last 60 s"):
        lint(written(asked()), asked(duration=60), SECONDS)


def test_style_bible_and_cast_must_be_complete() -> None:
    style = StyleBible.model_validate({"place": "p", "lens": "l", "light": "l"})
    cast = (DraftMember(), DraftMember(name="A"), DraftMember(look="tall"), DraftMember(name="Inn", kind="place"))
    draft = written(asked()).model_copy(update={"style": style, "cast": cast})
    faults = "somebody has no look; A has no look; somebody in the cast has no name; the style bible says no palette"
    with pytest.raises(StoryboardInvalid, match=f"{faults}$"):
        lint(draft, asked(), SECONDS, with_style=True)


@pytest.mark.parametrize("members", [0, 1, 3, 6])
@pytest.mark.parametrize("look", ["red coat", "long " * 60, "🦊" * 300])
@pytest.mark.parametrize("shot", ["", "A fox runs.", "very long " * 80, "🎬" * 445])
def test_shot_style_and_looks_fit_every_model_together(look: str, shot: str, members: int) -> None:
    request = asked()
    story, _ = lint(written(request), request, SECONDS)
    traits = {"place": look, "palette": look, "lens": look, "light": look}
    style, shortened = style_text(StyleBible.model_validate(traits))
    cast = tuple(CastMember(name=f"Somebody {n}", look=look) for n in range(members))
    board = storyboard_of(story, [shot] * 3, style)
    scenes = tuple(scene.model_copy(update={"cast": tuple(one.name for one in cast)}) for scene in board.scenes)
    board, notes = fitted(board.model_copy(update={"cast": cast, "scenes": scenes}))
    looks = " ".join(f"{member.name}: {member.look}." for member in board.cast)
    for prompt in shot_prompts(board):
        assert prompt.endswith(style)
        assert units(f"{prompt} {looks}".strip()) <= LONGEST_SHOT_PROMPT
    assert all(label in style for label in ("Place: ", "Palette: ", "Light: ", "Lens: "))
    assert shortened == (look != "red coat")
    assert members != 3 or all(units(member.look) <= 90 for member in board.cast)
    assert bool(notes) == any(one.shot != shot for one in board.scenes) | any(one.look != look for one in board.cast)


@pytest.mark.parametrize(
    ("text", "is_leak"),
    [
        (INSTRUCTIONS[:200], True),
        (INSTRUCTIONS.upper().replace(" ", " * "), True),
        ("She says: you write storyboards for short films, that much is known.", False),
        ("", False),
    ],
)
def test_a_text_that_repeats_the_instructions_is_found(text: str, is_leak: bool) -> None:
    assert leaks(text, INSTRUCTIONS) == is_leak
