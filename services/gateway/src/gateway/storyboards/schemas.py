"""Storyboards as the API takes and shows them: people edit what it shows and send it back."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID, uuid4

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import InitErrorDetails, PydanticCustomError

from gateway.http.idempotency import Key
from gateway.storyboards.errors import StoryboardFaulty
from gateway.uploads.media_ids import NamedMedia, media_id
from shared.contracts.base import AspectRatio
from shared.contracts.events import StoryboardDrafted, StoryboardRequested, VideoRequested
from shared.contracts.media import MediaReference
from shared.contracts.provider_selection import FREE_PROVIDER
from shared.contracts.story import (
    DEFAULT_NICHE,
    CastMember,
    CastName,
    CastReference,
    ClipSound,
    Metadata,
    Niche,
    Prompt,
    Quality,
    ShotScene,
    Storyboard,
)
from shared.contracts.story_rules import Fault

UploadId = Annotated[UUID, Field(description="An upload, or media that the storyboard had before")]


class SceneBody(ShotScene):
    """A scene for editing. `shot` is the prompt for the video provider; empty: the action is used.

    `image` is its own first frame, `clip` its own clip, which replaces the rendering.
    """

    model_config = ConfigDict(extra="forbid")

    image: UploadId | None = None  # type: ignore[assignment]  # an id here, a reference in events
    clip: UploadId | None = None  # type: ignore[assignment]  # the same


class CastBody(CastMember):
    """A member of the cast for editing. `image` is a picture of it; without one, it is made from its look."""

    model_config = ConfigDict(extra="forbid")

    image: UploadId | None = None  # type: ignore[assignment]  # an id here, a reference in events


class StoryboardBody(Storyboard):
    """A storyboard for editing. `style` is repeated in every shot.

    `estimatedCostUsd` and `repairs` are read-only; they are ignored when sent back.
    """

    model_config = ConfigDict(extra="forbid")

    scenes: Annotated[tuple[SceneBody, ...], Field(min_length=1, max_length=5)]
    cast: Annotated[tuple[CastBody, ...], Field(max_length=6)] = ()
    estimated_cost_usd: Decimal | None = Field(None, description="What a video of it is going to cost")
    repairs: tuple[str, ...] = Field((), description="What was changed in what the writer wrote")

    @classmethod
    def of(cls, storyboard: Storyboard, estimate: Decimal, repairs: tuple[str, ...] = ()) -> "StoryboardBody":
        """Show a storyboard."""
        scenes = [
            {**scene.model_dump(), "image": _id_of(scene.image), "clip": _id_of(scene.clip)}
            for scene in storyboard.scenes
        ]
        cast = [{**member.model_dump(), "image": _id_of(member.image)} for member in storyboard.cast]
        shown = {**storyboard.model_dump(), "scenes": scenes, "cast": cast}
        return cls.model_validate({**shown, "estimatedCostUsd": estimate, "repairs": repairs})

    def storyboard(self, media: Mapping[UUID, MediaReference]) -> Storyboard:
        """Return the storyboard to film. `media` has the media that it names."""
        body = self.model_dump()
        for part in (*body["scenes"], *body["cast"]):
            part |= {name: media[part[name]] for name in ("image", "clip") if part.get(name) is not None}
        return Storyboard.model_validate(body)

    def named_media(self) -> list[NamedMedia]:
        """Return the media that it names."""
        named = []
        for n, scene in enumerate(self.scenes):
            place = ("body", "storyboard", "scenes", str(n))
            named += [NamedMedia((*place, "image"), scene.image, "picture")] if scene.image else []
            named += [NamedMedia((*place, "clip"), scene.clip, "clip")] if scene.clip else []
        for n, member in enumerate(self.cast):
            place = ("body", "storyboard", "cast", str(n))
            named += [NamedMedia((*place, "image"), member.image, "picture")] if member.image else []
        return named


def _id_of(media: MediaReference | None) -> UUID | None:
    return None if media is None else media_id(media)


class StoryRequest(BaseModel):
    """A request for a story."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")

    prompt: Prompt = Field(description="What the story is about, in any language")
    niche: Niche = DEFAULT_NICHE
    scene_count: Annotated[int, Field(ge=1, le=5)] = 3
    duration: Annotated[int, Field(ge=15, le=60, description="Seconds")] = 30
    aspect_ratio: AspectRatio = "16:9"


class StoryboardRequest(StoryRequest):
    """A request for a storyboard without a video."""

    storyboard_id: UUID | None = Field(None, description="An id of your own: asking again with it writes no second one")

    def event(self, owner: str, key: Key | None = None) -> StoryboardRequested:
        """Return the request as an event. With an idempotency key, repeats name the same storyboard."""
        body = self.model_dump(exclude={"storyboard_id"})
        storyboard_id = self.storyboard_id or (key.uuid if key else uuid4())
        return StoryboardRequested(video_id=storyboard_id, owner=owner, **body)


MOST_FAULTS = 50
TAKEN = {"prompt": "overallPrompt", "niche": "niche"}
"""What a request takes from its storyboard unless it sets it."""


class ReferenceBody(BaseModel):
    """A picture of a person, place or thing in the story. `image` is an upload."""

    model_config = ConfigDict(extra="forbid")

    name: CastName
    image: UUID


def _named_once(references: tuple[ReferenceBody, ...]) -> tuple[ReferenceBody, ...]:
    names = [reference.name.casefold() for reference in references]
    if len(set(names)) < len(names):
        raise PydanticCustomError("same_name", "each name can have one picture")
    return references


References = Annotated[tuple[ReferenceBody, ...], Field(max_length=6), AfterValidator(_named_once)]


def references_of(given: Sequence[ReferenceBody], media: Mapping[UUID, MediaReference]) -> tuple[CastReference, ...]:
    """Return the references of a request. `media` has the media that they name."""
    return tuple(CastReference(name=one.name, image=media[one.image]) for one in given)


def media_of_references(given: Sequence[ReferenceBody]) -> list[NamedMedia]:
    """Return the media that the references of a request name."""
    return [NamedMedia(("body", "references", str(n), "image"), one.image, "picture") for n, one in enumerate(given)]


def providers_of(quality: Quality) -> tuple[str, ...]:
    """Return the providers that a tier is restricted to; empty: any."""
    return (FREE_PROVIDER,) if quality == "draft" else ()


class VideoRequest(StoryRequest):
    """A request for a video.

    Prompt, niche, number of scenes and duration are those of the storyboard where there is one, unless they are given.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"prompt": "A lighthouse keeper befriends a storm", "sceneCount": 3, "duration": 30},
                {"prompt": "Kopi pagi di warung nenek", "niche": "food", "aspectRatio": "9:16", "review": True},
            ]
        }
    )

    post_id: Annotated[str, Field(max_length=255)] | None = None
    metadata: Metadata = {}
    storyboard: StoryboardBody | None = Field(None, description="What to film instead of what would be written")
    review: bool = Field(
        False, description="Whether it waits for an approval before anything is rendered, and again before its clips"
    )
    quality: Quality = Field("standard", description="`draft` is free, `premium` spends more on the key moments")
    references: References = Field((), description="Pictures of people, places or things of the story")
    clip_sound: ClipSound = Field("keep", description="What becomes of the sound that models make")
    video_id: UUID | None = Field(None, description="An id of your own: asking again with it makes no second video")

    @model_validator(mode="before")
    @classmethod
    def _take_the_storyboard_s(cls, body: Any) -> Any:  # noqa: ANN401 - whatever was sent
        storyboard = body.get("storyboard") if isinstance(body, dict) else None
        if not isinstance(storyboard, dict):
            return body
        return {name: storyboard[other] for name, other in TAKEN.items() if storyboard.get(other)} | body

    @model_validator(mode="wrap")
    @classmethod
    def _tell_each_fault_once(cls, body: Any, validate: ModelWrapValidatorHandler["VideoRequest"]) -> "VideoRequest":  # noqa: ANN401 - whatever was sent
        """Report an invalid prompt or niche of the storyboard once, although the request copies it."""
        try:
            return validate(body)
        except ValidationError as error:
            faults = error.errors(include_url=False)
            wrong = {fault["loc"][:2] for fault in faults}
            again = {(name,) for name, other in TAKEN.items() if ("storyboard", other) in wrong and name not in body}
            if not again:
                raise
            kept = [
                InitErrorDetails(
                    type=PydanticCustomError(fault["type"], "{message}", {"message": fault["msg"]}),
                    loc=fault["loc"],
                    input=fault["input"],
                )
                for fault in faults[: 2 * MOST_FAULTS]
                if fault["loc"] not in again
            ][:MOST_FAULTS]
            raise ValidationError.from_exception_data(cls.__name__, kept) from None

    def named_media(self) -> list[NamedMedia]:
        """Return the media that the request names."""
        return media_of_references(self.references) + (self.storyboard.named_media() if self.storyboard else [])

    def event(self, owner: str, media: Mapping[UUID, MediaReference]) -> VideoRequested:
        """Return the request as an event. `media` has the media that it names.

        Raises:
            StoryboardFaulty: the storyboard contradicts other fields of the request.
        """
        body = self.model_dump(exclude={"video_id", "storyboard", "references"})
        body |= {"references": references_of(self.references, media), "providers": providers_of(self.quality)}
        if self.storyboard is not None:
            storyboard = self.storyboard.storyboard(media).model_copy(update={"niche": self.niche})
            derived = {"scene_count": len(storyboard.scenes), "duration": storyboard.total_duration}
            given = self.model_dump(include=set(derived), exclude_unset=True)
            faults = [
                Fault((to_camel(name),), f"it is {derived[name]} in the storyboard")
                for name in given
                if given[name] != derived[name]
            ]
            if faults:
                raise StoryboardFaulty(faults)
            body |= derived | {"storyboard": storyboard}
        return VideoRequested(video_id=self.video_id or uuid4(), owner=owner, **body)


class Edit(BaseModel):
    """An edited storyboard; without it, the written one is used."""

    model_config = ConfigDict(extra="forbid")

    storyboard: StoryboardBody | None = None


class PendingStoryboard(BaseModel):
    """A storyboard that is still being written."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    storyboard_id: UUID
    status: str = "pending"


def drafted(row_drafted: dict[str, Any]) -> tuple[Storyboard, tuple[str, ...]]:
    """Return a written storyboard and its repairs."""
    event = StoryboardDrafted.model_validate(row_drafted)
    return event.storyboard, event.repairs
