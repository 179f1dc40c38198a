"""A video as the API returns it: JSON, with types for the common fields. Times are in seconds, progress is 0-100."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

TITLE_LENGTH = 60


class Scene(TypedDict):
    """A scene of a video."""

    sceneNumber: int
    description: str
    cameraAngle: str
    duration: float
    action: str
    state: str
    progress: float
    videoUrl: str | None
    firstFrameUrl: str | None


class Video(TypedDict):
    """A video, with its common fields; there are more."""

    videoId: str
    status: str
    isTerminal: bool
    progress: float
    currentStep: str
    awaitingReview: bool
    totalScenes: int
    etaSeconds: int | None
    etaRangeSeconds: list[int] | None
    title: str | None
    prompt: str
    niche: str
    aspectRatio: str
    duration: int | None
    storyScript: str
    scenes: list[Scene]
    videoUrl: str | None
    errorMessage: str | None
    notice: str | None
    costUsd: str
    estimatedCostUsd: str
    remainingCostUsd: str
    quality: str
    lastSeq: int


@dataclass(frozen=True)
class VideoEvent:
    """An event of a video. Ephemeral progress events have no `seq`."""

    seq: int | None
    type: str
    data: Mapping[str, Any]


def has_ended(video: Video) -> bool:
    """Return whether a video has reached its final state."""
    return video["isTerminal"]


def file_name(video: Video) -> str:
    """Return the file name of a film: its title and the beginning of its id."""
    plain = unicodedata.normalize("NFKC", video["title"] or "film").lower()
    title = re.sub(r"\W+", "-", plain)[:TITLE_LENGTH].strip("-_")
    return f"{title or 'film'}-{video['videoId'][:8]}.mp4"
