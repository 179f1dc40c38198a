"""What is published about the origin of a film: in its signed manifest, and in its receipt."""

import hashlib
from collections.abc import Iterable, Sequence

from shared.contracts.events import StoryboardCreated

SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
"""The vocabulary of the IPTC that C2PA 2 refers to."""
TRAINED, ALGORITHMIC = "trainedAlgorithmicMedia", "algorithmicMedia"
MIXED_TRAINED, MIXED = "compositeWithTrainedAlgorithmicMedia", "composite"
DRAWN_BY_RULES = "animatic"
"""The provider whose pictures come from rules, without a trained model."""


UPLOADED = "upload"
"""The provider of clips that a request brought, whose origin is not known."""


def source_type(providers: Iterable[str | None]) -> str:
    """Return the digital source type of a film: whether a trained model made any of its scenes, or a person brought it.

    Source: the IPTC's vocabulary of digital source types.
    """
    of_scenes = set(providers)
    is_trained = bool(of_scenes - {DRAWN_BY_RULES, UPLOADED})
    if UPLOADED in of_scenes:
        return SOURCE_TYPES + (MIXED_TRAINED if is_trained else MIXED)
    return SOURCE_TYPES + (TRAINED if is_trained else ALGORITHMIC)


def prompt_hashes(storyboard: StoryboardCreated) -> Sequence[str]:
    """Return the SHA-256 of each scene's prompt in UTF-8, in hex: its text is not published."""
    shots = storyboard.shots or ("",) * len(storyboard.scenes)
    prompts = [shot or scene.action for shot, scene in zip(shots, storyboard.scenes, strict=False)]
    return [hashlib.sha256(prompt.encode()).hexdigest() for prompt in prompts]
