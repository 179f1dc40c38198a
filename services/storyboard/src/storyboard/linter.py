"""Checks the drafts of a model, repairs what it can and lists the other faults. No I/O."""

import re
from collections.abc import Sequence

from shared.contracts.events import StoryRequested
from shared.contracts.story import VideoStory
from shared.contracts.story_rules import SceneSeconds
from storyboard.cast import folded, kind_of, references_of
from storyboard.draft import Draft, DraftMember, DraftScene, StyleBible
from storyboard.language import NAMES, evident_language
from storyboard.repairs import repair
from storyboard.rules import StoryboardInvalid, check

LONGEST_SHARED_RUN = 8
"""A shared run of this many words shows that the text copies the instructions."""

WORD = re.compile(r"[^\W_]+")
NOT_VISIBLE = re.compile(
    r"\b(?:symboli[sz]es?|represents?|conveys?|evokes?|melambangkan|mewakili|menyimbolkan)\b", re.IGNORECASE
)


def lint(
    draft: Draft, request: StoryRequested, seconds: SceneSeconds, *, with_style: bool = False
) -> tuple[VideoStory, list[str]]:
    """Return the story of a draft, and the repairs. `with_style`: its style bible and its cast must be complete.

    Raises:
        StoryboardInvalid: the draft has faults that only its writer can correct.
    """
    faults = _faults_of_draft(draft, request)
    if with_style:
        pictured = {folded(reference.name) for reference in references_of(request)}
        faults += [*_faults_of_cast(draft.cast, pictured), *_faults_of_style(draft.style)]
    if faults:
        raise StoryboardInvalid(faults)
    story, repairs = repair(draft, request, seconds)
    check(story, request, seconds)
    return story, repairs


def _faults_of_draft(draft: Draft, request: StoryRequested) -> list[str]:
    scenes = draft.scenes
    if len(scenes) != request.scene_count:
        return [f"{len(scenes)} scenes instead of {request.scene_count}"]
    faults = [
        f"scene {number}: {fault}" for number, scene in enumerate(scenes, 1) if (fault := _fault_of_action(scene))
    ]
    if len({scene.action.lower() for scene in scenes}) < len(scenes):
        faults.append("two scenes have the same action")
    beats = [scene.beat.lower() for scene in scenes]
    if len(beats) > 1 and (beats[0] != "beginning" or beats[-1] != "end"):
        faults.append("the story does not go from a beginning to an end")
    if len(beats) > 2 and "turn" not in beats[1:-1]:
        faults.append("nothing turns between the beginning and the end")
    asked, written = evident_language(request.prompt), evident_language(" ".join(draft.texts()))
    if asked and written and asked != written:
        faults.append(f"the story is in {NAMES[written]}, the prompt in {NAMES[asked]}")
    return faults


def _fault_of_action(scene: DraftScene) -> str:
    letters = [c for c in scene.action if c.isalpha()]
    wordy = any(c >= "\u0250" for c in letters)  # scripts that may not separate words
    if len(letters) < 3 or not (wordy or len(WORD.findall(scene.action)) > 1):
        return "nothing is seen to happen"
    if found := NOT_VISIBLE.search(scene.action):
        return f"what it «{found.group().lower()}» cannot be seen"
    return ""


def _faults_of_style(style: StyleBible) -> list[str]:
    traits = {"place": style.place, "palette": style.palette, "lens": style.lens, "light": style.light}
    return [f"the style bible says no {name}" for name, text in traits.items() if not text]


def _faults_of_cast(cast: Sequence[DraftMember], pictured: set[str]) -> list[str]:
    """Return the faults of a cast of which the request shows the `pictured`."""
    characters = [member for member in cast if kind_of(member) == "character" and folded(member.name) not in pictured]
    faults = [f"{member.name or 'somebody'} has no look" for member in characters if not member.look]
    return faults + ["somebody in the cast has no name" for member in characters if member.look and not member.name]


def leaks(text: str, instructions: str) -> bool:
    """Return whether a text repeats a part of the instructions word for word."""
    return not _runs(instructions).isdisjoint(_runs(text))


def _runs(text: str) -> set[tuple[str, ...]]:
    words = [word.lower() for word in WORD.findall(text)]
    return {tuple(words[n : n + LONGEST_SHARED_RUN]) for n in range(len(words) - LONGEST_SHARED_RUN + 1)}
