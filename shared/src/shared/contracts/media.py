"""The media that events refer to, and the format that all clips of a film share."""

from typing import Annotated

from pydantic import Field

from shared.contracts.base import AspectRatio, Contract

FRAME_RATE = 24
"""Frames per second of every clip and film."""

LONGEST_FREEZE_FRAMES = round(0.75 * FRAME_RATE)
"""How many frames a clip may be too short by: its last frame is repeated, at most for the longest transition."""

FRAME_SIZE: dict[AspectRatio, tuple[int, int]] = {"16:9": (1280, 720), "9:16": (720, 1280), "1:1": (960, 960)}
"""Width and height in pixels of a film, by its aspect ratio."""


class MediaReference(Contract):
    """A stored object. `key` is its key in our storage, never a link; `size` is in bytes, `sha256` in hex."""

    key: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,500}$")]
    content_type: str
    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class CutPoints(Contract):
    """Where the encoded picture of a clip can be cut without encoding it again. Frames are counted from 0.

    A copied run starts at one of the `idr_frames` and ends before one of the `clean_ends`: the first k packets of the
    clip are exactly its first k frames. `parameter_sets` identifies the SPS and PPS, `parameter_set_id` is their number
    in the stream: clips with the same number can be copied into one film only if their sets are the same.
    """

    parameter_set_id: Annotated[int, Field(ge=0, le=31)]
    parameter_sets: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    idr_frames: tuple[Annotated[int, Field(ge=0)], ...]
    clean_ends: tuple[Annotated[int, Field(gt=0)], ...]


class Clip(Contract):
    """A rendered scene in the film's format: H.264, `FRAME_RATE` frames per second, `width` x `height` pixels.

    `cut_points`: None if its picture cannot be copied into a film and has to be encoded again.
    """

    media: MediaReference
    width: Annotated[int, Field(gt=0)]
    height: Annotated[int, Field(gt=0)]
    frames: Annotated[int, Field(gt=0)]
    has_audio: bool
    cut_points: CutPoints | None = None


class StreamSegment(Contract):
    """A part of an HLS stream that begins with an IDR picture. `frames` is its length."""

    media: MediaReference
    frames: Annotated[int, Field(gt=0)]


class ScrubSheet(Contract):
    """The layout of a picture with small pictures of a film, row by row: one for each `seconds` seconds.

    Each is `width` x `height` pixels; there are `columns` of them in a row, and `count` in all.
    """

    columns: Annotated[int, Field(gt=0, le=100)]
    count: Annotated[int, Field(gt=0, le=1000)]
    width: Annotated[int, Field(gt=0)]
    height: Annotated[int, Field(gt=0)]
    seconds: Annotated[int, Field(gt=0)]


VIDEOS_PREFIX = "videos/"
"""Key prefix of all stored media of videos; the video's id follows."""
FILM_NAME = "film.mp4"
THUMBNAIL_NAME = "thumbnail.jpg"
FILM_PARTS = "film-parts"
CLIP_NAME = "scene-"
"""Prefix of clip names."""
PREVIEWS_NAME = "previews"
"""The folder of the pictures of a film."""
UPLOADS_PREFIX = "uploads/"
"""Key prefix of the files that people uploaded."""
PICTURES_NAME = "pictures"
"""The folder of a video's reference pictures and first frames."""
STREAM_NAME = "stream"
"""The folder of a video's HLS stream."""


def media_prefix(video_id: object) -> str:
    """Return the key prefix of all stored media of a video."""
    return f"{VIDEOS_PREFIX}{video_id}/"


def clip_key(video_id: object, scene_number: int, attempt_number: int) -> str:
    """Return the key of the clip that an attempt at a scene rendered.

    The key is derived, so that a rerun overwrites its own clip and never the clip of another attempt.
    """
    return f"{clip_prefix(video_id)}{scene_number}-{attempt_number}.mp4"


def clip_prefix(video_id: object) -> str:
    """Return the key prefix of all clips of a video."""
    return f"{media_prefix(video_id)}{CLIP_NAME}"


def reference_key(video_id: object, member: int, attempt_number: int) -> str:
    """Return the key of the reference picture that an attempt made for a member of the cast."""
    return f"{pictures_prefix(video_id)}cast-{member}-{attempt_number}.jpg"


def first_frame_key(video_id: object, scene_number: int, attempt_number: int) -> str:
    """Return the key of the first frame that an attempt at a scene made."""
    return f"{pictures_prefix(video_id)}frame-{scene_number}-{attempt_number}.jpg"


def pictures_prefix(video_id: object) -> str:
    """Return the key prefix of the reference pictures and first frames of a video."""
    return f"{media_prefix(video_id)}{PICTURES_NAME}/"


def upload_key(upload_id: object, suffix: str) -> str:
    """Return the key of a file that a person uploaded."""
    return f"{UPLOADS_PREFIX}{upload_id}{suffix}"


def film_key(video_id: object) -> str:
    """Return the key of a video's finished film."""
    return f"{media_prefix(video_id)}{FILM_NAME}"


def thumbnail_key(video_id: object) -> str:
    """Return the key of a video's thumbnail."""
    return f"{media_prefix(video_id)}{THUMBNAIL_NAME}"


def film_part_key(video_id: object, part: str, suffix: str) -> str:
    """Return the key of a part of a film that is made before the film; `part` identifies it."""
    return f"{film_parts_prefix(video_id)}{part}{suffix}"


def film_parts_prefix(video_id: object) -> str:
    """Return the key prefix of all parts of a video's film."""
    return f"{media_prefix(video_id)}{FILM_PARTS}/"


def stream_prefix(video_id: object) -> str:
    """Return the key prefix of the HLS stream of a video."""
    return f"{media_prefix(video_id)}{STREAM_NAME}/"


def stream_key(video_id: object, piece_number: int, name: str) -> str:
    """Return the key of a file of a piece of the stream: `init`, or the number of a segment."""
    return f"{stream_prefix(video_id)}{piece_number}-{name}.mp4"


def previews_prefix(video_id: object) -> str:
    """Return the key prefix of the pictures of a film."""
    return f"{media_prefix(video_id)}{PREVIEWS_NAME}/"


def preview_key(video_id: object, name: str) -> str:
    """Return the key of a picture of a film."""
    return f"{previews_prefix(video_id)}{name}"
