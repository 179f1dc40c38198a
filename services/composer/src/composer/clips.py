"""The clips a film is made of: checked against their slots before anything is encoded."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.contracts.media import FRAME_RATE
from shared.contracts.timeline import Slot
from shared.errors import StepFailed
from shared.probe import MediaUnreadable, probe

LONGEST_FREEZE = FRAME_RATE // 2
"""Frames a clip may lack at its end: its last one stands still for them."""


class ClipTooShort(StepFailed):
    """A clip lacks more at its end than a frozen frame can hide."""

    def __init__(self, scene_number: int, frames: int, wanted: int) -> None:
        super().__init__("clip_too_short", f"The clip of scene {scene_number} has {frames} of {wanted} frames.")
        self.scene_number = scene_number
        self.frames = frames
        self.wanted = wanted


class ClipUnusable(StepFailed):
    """A clip's file is not what was announced."""

    def __init__(self, scene_number: int, reason: str) -> None:
        super().__init__("clip_unusable", f"The clip of scene {scene_number} cannot be used: {reason}.")
        self.scene_number = scene_number


@dataclass(frozen=True)
class ClipFile:
    """A local clip and what was announced of it."""

    path: Path
    frames: int
    has_audio: bool


async def check_clips(slots: Sequence[Slot], clips: Sequence[ClipFile], size: tuple[int, int]) -> None:
    """Make sure that every clip holds what was announced, fits the film, and is long enough for its slot.

    Raises:
        ClipTooShort: one lacks more than `LONGEST_FREEZE` frames.
        ClipUnusable: one cannot be read, or holds something else than was announced.
    """
    for slot, clip in zip(slots, clips, strict=True):
        number = slot.scene.scene_number
        try:
            facts = await probe(clip.path)
        except MediaUnreadable as error:
            raise ClipUnusable(number, error.reason) from error
        got = ((facts.width, facts.height), facts.frames, facts.audio_codec is not None)
        announced = (size, clip.frames, clip.has_audio)
        if got != announced:
            raise ClipUnusable(number, f"(size, frames, audio) are {got}, not {announced}")
        if clip.frames < slot.clip_frames - LONGEST_FREEZE:
            raise ClipTooShort(number, clip.frames, slot.clip_frames)
