"""Which pieces of a stream can be made. Rules without I/O; all numbers are frames.

A piece is one scene with the transition before it: it needs no clip of a later scene. Pieces follow each other in the
film, so that they can be watched while later scenes are rendered.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

from pydantic import Field

from composer.film.parts import PlacedSound, encoded_part, key_of, placed_sounds
from composer.film.plan import Rules, plan_pieces, plan_scene
from composer.film.segments import Copied, Encoded, Frames
from shared.contracts.base import Contract
from shared.contracts.media import FRAME_RATE, Clip, MediaReference
from shared.contracts.story import SceneNumber
from shared.contracts.timeline import Slot


class StreamPart(Contract):
    """A piece of a stream, by all that it is made from. `encoded`: the media of the encoded segments, by their keys.

    `longest_frames`: see `StreamExtended`.
    """

    number: SceneNumber
    count: Annotated[int, Field(gt=0)]
    segments: tuple[Copied | Encoded, ...]
    encoded: dict[str, MediaReference]
    sounds: tuple[PlacedSound, ...]
    longest_frames: Frames

    @property
    def frames(self) -> int:
        """Return its length."""
        return sum(segment.frames for segment in self.segments)

    @property
    def key(self) -> str:
        """Return a hash of what is seen and heard in it, in hex."""
        return hashlib.sha256(self.model_dump_json(exclude={"encoded"}).encode()).hexdigest()


def stream_parts(
    slots: Sequence[Slot],
    clips: Mapping[int, Clip],
    made: Mapping[str, MediaReference],
    size: tuple[int, int],
    rules: Rules,
) -> Iterator[StreamPart]:
    """Yield the pieces that can be made from the clips and the `made` parts of a film, by their keys.

    Raises:
        ClipTooShort: see `plan_scene`.
    """
    # A piece may begin a little before its scene, where the clip of the scene before can be cut.
    longest = max(slot.frames for slot in slots) + FRAME_RATE
    sounds: list[PlacedSound] = []
    begin = 0
    for slot, segments in zip(slots, plan_pieces(slots, clips, rules), strict=False):
        plan = plan_scene(slot, clips[slot.scene.scene_number], rules)
        sounds += placed_sounds(plan, rules)
        end = begin + sum(segment.frames for segment in segments)
        encoded = {one.key: made.get(key_of(encoded_part(one, size))) for one in segments if isinstance(one, Encoded)}
        if all(encoded.values()):
            yield StreamPart(
                number=slot.scene.scene_number,
                count=len(slots),
                segments=tuple(segments),
                encoded=encoded,
                sounds=tuple(_heard(sounds, begin, end)),
                longest_frames=longest,
            )
        begin = end


def _heard(sounds: Sequence[PlacedSound], begin: int, end: int) -> Iterator[PlacedSound]:
    """Yield the sounds between two frames of the film, with their times from the first of them."""
    for sound in sounds:
        track = sound.track
        if track.begin < end and track.begin + track.frames > begin:
            yield sound.model_copy(update={"track": track.model_copy(update={"begin": track.begin - begin})})
