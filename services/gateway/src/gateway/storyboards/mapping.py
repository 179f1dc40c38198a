"""A video's written storyboard as people edit it, and as its price is estimated."""

from shared.contracts.events import StoryboardCreated
from shared.contracts.story import ShotDetails, ShotScene, Storyboard


def storyboard_of(written: StoryboardCreated) -> Storyboard:
    """Return the storyboard of a video."""
    shots = written.shots or [""] * len(written.scenes)
    details = written.details or [ShotDetails()] * len(written.scenes)
    # Not validated: the limits of an edit must not refuse what is filmed already.
    scenes = tuple(
        ShotScene.model_construct(**{**dict(scene), **dict(shown), "shot": shot})
        for scene, shot, shown in zip(written.scenes, shots, details, strict=True)
    )
    return Storyboard.model_construct(
        title=written.title,
        niche=written.niche,
        overall_prompt=written.overall_prompt,
        total_duration=round(written.total_duration),
        scenes=scenes,
        style=written.style,
        cast=written.cast,
        storyboard_id=written.video_id,
    )
