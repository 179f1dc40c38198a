"""Who is in the pictures of a story: its cast, the names in each scene, and the key moment. No I/O."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from shared.contracts.events import StoryRequested, VideoRequested
from shared.contracts.story import CastKind, CastMember, CastReference, ShotScene, Storyboard
from shared.contracts.text import is_blank
from storyboard.draft import Draft, DraftMember, DraftScene
from storyboard.rules import StoryboardInvalid
from storyboard.text import cut

MOST_MEMBERS = 6
MOST_CHARACTERS = 3
"""The looks of more do not fit into a prompt. Those whose pictures the request brings are always kept."""
LONGEST_NAME = 40
LONGEST_LOOK = 300
FIRST_WITHOUT_SPACES = "\u0e00"
"""From here on there are scripts that do not separate words, beginning with Thai."""


def references_of(request: StoryRequested) -> tuple[CastReference, ...]:
    """Return the pictures that a request brings, the first one of each name."""
    references = request.references if isinstance(request, VideoRequested) else ()
    return tuple({folded(one.name): one for one in reversed(references)}.values())[::-1]


def folded(name: str) -> str:
    """Return a name as it is compared: without regard to case and spacing."""
    return " ".join(unicodedata.normalize("NFKC", name).split()).casefold()


def names_in(text: str, cast: Iterable[CastMember]) -> tuple[str, ...]:
    """Return the names of those members of a cast whom a text names."""
    whole = folded(text)
    return tuple(member.name for member in cast if _is_named(folded(member.name), whole))


def cast_draft(story: Storyboard, draft: Draft, references: Sequence[CastReference]) -> tuple[Storyboard, list[str]]:
    """Return a storyboard with the cast and the key moment of its draft, and the repairs.

    `references`: the pictures that the request brings.
    """
    repairs: list[str] = []
    pictured = {folded(one.name) for one in references}
    members = _members(draft.cast, pictured, repairs)
    shown = _names_by_scene(draft.scenes, members, repairs)
    kept = {name for names in shown for name in names}
    repairs += [
        f"{member.name} was left out of the cast: no scene shows it"
        for key, member in members.items()
        if member.name not in kept and key not in pictured
    ]
    key_moment = _key_moment(draft.scenes, repairs)
    scenes = tuple(
        scene.model_copy(update={"cast": names, "key_moment": n == key_moment})
        for n, (scene, names) in enumerate(zip(story.scenes, shown, strict=True))
    )
    cast = tuple(member for member in members.values() if member.name in kept)
    story, added = with_references(story.model_copy(update={"cast": cast, "scenes": scenes}), references)
    return story, repairs + added


def with_references(story: Storyboard, references: Sequence[CastReference]) -> tuple[Storyboard, list[str]]:
    """Return a storyboard whose cast has these pictures, and messages about what a person may not expect.

    A picture with a name that is not in the cast is of another character, in the scenes that name it, else in all.

    Raises:
        StoryboardInvalid: the cast is too large.
    """
    images = {folded(one.name): one for one in references}
    cast = [
        member.model_copy(update={"image": images.pop(key).image}) if (key := folded(member.name)) in images else member
        for member in story.cast
    ]
    others = [CastMember(name=one.name, image=one.image) for one in images.values()]
    if len(cast) + len(others) > MOST_MEMBERS:
        raise StoryboardInvalid([f"the cast has {len(cast) + len(others)} members; {MOST_MEMBERS} are possible"])
    named = [names_in(f"{scene.shot} {scene.action} {scene.description}", others) for scene in story.scenes]
    nowhere = [member.name for member in others if not any(member.name in names for names in named)]
    scenes = tuple(
        scene.model_copy(update={"cast": (*scene.cast, *names, *nowhere)})
        for scene, names in zip(story.scenes, named, strict=True)
    )
    notes = [f"no scene names {name}: its picture is used in all of them" for name in nowhere]
    return story.model_copy(update={"cast": (*cast, *others), "scenes": scenes}), notes


def as_cast(scene: ShotScene, cast: Mapping[str, CastMember], gone: Iterable[str]) -> tuple[tuple[str, ...], list[str]]:
    """Return the names in an edited scene as its cast has them, without those `gone` from it; and the unknown names.

    `cast` and `gone` are by folded names.
    """
    known = {cast[key].name: None for name in scene.cast if (key := folded(name)) in cast}
    unknown = [name for name in scene.cast if folded(name) not in {*cast, *gone}]
    return tuple(known), unknown


def _is_named(name: str, text: str) -> bool:
    if any(character >= FIRST_WITHOUT_SPACES for character in name):
        return name in text
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) is not None


def _members(drafted: Sequence[DraftMember], pictured: set[str], repairs: list[str]) -> dict[str, CastMember]:
    """Return the members of a draft's cast by their folded names, as far as there is room for them."""
    members: dict[str, CastMember] = {}
    for one in drafted:
        key = folded(one.name)
        name = cut(one.name, LONGEST_NAME)
        if is_blank(name) or key in members:
            continue
        kind = kind_of(one)
        fault = "" if key in pictured else _why_left_out(one, kind, members, len(pictured - members.keys()))
        if fault:
            repairs.append(f"{name} was left out of the cast: {fault}")
        else:
            members[key] = CastMember(name=name, kind=kind, look=cut(one.look, LONGEST_LOOK))
    return members


def kind_of(member: DraftMember) -> CastKind:
    """Return the kind of a member; what has no known one is a character."""
    kinds: dict[str, CastKind] = {"place": "place", "prop": "prop"}
    return kinds.get(member.kind.lower(), "character")


def _why_left_out(one: DraftMember, kind: CastKind, members: Mapping[str, CastMember], expected: int) -> str:
    """Return why a member is left out; empty if it is not. `expected`: how many are still added."""
    if not one.look:
        return "it has no look"
    characters = sum(member.kind == "character" for member in members.values())
    if kind == "character" and characters >= MOST_CHARACTERS:
        return f"there are {MOST_CHARACTERS} characters already"
    return f"there are {MOST_MEMBERS} members already" if len(members) + expected >= MOST_MEMBERS else ""


def _names_by_scene(
    scenes: Sequence[DraftScene], members: Mapping[str, CastMember], repairs: list[str]
) -> list[tuple[str, ...]]:
    """Return whom each scene shows: those it lists, or if it has no list, those its text names."""
    listed = [
        None if scene.cast is None else tuple(dict.fromkeys(folded(name) for name in scene.cast)) for scene in scenes
    ]
    if not any(key in members for keys in listed for key in keys or ()):
        # Some models leave all lists empty, or translate the names.
        listed = [None] * len(scenes)
    shown = []
    for number, (scene, keys) in enumerate(zip(scenes, listed, strict=True), 1):
        if keys is None:
            shown.append(names_in(scene.shot or f"{scene.action} {scene.description}", members.values()))
            continue
        shown.append(tuple(members[key].name for key in keys if key in members))
        unknown = [name for name in scene.cast or () if folded(name) not in members]
        repairs += [f"scene {number}: {cut(name, LONGEST_NAME)} is not in the cast" for name in unknown]
    return shown


def _key_moment(scenes: Sequence[DraftScene], repairs: list[str]) -> int:
    """Return the index of the key moment. One scene in three can be one, of the five that a story has at most."""
    marked = [n for n, scene in enumerate(scenes) if scene.key_moment]
    turns = [n for n, scene in enumerate(scenes) if scene.beat.lower() == "turn"]
    choices = marked or turns or [len(scenes) - 1]
    key_moment = next((n for n in choices if n in turns), choices[-1])
    repairs += [f"scene {n + 1}: it is no second key moment" for n in marked if n != key_moment]
    return key_moment
