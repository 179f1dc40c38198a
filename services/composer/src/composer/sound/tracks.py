"""The tracks of a film's sound: when each is heard, and how loud."""

from typing import Annotated, Literal

from pydantic import Field

from shared.contracts.base import Contract

TrackKind = Literal["clip", "narration", "music"]
Frames = Annotated[int, Field(ge=0)]


class Track(Contract):
    """A sound that is `frames` frames long and begins with frame `begin` of the film.

    It may begin before the film or end after it. It is faded linearly in and out; `gain_db` is in dB. It is quieter
    while a sound of a kind in `ducked_by` is heard.
    """

    kind: TrackKind = "clip"
    begin: int
    frames: Annotated[int, Field(gt=0)]
    fade_in: Frames = 0
    fade_out: Frames = 0
    gain_db: float = 0.0
    ducked_by: tuple[TrackKind, ...] = ()
