"""How a scene is put to a provider: its words and its shape. Rules; what each provider's own pages advise."""

from collections.abc import Mapping

from shared.contracts.events import SceneRequested
from shared.contracts.story import AspectRatio, CameraAngle

PHRASES: Mapping[CameraAngle, str] = {
    "wide": "Wide establishing shot, full environment visible.",
    "medium": "Medium shot, subject from the waist up.",
    "close-up": "Close-up shot, subject fills the frame, shallow depth of field.",
    "overhead": "Overhead top-down shot looking straight down.",
    "pov": "First-person point-of-view shot.",
}
LUMA_CONCEPTS: Mapping[CameraAngle, str] = {"medium": "eye_level", "overhead": "overhead", "pov": "pov"}
"""Only those that name a framing: `push_in` and its like are moves."""
RUNWAY_TEXT_RATIOS: Mapping[AspectRatio, str] = {"16:9": "1280:720", "9:16": "720:1280", "1:1": "1280:720"}
"""Runway renders text in two shapes only; a square is cropped out of the wide one."""
RUNWAY_IMAGE_RATIOS: Mapping[AspectRatio, str] = {**RUNWAY_TEXT_RATIOS, "1:1": "960:960"}


def prompt(request: SceneRequested, longest: int) -> str:
    """The scene in words, the camera first, at most `longest` UTF-16 code units, cut between words."""
    text = f"{PHRASES[request.scene.camera_angle]} {request.shot_prompt}".strip()
    while _units(text) > longest:
        shorter = text[: longest - 1 - (_units(text[:longest]) - len(text[:longest]))]
        text = shorter.rpartition(" ")[0] or shorter
    return text


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
