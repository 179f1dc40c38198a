"""A story and its scenes, in the shapes the existing application knows."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError, to_json

from shared.contracts.text import forbidden_in, is_blank

CameraAngle = Literal["wide", "medium", "close-up", "overhead", "pov"]
Transition = Literal["cut", "fade", "dissolve", "wipe"]
AspectRatio = Literal["16:9", "9:16", "1:1"]
Priority = Literal["interactive", "batch"]


def _text(value: str) -> str:
    """Refuse control characters but line breaks and tabs, and halves of surrogate pairs."""
    if forbidden := forbidden_in(value):
        text = "holds the character {character}, which no text takes: remove it"
        raise PydanticCustomError("forbidden_character", text, {"character": forbidden})
    return value


def _visible(value: str) -> str:
    if is_blank(value):
        raise PydanticCustomError("invisible", "holds only invisible characters: write at least one that can be seen")
    return value


Text = Annotated[str, AfterValidator(_text)]
Prompt = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=4000),
    AfterValidator(_text),
    AfterValidator(_visible),
]
Niche = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(_text),
    AfterValidator(_visible),
]
Owner = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255), AfterValidator(_text)]
PostId = Annotated[str, Field(max_length=255)]
SceneNumber = Annotated[int, Field(ge=1, le=5)]

LARGEST_METADATA = 16_384


def _small(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if len(to_json(value)) > LARGEST_METADATA:
        raise ValueError(f"must be at most {LARGEST_METADATA} bytes of JSON")
    if _holds_nul(value):
        text = "holds the character {character}, which no database takes: remove it"
        raise PydanticCustomError("forbidden_character", text, {"character": "U+0000"})
    return value


def _holds_nul(value: JsonValue) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any("\0" in key or _holds_nul(part) for key, part in value.items())
    return isinstance(value, list) and any(map(_holds_nul, value))


Metadata = Annotated[dict[str, JsonValue], AfterValidator(_small)]
"""Whatever the asker wants to be kept with the video."""

DEFAULT_NICHE = "general"
DEFAULT_OWNER = "anonymous"


class Contract(BaseModel):
    """A value on the wire: frozen, camelCase names, unknown fields passed over so that old and new speak together."""

    model_config = ConfigDict(
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        extra="ignore",
        allow_inf_nan=False,
    )


class Belonging(Contract):
    """Whose a video is, and the post it is for; None: whoever says this does not know."""

    owner: Owner | None = None
    post_id: PostId | None = None

    @classmethod
    def read(cls, value: object) -> "Belonging":
        """What can be read of it in whatever was sent, without its other fields."""
        told = {key: value[key] for key in ("owner", "postId") if key in value} if isinstance(value, dict) else {}
        try:
            return cls.model_validate(told)
        except ValidationError as error:
            wrong = {fault["loc"][0] for fault in error.errors()}
            return cls.model_validate({key: known for key, known in told.items() if key not in wrong})


class Scene(Contract):
    """One scene of a story. `duration` is in seconds; `transition` leads to the next scene."""

    scene_number: SceneNumber
    description: str
    camera_angle: CameraAngle
    duration: Annotated[float, Field(gt=0, le=60)]
    action: str
    transition: Transition


class VideoStory(Contract):
    """A whole story. `total_duration` is in seconds and is the sum of its scenes' durations."""

    title: str
    niche: Niche
    overall_prompt: str
    total_duration: Annotated[float, Field(gt=0, le=60)]
    scenes: Annotated[tuple[Scene, ...], Field(min_length=1, max_length=5)]


class ShotScene(Scene):
    """A scene with its shot: the picture a video provider is asked for. Empty: the action is the picture."""

    description: Annotated[Text, Field(max_length=500)]
    action: Annotated[Text, Field(max_length=500)]
    shot: Annotated[Text, Field(max_length=900)] = ""


class Storyboard(VideoStory):
    """A story with its shots, as it is filmed and as people edit it. `style` is repeated in every shot.

    `storyboard_id` names the storyboard it was made of, be it one that was asked for alone or that of a video: a shot
    whose action was changed since, and which was not changed itself, is made anew.
    """

    title: Annotated[Text, Field(max_length=200)]
    overall_prompt: Annotated[Text, Field(max_length=4000)]
    total_duration: Annotated[int, Field(ge=15, le=60)]
    scenes: Annotated[tuple[ShotScene, ...], Field(min_length=1, max_length=5)]
    style: Annotated[Text, Field(max_length=560)] = ""
    storyboard_id: UUID | None = None
