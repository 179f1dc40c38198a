"""A story and its scenes, in the formats of the existing application."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, JsonValue, StringConstraints, ValidationError
from pydantic_core import PydanticCustomError, to_json

from shared.contracts.base import Contract
from shared.contracts.media import MediaReference
from shared.contracts.text import forbidden_in, is_blank

CameraAngle = Literal["wide", "medium", "close-up", "overhead", "pov"]
Transition = Literal["cut", "fade", "dissolve", "wipe"]
Priority = Literal["interactive", "batch"]
Quality = Literal["draft", "standard", "premium"]
"""`draft`: drawn by the free renderer. `standard`: cheap models. `premium`: the best model for the key moments."""
ClipSound = Literal["keep", "lower", "drop"]
"""What becomes of the sound that a model makes with a clip."""
CastKind = Literal["character", "place", "prop"]


def _text(value: str) -> str:
    """Refuse control characters other than line breaks and tabs, and unpaired surrogates."""
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
"""Data of the caller that is stored with the video."""

DEFAULT_NICHE = "general"
DEFAULT_OWNER = "anonymous"


class Belonging(Contract):
    """The owner of a video and the post it is for; None if the sender does not know."""

    owner: Owner | None = None
    post_id: PostId | None = None

    @classmethod
    def read(cls, value: object) -> "Belonging":
        """Read the valid ones of these two fields from any JSON value, and ignore the rest."""
        fields = {key: value[key] for key in ("owner", "postId") if key in value} if isinstance(value, dict) else {}
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            wrong = {fault["loc"][0] for fault in error.errors()}
            return cls.model_validate({key: field for key, field in fields.items() if key not in wrong})


class Scene(Contract):
    """One scene of a story. `duration` is in seconds; `transition` leads to the next scene."""

    scene_number: SceneNumber
    description: str
    camera_angle: CameraAngle
    duration: Annotated[float, Field(gt=0, le=60)]
    action: str
    transition: Transition


class VideoStory(Contract):
    """A complete story. `total_duration` is in seconds and is the sum of its scenes' durations."""

    title: str
    niche: Niche
    overall_prompt: str
    total_duration: Annotated[float, Field(gt=0, le=60)]
    scenes: Annotated[tuple[Scene, ...], Field(min_length=1, max_length=5)]


CastName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=40),
    AfterValidator(_text),
    AfterValidator(_visible),
]


class CastReference(Contract):
    """A picture that a request brings for a person, place or thing with this name."""

    name: CastName
    image: MediaReference


class CastMember(Contract):
    """A character, place or prop with the same look in every scene. `image`: a picture that the request brought."""

    name: CastName
    kind: CastKind = "character"
    look: Annotated[Text, Field(max_length=300)] = ""
    image: MediaReference | None = None

    @property
    def is_pictured(self) -> bool:
        """Whether it has a reference picture, or gets one. Props are described only, unless the request shows them."""
        return self.image is not None or (self.kind == "character" and bool(self.look))

    @property
    def needs_picture(self) -> bool:
        """Whether its reference picture has to be made."""
        return self.is_pictured and self.image is None


class ShotDetails(Contract):
    """What a shot shows apart from its text.

    `cast` are the names of those in the picture. `image`: its own first frame. `clip`: its own clip, which replaces the
    rendering.
    """

    cast: Annotated[tuple[CastName, ...], Field(max_length=6)] = ()
    key_moment: bool = False
    image: MediaReference | None = None
    clip: MediaReference | None = None


class ShotScene(Scene, ShotDetails):
    """A scene with its shot, the prompt for a video provider. If the shot is empty, the action is the prompt."""

    description: Annotated[Text, Field(max_length=500)]
    action: Annotated[Text, Field(max_length=500)]
    shot: Annotated[Text, Field(max_length=900)] = ""

    @property
    def details(self) -> ShotDetails:
        """What the shot shows apart from its text."""
        return ShotDetails(cast=self.cast, key_moment=self.key_moment, image=self.image, clip=self.clip)


class Storyboard(VideoStory):
    """A story with its shots, which people can edit before it is filmed.

    `style` is repeated in every shot. The looks of the `cast` are repeated where no reference picture shows them.

    `storyboard_id` names the storyboard that this one is an edit of, either a standalone storyboard or that of a video.
    If an edit changes the action of a scene but not its shot, the shot is written again.
    """

    title: Annotated[Text, Field(max_length=200)]
    overall_prompt: Annotated[Text, Field(max_length=4000)]
    total_duration: Annotated[int, Field(ge=15, le=60)]
    scenes: Annotated[tuple[ShotScene, ...], Field(min_length=1, max_length=5)]
    style: Annotated[Text, Field(max_length=560)] = ""
    cast: Annotated[tuple[CastMember, ...], Field(max_length=6)] = ()
    storyboard_id: UUID | None = None

    @property
    def pictured_cast(self) -> tuple[CastMember, ...]:
        """Those of the cast who have, or get, a reference picture: a scene without own material shows them."""
        own = [scene for scene in self.scenes if scene.clip is None and scene.image is None]
        shown = {name for scene in own for name in scene.cast}
        return tuple(member for member in self.cast if member.is_pictured and member.name in shown)
