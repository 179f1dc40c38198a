"""The parts of a film that are made before it is joined, each as soon as its clips exist. Rules without I/O.

A part names all that it is made from, so that any replica can make it, in any order, and again.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from composer.film.plan import Rules, ScenePlan, plan_parts, plan_scene
from composer.film.segments import Encoded, Frame, Frames
from composer.sound.tracks import Track
from shared.contracts.base import Contract
from shared.contracts.media import Clip, MediaReference
from shared.contracts.timeline import Slot, total_frames

LOWERED_DB = -12.0
"""The gain of clips whose sound is lowered."""


class EncodedPart(Contract):
    """Frames that are encoded anew, of `width` x `height` pixels."""

    kind: Literal["encoded"] = "encoded"
    encoded: Encoded
    width: Frames
    height: Frames

    @property
    def media(self) -> Mapping[int, MediaReference]:
        """Return the clips it is made from, by scene number."""
        # The neighbours are of the same clips.
        return {excerpt.scene_number: excerpt.media for excerpt in self.encoded.excerpts}


class PlacedSound(Contract):
    """The place of a clip's sound in the film."""

    track: Track
    media: MediaReference


class SoundPart(Contract):
    """The sound of the whole film."""

    kind: Literal["sound"] = "sound"
    sounds: tuple[PlacedSound, ...]
    frames: Frames


class ThumbnailPart(Contract):
    """A typical frame of the first scene, from frame `first` of its clip to frame `end`."""

    kind: Literal["thumbnail"] = "thumbnail"
    media: MediaReference
    first: Frame
    end: Frames


Part = Annotated[EncodedPart | SoundPart | ThumbnailPart, Field(discriminator="kind")]
PARTS: TypeAdapter[Part] = TypeAdapter(Part)


def key_of(part: Part) -> str:
    """Return a hash of all that a part is made from, in hex."""
    return hashlib.sha256(part.model_dump_json().encode()).hexdigest()


def wanted_parts(slots: Sequence[Slot], clips: Mapping[int, Clip], size: tuple[int, int], rules: Rules) -> list[Part]:
    """Return the parts of a film that can be made from the clips that exist so far, by scene number.

    Raises:
        ClipTooShort: a clip is more than `LONGEST_FREEZE_FRAMES` too short.
    """
    parts: list[Part] = [encoded_part(encoded, size) for encoded in plan_parts(slots, clips, rules)]
    if first := clips.get(1):
        parts.append(thumbnail_part(slots[0], first))
    if all(slot.scene.scene_number in clips for slot in slots):
        parts.append(sound_part(slots, clips, rules))
    return parts


def encoded_part(encoded: Encoded, size: tuple[int, int]) -> EncodedPart:
    """Return the part that makes these frames."""
    return EncodedPart(encoded=encoded, width=size[0], height=size[1])


def sound_part(slots: Sequence[Slot], clips: Mapping[int, Clip], rules: Rules) -> SoundPart:
    """Return the part that makes the sound of the film."""
    plans = [plan_scene(slot, clips[slot.scene.scene_number], rules) for slot in slots]
    sounds = tuple(sound for plan in plans for sound in placed_sounds(plan, rules))
    return SoundPart(sounds=sounds, frames=total_frames(slots))


def placed_sounds(plan: ScenePlan, rules: Rules) -> tuple[PlacedSound, ...]:
    """Place the sound of a clip under its picture; it is faded where another clip overlaps. Empty: it is not heard."""
    if rules.clip_sound == "drop" or not plan.clip.has_audio:
        return ()
    slot = plan.slot
    track = Track(
        kind="clip",
        begin=slot.start + plan.held,
        frames=slot.clip_frames - plan.held,
        fade_in=0 if plan.held else slot.lead,
        fade_out=slot.overlap,
        gain_db=LOWERED_DB if rules.clip_sound == "lower" else 0.0,
    )
    return (PlacedSound(track=track, media=plan.clip.media),)


def thumbnail_part(slot: Slot, clip: Clip) -> ThumbnailPart:
    """Return the part that takes a picture of the second half of the first scene, before its transition."""
    end = min(slot.frames, clip.frames)
    return ThumbnailPart(media=clip.media, first=end // 2, end=end)
