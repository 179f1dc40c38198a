"""The tracks of a film's sound."""

from typing import Annotated, Literal

from pydantic import Field

from shared.contracts.story import Contract

TrackKind = Literal["clip", "narration", "music"]


class Track(Contract):
    """A timed sound. All numbers are frames of the film."""

    kind: TrackKind = "clip"
    begin: int
    frames: Annotated[int, Field(gt=0)]
    fade_in: Annotated[int, Field(ge=0)] = 0
    fade_out: Annotated[int, Field(ge=0)] = 0
    gain_db: float = 0.0
    ducked_by: tuple[TrackKind, ...] = ()
