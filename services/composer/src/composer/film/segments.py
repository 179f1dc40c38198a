"""The segments of a film: runs of copied frames, and parts that are encoded. All numbers are frames."""

import hashlib
from typing import Annotated

from pydantic import Field

from shared.contracts.base import Contract
from shared.contracts.media import MediaReference
from shared.contracts.story import SceneNumber, Transition

Frame = Annotated[int, Field(ge=0)]
Frames = Annotated[int, Field(gt=0)]


class Copied(Contract):
    """The `frames` packets of a clip from its IDR picture `first` on, in decoding order, as they are."""

    scene_number: SceneNumber
    media: MediaReference
    first: Frame
    frames: Frames


class Excerpt(Contract):
    """The `frames` frames of a clip from `first` on. The last one is shown `freeze` frames longer."""

    scene_number: SceneNumber
    media: MediaReference
    first: Frame
    frames: Frames
    freeze: Frame = 0

    @property
    def length(self) -> int:
        """Return how long it is shown."""
        return self.frames + self.freeze


class Encoded(Contract):
    """Excerpts of one clip, or of two that overlap by the `overlap` frames of a transition, encoded anew.

    `before` and `after`: about a second of what is copied on either side, where it can be decoded without much else.
    """

    excerpts: Annotated[tuple[Excerpt, ...], Field(min_length=1, max_length=2)]
    transition: Transition = "cut"
    overlap: Frame = 0
    before: Copied | None = None
    after: Copied | None = None

    @property
    def frames(self) -> int:
        """Return its length."""
        return sum(excerpt.length for excerpt in self.excerpts) - self.overlap

    @property
    def key(self) -> str:
        """Return a hash of all that it is made from, in hex."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


Segment = Copied | Encoded
