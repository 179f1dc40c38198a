"""The draft of a storyboard by a language model: parsed leniently, checked by the linter."""

import re
from typing import Annotated, get_args

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import ModelSchema, WithDefaultSchema

from shared.contracts.base import Contract
from shared.contracts.story import CameraAngle, CastKind, Transition, VideoStory
from storyboard.text import flat

BEATS = ("beginning", "middle", "turn", "end")
BEATS_OF = {
    1: ("beginning",),
    2: ("beginning", "end"),
    3: ("beginning", "turn", "end"),
    4: ("beginning", "middle", "turn", "end"),
    5: ("beginning", "middle", "turn", "middle", "end"),
}
"""The beat of each scene, by the number of scenes."""


NOTHING = {"null", "none", "undefined", "nan", "n/a"}
"""Placeholders for missing values."""
DURATION = re.compile(
    r"(?P<minutes>\d+):(?P<rest>\d+(?:\.\d+)?)|(?P<number>\d+(?:[.,]\d+)?)\s*(?P<unit>[a-z]*)", re.IGNORECASE
)


def _text(value: object) -> str:
    text = flat(str(value)) if isinstance(value, str | int | float) else ""
    return "" if text.lower() in NOTHING else text


def _seconds(value: object) -> float:
    """Return the seconds in a number or a text such as `10 seconds`, `0:05`, `5s` or `1 min`; 0 if there are none."""
    if isinstance(value, int | float):
        seconds = float(value)
    elif isinstance(value, str) and (found := DURATION.search(value)):
        seconds = _read_seconds(found)
    else:
        return 0.0
    return seconds if 0 < seconds < float("inf") else 0.0


def _read_seconds(found: re.Match[str]) -> float:
    if found["minutes"]:
        return float(found["minutes"]) * 60 + float(found["rest"])
    number = float(found["number"].replace(",", "."))
    unit = (found["unit"] or "s").lower()
    return number / 1000 if unit in ("ms", "msec") else number * 60 if unit.startswith("m") else number


def _list(value: object) -> object:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _object(value: object) -> object:
    return value if isinstance(value, dict) else {}


def _names(value: object) -> object:
    """Return the names in a list of names or members, or in a text such as `Mara, Otto`; None if there is neither."""
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list):
        return None
    names = (_text(item.get("name") if isinstance(item, dict) else item) for item in value)
    return [name for name in names if name]


def _flag(value: object) -> bool:
    return value is True or str(value).lower() in ("true", "yes", "1")


Text = Annotated[str, BeforeValidator(_text)]
# The schema lists the values, but any text is accepted, because the linter can repair it.
Angle = Annotated[Text, WithJsonSchema({"type": "string", "enum": list(get_args(CameraAngle))})]
Join = Annotated[Text, WithJsonSchema({"type": "string", "enum": list(get_args(Transition))})]
Beat = Annotated[Text, WithJsonSchema({"type": "string", "enum": list(BEATS)})]
Kind = Annotated[Text, WithJsonSchema({"type": "string", "enum": list(get_args(CastKind))})]
Seconds = Annotated[float, BeforeValidator(_seconds), WithJsonSchema({"type": "number"})]
Names = Annotated[
    tuple[Text, ...] | None,
    BeforeValidator(_names),
    WithJsonSchema({"type": "array", "items": {"type": "string"}}),
]
Flag = Annotated[bool, BeforeValidator(_flag), WithJsonSchema({"type": "boolean"})]


class _Lenient(Contract):
    # The schema requires every field, but the parser accepts drafts without them.
    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


class DraftMember(_Lenient):
    """A member of the cast, with the same look in every scene."""

    name: Text = ""
    kind: Kind = ""
    look: Annotated[Text, Field(description="Of a character: age, build, hair, clothes with colours; in English")] = ""


class StyleBible(_Lenient):
    """What every shot has in common, in English, so that scenes rendered apart look like one film."""

    place: Text = ""
    palette: Annotated[Text, Field(description="Three to five colours")] = ""
    lens: Annotated[Text, Field(description="Focal length and film look")] = ""
    light: Text = ""


class DraftScene(_Lenient):
    """One scene. `transition` leads to the next one."""

    beat: Annotated[Beat, Field(description="The part this scene plays in the story")] = ""
    description: Annotated[Text, Field(description="What the scene is about, in the language of the prompt")] = ""
    action: Annotated[Text, Field(description="What is seen to happen, in the language of the prompt")] = ""
    shot: Annotated[Text, Field(description="The picture for the video generator, in English, without angle")] = ""
    camera_angle: Angle = ""
    duration: Annotated[Seconds, Field(description="Seconds")] = 0.0
    transition: Join = ""
    cast: Annotated[Names, Field(description="The names of those of the cast who are in the picture")] = None
    """None: the model did not say."""
    key_moment: Annotated[Flag, Field(description="Whether it is the scene that people remember")] = False


class Draft(_Lenient):
    """A whole storyboard."""

    refusal: Annotated[Text, Field(description="Empty; or why you will not write this story")] = ""
    title: Text = ""
    style: Annotated[StyleBible, BeforeValidator(_object)] = StyleBible()
    cast: Annotated[tuple[DraftMember, ...], BeforeValidator(_list)] = ()
    scenes: Annotated[tuple[DraftScene, ...], BeforeValidator(_list)] = ()

    @model_validator(mode="before")
    @classmethod
    def _find_cast(cls, value: object) -> object:
        """Also find the cast where models have it that know other formats: in the style bible, as characters."""
        if not isinstance(value, dict) or isinstance(value.get("cast"), list):
            return value
        style = value.get("style")
        places = (value, style) if isinstance(style, dict) else (value,)
        lists = (place.get(key) for place in places for key in ("cast", "characters"))
        return {**value, "cast": next((found for found in lists if isinstance(found, list)), [])}

    @classmethod
    def of(cls, story: VideoStory) -> "Draft":
        """Return a finished story as a draft without a style bible, for the linter."""
        beats = BEATS_OF[len(story.scenes)]
        scenes = [{**scene.model_dump(), "beat": beat} for scene, beat in zip(story.scenes, beats, strict=True)]
        return cls.model_validate({"title": story.title, "scenes": scenes})

    def everything(self) -> str:
        """Return all of its text."""
        style = self.style
        words = [self.refusal, self.title, style.place, style.palette, style.lens, style.light]
        words += [word for member in self.cast for word in (member.name, member.look)]
        words += [word for scene in self.scenes for word in (scene.description, scene.action, scene.shot)]
        return " ".join(words)

    def texts(self) -> list[str]:
        """Return the text that people read."""
        return [self.title, *(text for scene in self.scenes for text in (scene.description, scene.action))]


class _Strict(GenerateJsonSchema):
    """A schema without defaults and additional fields, as strict endpoints require it."""

    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        return {**super().model_schema(schema), "additionalProperties": False}

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


DRAFT_SCHEMA = Draft.model_json_schema(mode="serialization", schema_generator=_Strict)
"""The JSON schema of the answer."""
