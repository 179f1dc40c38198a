"""The order of a clip from the animatic renderer."""

from typing import Annotated

from pydantic import Field

from shared.contracts.base import AspectRatio, Contract
from shared.contracts.media import MediaReference
from shared.contracts.story import Niche, Scene


class AnimaticOrder(Contract):
    """A clip of `clip_frames` frames. All clips of one `seed` share their look.

    Its first `lead_frames` frames overlap the scene before, its last `tail_frames` frames the scene after.
    """

    scene: Scene
    scene_count: Annotated[int, Field(ge=1, le=5)]
    aspect_ratio: AspectRatio
    niche: Niche
    clip_frames: Annotated[int, Field(gt=0)]
    lead_frames: Annotated[int, Field(ge=0)] = 0
    tail_frames: Annotated[int, Field(ge=0)] = 0
    seed: str
    picture: MediaReference | None = None
    """A picture that the scene brings: it is shown instead of a drawing."""
