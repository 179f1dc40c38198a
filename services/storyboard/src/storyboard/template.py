"""The writer without a key or network: the same request always gives the same story.

A prompt that tells a sequence is followed clause by clause; the phrase book of the niche fills the gaps.
"""

import hashlib
import random
import re
from collections.abc import Sequence

from shared.contracts.events import StoryRequested
from shared.contracts.story import CameraAngle, Scene, Transition, VideoStory
from shared.contracts.story_rules import ANY_SECONDS, SceneSeconds
from storyboard.cast import cast_draft, references_of
from storyboard.draft import Draft
from storyboard.language import Language, language_of
from storyboard.phrasebook import SHOT, Niche, niche_of
from storyboard.repairs import repair
from storyboard.rules import check, opening
from storyboard.text import capitalised, cut, flat
from storyboard.writer import Written, storyboard_of

LONGEST_ACTION = 110
LONGEST_TITLE = 80
SHORTEST_SCENE_SECONDS = 3

SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s+|(?<=[。！？])|[\r\n]+")
CLAUSE_END = re.compile(
    r"\s*[;,–—]\s+(?:(?:and then|and|then|lalu|kemudian|dan)\s)?"
    # A bare conjunction joins clauses only where a verb follows it.
    r"|\s+(?:and then|then|and|lalu|kemudian|dan)\s+(?=\w+s\b|me|ber|ter|di)",
    re.IGNORECASE,
)
SHORTEST_CLAUSE = 12
ORDER = re.compile(
    r"^(?:please\s+|tolong\s+)?(?:make|create|generate|buatkan|buatlah|buat)\s+(?:me\s+|saya\s+)?(?:an?\s+|sebuah\s+)?"
    r"(?:short\s+)?(?:video|film|story|cerita)(?:\s+pendek)?\s+(?:about|of|on|tentang|mengenai)\s+",
    re.IGNORECASE,
)
"""Introductions such as "make a video about"; the story is about the rest."""

BEATS: dict[int, tuple[str, ...]] = {
    1: ("begin",),
    2: ("begin", "end"),
    3: ("begin", "turn", "end"),
    4: ("begin", "closer", "turn", "end"),
    5: ("begin", "closer", "turn", "answer", "end"),
}
WEIGHTS: dict[str, float] = {"begin": 1.0, "closer": 0.8, "turn": 1.2, "answer": 1.0, "end": 1.1}
AFTER_WIDE: tuple[tuple[CameraAngle, ...], ...] = (
    ("medium", "close-up", "overhead", "pov"),
    ("close-up", "pov", "medium", "overhead"),
    ("pov", "medium", "overhead", "close-up"),
    ("overhead", "close-up", "pov", "medium"),
)
ALONE: tuple[CameraAngle, ...] = ("wide", "medium", "pov")
JOINS: tuple[Transition, ...] = ("dissolve", "cut", "fade", "wipe")


class TemplateWriter:
    """Writes storyboards from a phrase book."""

    def __init__(self, seconds: SceneSeconds = ANY_SECONDS) -> None:
        self.seconds = seconds

    async def write(self, request: StoryRequested) -> Written:
        """See `Writer.write`. It fails only if no story can have the requested duration."""
        language = language_of(request.prompt)
        prompt = ORDER.sub("", request.prompt.strip()) or request.prompt
        # Seeded by the id, so that a repeated request gives the same story.
        chance = random.Random(hashlib.sha256(request.video_id.bytes).digest())  # noqa: S311 - no secret
        niche = niche_of(request.niche, "id" if language == "id" else "en")
        beats = BEATS[request.scene_count]
        durations = split_duration(request.duration, [WEIGHTS[beat] for beat in beats])
        angles = _angles(len(beats), opening(request), chance)
        actions = _actions(prompt, beats, niche, language)
        transitions = _transitions(len(beats), chance)
        scenes = tuple(
            Scene(
                scene_number=n + 1,
                description=_description(angles[n], niche, language, actions[n]),
                camera_angle=angles[n],
                duration=durations[n],
                action=actions[n],
                transition=transitions[n],
            )
            for n in range(len(beats))
        )
        story = VideoStory(
            title=_title(prompt),
            niche=request.niche,
            overall_prompt=cut(flat(request.prompt), 1000),
            total_duration=request.duration,
            scenes=scenes,
        )
        story, repairs = repair(Draft.of(story), request, self.seconds)
        check(story, request, self.seconds)
        style = f"Set in {niche.place}, {niche.light}. Cinematic, natural colours, consistent characters."
        storyboard, recast = cast_draft(storyboard_of(story, style=style), Draft.of(story), references_of(request))
        return Written(storyboard, (*repairs, *recast))


def split_duration(total: int, weights: Sequence[float]) -> tuple[int, ...]:
    """Split whole seconds by weight, at least `SHORTEST_SCENE_SECONDS` each; the parts sum to `total` exactly."""
    spare = total - SHORTEST_SCENE_SECONDS * len(weights)
    ends = [round(spare * sum(weights[: n + 1]) / sum(weights)) for n in range(len(weights))]
    return tuple(SHORTEST_SCENE_SECONDS + end - start for start, end in zip([0, *ends], ends, strict=False))


def _angles(count: int, first: CameraAngle | None, chance: random.Random) -> tuple[CameraAngle, ...]:
    if count == 1:
        alone = chance.choice(ALONE)
        return (first or alone,)
    others = chance.choice(AFTER_WIDE)[: count - 1]
    return (first or "wide", *("wide" if angle == first else angle for angle in others))


def _transitions(count: int, chance: random.Random) -> tuple[Transition, ...]:
    return (*chance.sample(JOINS, count - 1), "cut")


def _actions(prompt: str, beats: tuple[str, ...], niche: Niche, language: Language) -> list[str]:
    """Return the action of each scene: the prompt's clauses in order, the rest from the niche."""
    own = _clauses(prompt, len(beats))
    if language == "other":
        own = own or [flat(prompt)]
        return [own[n] if n < len(own) else f"{n + 1} · {cut(own[-1], LONGEST_ACTION - 4)}" for n in range(len(beats))]
    actions = [str(getattr(niche, beat)) for beat in beats]
    if len(own) <= 1:
        actions[0] = _opened(own[0] if own else "", actions[0])
        return actions
    # The first clause opens the story; the others end it.
    places = [0, *range(len(beats) - len(own) + 1, len(beats))]
    for place, clause in zip(places, own, strict=True):
        actions[place] = clause
    return actions


def _opened(subject: str, begin: str) -> str:
    """Return the first action for a short prompt: its subject, and the niche's opening if there is room."""
    if not subject:
        return begin
    together = f"{subject} {begin}"
    return together if len(together) <= LONGEST_ACTION else subject


def _clauses(prompt: str, count: int) -> list[str]:
    """Return at most `count` sentences of the prompt, or clauses if those are too few, keeping the first and last."""
    sentences = [part for part in (flat(s) for s in SENTENCE_END.split(prompt) if s) if any(c.isalnum() for c in part)]
    parts = sentences
    if len(sentences) < count:
        parts = [clause for sentence in sentences for clause in _split(sentence)]
    if len(parts) > count:
        last = len(parts) - 1
        parts = [parts[round(n * last / (count - 1))] for n in range(count)] if count > 1 else parts[:1]
    return [_sentence(part) for part in parts]


def _split(sentence: str) -> list[str]:
    """Split a sentence at commas and conjunctions, unless a part is too short."""
    parts = [part for part in CLAUSE_END.split(sentence) if part]
    return parts if len(parts) > 1 and all(len(part) >= SHORTEST_CLAUSE for part in parts) else [sentence]


def _sentence(text: str) -> str:
    text = cut(text, LONGEST_ACTION)
    return capitalised(text) + ("." if text[-1:].isalnum() and text[-1:] < "\u0250" else "")


def _title(prompt: str) -> str:
    first = next((part for part in SENTENCE_END.split(prompt.strip()) if part and part.strip()), prompt)
    title = cut(flat(first), LONGEST_TITLE).rstrip(".!,;: ")
    return capitalised(title) or "Untitled"


def _description(angle: CameraAngle, niche: Niche, language: Language, action: str) -> str:
    if language == "other":
        return action
    shot = SHOT[language][angle]
    return f"{shot}: {niche.place}, {niche.light}."
