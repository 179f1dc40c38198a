"""The receipt of a film: who made it, of what, and what it cost."""

from collections.abc import Sequence
from datetime import UTC
from decimal import Decimal
from itertools import groupby
from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from gateway.billing.charges import LANGUAGE_MODEL, Charges
from gateway.http.errors import ApiError
from gateway.http.resource import Resource
from gateway.models import Charge, Video
from gateway.videos.mapping import projection_of, quality_of
from gateway.videos.queries import VideoQueries
from gateway.videos.status import VideoStatus
from shared.contracts.events import StoryboardCreated
from shared.contracts.media import MediaReference
from shared.contracts.provenance import prompt_hashes, source_type
from shared.contracts.story import Quality
from shared.money.prices import FREE


class FilmNotFinished(ApiError):
    """There is no receipt of a film before it is finished."""

    http_status, problem_type, title = 409, "film-not-finished", "Film not finished"

    def __init__(self, video_id: str, status: str) -> None:
        super().__init__(f"Video {video_id} is {status}; a receipt exists once its film is completed.")
        self.video_id = video_id


class FilmFile(Resource):
    """The film's file. `size` is in bytes."""

    sha256: str
    size: int
    content_type: str


class SceneReceipt(Resource):
    """Who rendered a scene, from which prompt, and what all attempts at it and at its first frame cost, in USD."""

    scene_number: int
    provider: str | None
    model: str | None
    first_frame_model: str | None = Field(description="Null: its clip starts from text, or with a picture it was given")
    prompt_sha256: str | None = Field(description="Of its prompt in UTF-8; the text itself is not told")
    attempts: int = Field(description="Paid attempts")
    booked_usd: Decimal
    held_usd: Decimal


class ReceiptItem(Resource):
    """What a model was paid for one purpose, in USD. `sceneNumber` is null for the cast and the storyboard."""

    purpose: Literal["clip", "first_frame", "reference", "storyboard"]
    scene_number: int | None
    provider: str
    model: str | None
    attempts: int
    booked_usd: Decimal
    held_usd: Decimal


class ReceiptResource(Resource):
    """What a film says about its origin in its C2PA manifest, and what it cost, in USD."""

    video_id: str
    title: str | None
    created_at: AwareDatetime
    completed_at: AwareDatetime | None
    duration: int | None = Field(description="In seconds")
    film: FilmFile | None = Field(description="Null once it has expired")
    digital_source_type: str = Field(description="In the vocabulary of the IPTC, as in the film's C2PA manifest")
    quality: Quality
    models: list[str] = Field(description="The models that rendered its clips and pictures")
    scenes: list[SceneReceipt]
    items: list[ReceiptItem] = Field(description="All that was paid, by purpose, scene and model")
    storyboard_usd: Decimal = Field(description="What the language model cost")
    booked_usd: Decimal = Field(description="What was charged in all")
    held_usd: Decimal = Field(description="Reserved for attempts that are not settled yet")
    simulated: bool = Field(description="Whether the costs are not real, because the provider is simulated")


class Receipts:
    """Reads the receipts of films. An `owner` restricts them to that owner's."""

    def __init__(self, queries: VideoQueries, charges: Charges) -> None:
        self.queries = queries
        self.charges = charges

    async def get(self, video_id: UUID, *, owner: str | None) -> ReceiptResource:
        """Return the receipt of a film.

        Raises:
            VideoNotFound: there is no such video.
            FilmNotFinished: its film is not completed.
        """
        row = await self.queries.get(video_id, owner=owner)
        if row.status not in (VideoStatus.COMPLETED, VideoStatus.EXPIRED):
            raise FilmNotFinished(str(video_id), row.status)
        return _receipt(row, await self.charges.of_video(video_id))


def _receipt(row: Video, charges: Sequence[Charge]) -> ReceiptResource:
    video = projection_of(row)
    hashes = prompt_hashes(StoryboardCreated.model_validate(row.storyboard)) if row.storyboard else ()
    scenes = []
    for number, _ in enumerate(video.scenes, 1):
        state, paid = video.scene_state(number), [one for one in charges if one.scene_number == number]
        scenes.append(
            SceneReceipt(
                scene_number=number,
                provider=state.provider,
                model=state.model,
                first_frame_model=state.first_frame.model if state.first_frame else None,
                prompt_sha256=hashes[number - 1] if number <= len(hashes) else None,
                attempts=len(paid),
                booked_usd=sum((one.booked_usd for one in paid), FREE),
                held_usd=sum((one.held_usd for one in paid), FREE),
            )
        )
    film = MediaReference.model_validate(row.film) if row.film else None
    return ReceiptResource(
        video_id=row.video_id,
        title=row.title,
        created_at=row.created_at.replace(tzinfo=UTC),
        completed_at=row.completed_at.replace(tzinfo=UTC) if row.completed_at else None,
        duration=row.duration,
        film=FilmFile(sha256=film.sha256, size=film.size, content_type=film.content_type) if film else None,
        digital_source_type=source_type(scene.provider for scene in scenes),
        quality=quality_of(row),
        models=list(video.models),
        scenes=scenes,
        items=_items(charges),
        storyboard_usd=sum((one.booked_usd for one in charges if one.provider == LANGUAGE_MODEL), FREE),
        booked_usd=row.cost_usd,
        held_usd=row.held_usd,
        simulated=row.simulated,
    )


def _items(charges: Sequence[Charge]) -> list[ReceiptItem]:
    def key(charge: Charge) -> tuple[int, str, str, str]:
        return charge.scene_number, charge.purpose, charge.provider, charge.model or ""

    items = []
    for (number, purpose, provider, model), group in groupby(sorted(charges, key=key), key):
        paid = list(group)
        items.append(
            ReceiptItem.model_validate(
                {
                    "purpose": purpose,
                    "scene_number": number or None,
                    "provider": provider,
                    "model": model or None,
                    "attempts": len(paid),
                    "booked_usd": sum((one.booked_usd for one in paid), FREE),
                    "held_usd": sum((one.held_usd for one in paid), FREE),
                }
            )
        )
    return items
