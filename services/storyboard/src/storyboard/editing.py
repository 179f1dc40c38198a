"""Checks storyboards that a person has edited. No I/O."""

from shared.contracts.story import ShotScene, Storyboard
from shared.contracts.story_rules import SceneSeconds, faults_of
from storyboard.rules import StoryboardInvalid
from storyboard.shots import LONGEST_BIBLE
from storyboard.text import cut_units, flat
from storyboard.writer import Written


def as_edited(edited: Storyboard, known: Storyboard | None, seconds: SceneSeconds) -> Written:
    """Return a storyboard as edited, without repairs. `known`: the storyboard before the edit, if there was one.

    Raises:
        StoryboardInvalid: it violates the rules.
    """
    before = {(scene.description, scene.action, scene.shot) for scene in known.scenes} if known else set()
    shots_before = {shot for _, _, shot in before if shot}
    notes: list[str] = []

    def scene_of(scene: ShotScene) -> ShotScene:
        texts = {name: flat(getattr(scene, name)) for name in ("description", "action", "shot")}
        # An unchanged shot would show the action from before the edit.
        if texts["shot"] in shots_before and tuple(texts.values()) not in before:
            texts["shot"] = ""
            notes.append(f"scene {scene.scene_number}: its shot showed what happened before the edit")
        return scene.model_copy(update=texts)

    story = edited.model_copy(
        update={
            "title": flat(edited.title) or "Untitled",
            "overall_prompt": flat(edited.overall_prompt),
            "style": cut_units(flat(edited.style), LONGEST_BIBLE),
            "scenes": tuple(scene_of(scene) for scene in edited.scenes),
            "storyboard_id": None,
        }
    )
    if faults := faults_of(story, seconds):
        raise StoryboardInvalid([fault.text for fault in faults])
    return Written(story, tuple(notes))
