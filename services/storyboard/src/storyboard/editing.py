"""Checks storyboards that a person has edited. No I/O."""

from collections.abc import Sequence

from shared.contracts.story import CastMember, CastReference, ShotScene, Storyboard
from shared.contracts.story_rules import SceneSeconds, faults_of
from storyboard.cast import as_cast, folded, names_in, with_references
from storyboard.rules import StoryboardInvalid
from storyboard.shots import fitted
from storyboard.text import flat
from storyboard.writer import Written


def as_edited(
    edited: Storyboard, known: Storyboard | None, seconds: SceneSeconds, references: Sequence[CastReference] = ()
) -> Written:
    """Return a storyboard as edited, without repairs.

    `known`: the storyboard before the edit, if there was one. `references`: pictures that the request brings.

    Raises:
        StoryboardInvalid: it violates the rules.
    """
    before = {(scene.description, scene.action, scene.shot) for scene in known.scenes} if known else set()
    shots_before = {scene.shot: scene.cast for scene in known.scenes if scene.shot} if known else {}
    cast = {folded(member.name): _flat(member) for member in edited.cast}
    gone = {folded(member.name) for member in known.cast} - cast.keys() if known else set()
    faults = ["two members of the cast have the same name"] if len(cast) < len(edited.cast) else []
    notes: list[str] = []

    def scene_of(scene: ShotScene) -> ShotScene:
        texts = {name: flat(getattr(scene, name)) for name in ("description", "action", "shot")}
        names, unknown = as_cast(scene, cast, gone)
        faults.extend(f"scene {scene.scene_number} shows {name}, who is not in the cast" for name in unknown)
        # An unchanged shot would show the action from before the edit.
        if texts["shot"] in shots_before and tuple(texts.values()) not in before:
            if names == shots_before[texts["shot"]]:
                names = tuple(dict.fromkeys((*names, *names_in(texts["action"], cast.values()))))
            texts["shot"] = ""
            notes.append(f"scene {scene.scene_number}: its shot showed what happened before the edit")
        return scene.model_copy(update={**texts, "cast": names})

    story = edited.model_copy(
        update={
            "title": flat(edited.title) or "Untitled",
            "overall_prompt": flat(edited.overall_prompt),
            "style": flat(edited.style),
            "cast": tuple(cast.values()),
            "scenes": tuple(scene_of(scene) for scene in edited.scenes),
            "storyboard_id": None,
        }
    )
    faults += [fault.text for fault in faults_of(story, seconds)]
    if faults:
        raise StoryboardInvalid(faults)
    story, added = with_references(story, references)
    story, shortened = fitted(story)
    return Written(story, (*notes, *added, *shortened))


def _flat(member: CastMember) -> CastMember:
    return member.model_copy(update={"name": flat(member.name), "look": flat(member.look)})
