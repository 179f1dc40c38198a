"""What is published about the origin of a film: in its signed manifest, and in its receipt."""

import hashlib
from collections.abc import Iterable, Sequence

from shared.contracts.events import StoryboardCreated

SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
"""The vocabulary of the IPTC that C2PA 2 refers to."""
TRAINED, ALGORITHMIC = "trainedAlgorithmicMedia", "algorithmicMedia"
DRAWN_BY_RULES = "animatic"
"""The provider whose pictures come from rules, without a trained model."""


def source_type(providers: Iterable[str | None]) -> str:
    """Return the digital source type of a film: whether any of its scenes' pictures come from a trained model."""
    by_rules = all(provider == DRAWN_BY_RULES for provider in providers)
    return SOURCE_TYPES + (ALGORITHMIC if by_rules else TRAINED)


def prompt_hashes(storyboard: StoryboardCreated) -> Sequence[str]:
    """Return the SHA-256 of each scene's prompt in UTF-8, in hex: its text is not published."""
    shots = storyboard.shots or ("",) * len(storyboard.scenes)
    prompts = [shot or scene.action for shot, scene in zip(shots, storyboard.scenes, strict=False)]
    return [hashlib.sha256(prompt.encode()).hexdigest() for prompt in prompts]
