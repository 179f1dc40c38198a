"""Builds prompts and aspect ratios for the providers, as their own documentation advises."""

from collections.abc import Mapping

from shared.contracts.base import AspectRatio
from shared.contracts.events import SceneRequested
from shared.contracts.story import CameraAngle

PHRASES: Mapping[CameraAngle, str] = {
    "wide": "Wide establishing shot, full environment visible.",
    "medium": "Medium shot, subject from the waist up.",
    "close-up": "Close-up shot, subject fills the frame, shallow depth of field.",
    "overhead": "Overhead top-down shot looking straight down.",
    "pov": "First-person point-of-view shot.",
}
LUMA_CONCEPTS: Mapping[CameraAngle, str] = {"medium": "eye_level", "overhead": "overhead", "pov": "pov"}
"""Only concepts that name a framing, not camera moves such as `push_in`."""
RUNWAY_TEXT_RATIOS: Mapping[AspectRatio, str] = {"16:9": "1280:720", "9:16": "720:1280", "1:1": "1280:720"}
"""From text, Runway renders two ratios only; a square film is cropped from the wide one."""
RUNWAY_IMAGE_RATIOS: Mapping[AspectRatio, str] = {**RUNWAY_TEXT_RATIOS, "1:1": "960:960"}


def prompt(request: SceneRequested, longest: int) -> str:
    """Return the prompt of a scene, camera first, cut between words to at most `longest` UTF-16 code units."""
    text = f"{PHRASES[request.scene.camera_angle]} {request.shot_prompt}".strip()
    while _units(text) > longest:
        shorter = text[: longest - 1 - (_units(text[:longest]) - len(text[:longest]))]
        text = shorter.rpartition(" ")[0] or shorter
    return text


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
