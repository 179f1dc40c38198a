"""The reference pictures of a video's cast, which its first frames are made from.

Each function is a part of its caller's transaction.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from scene_render.models import FIRST_REFERENCE, Render
from scene_render.scenes.order import cast_of, request_of
from shared.catalogue.models import MAX_REFERENCES
from shared.contracts.base import Contract
from shared.contracts.events import PictureRendered
from shared.contracts.media import MediaReference
from shared.contracts.story import CastMember
from shared.money.prices import FREE

ENDED = ("rendered", "failed", "cancelled")


class StoredPicture(Contract):
    """A stored picture. `provider` and `task_id`: who made it; None: the request brought it."""

    media: MediaReference
    provider: str | None = None
    task_id: str | None = None


@dataclass(frozen=True)
class CastPictures:
    """The reference pictures for one scene, in the order of its cast. `complete`: none is still being made."""

    pictures: tuple[tuple[CastMember, StoredPicture], ...]
    complete: bool


async def with_references(session: AsyncSession, render: Render) -> tuple[CastMember, ...]:
    """Return the cast of a scene, without those who should have a reference picture and for whom none is ordered."""
    of_video = (Render.video_id == render.video_id, Render.scene_number >= FIRST_REFERENCE)
    rows = (await session.scalars(select(Render.request).where(*of_video))).all()
    known = {member["name"] for request in rows for member in request["cast"]}
    return tuple(member for member in request_of(render).cast if member.name in known or not member.is_pictured)


def brought(render: Render, image: MediaReference) -> PictureRendered:
    """Return the event for a picture that the request, or a person, brought: the reference or the first frame."""
    return PictureRendered(
        video_id=UUID(render.video_id),
        purpose="reference" if render.is_reference else "first_frame",
        cast_name=name_of(render) if render.is_reference else None,
        scene_number=None if render.is_reference else render.scene_number,
        picture=image,
        cost_usd=FREE,
    )


async def pictures_for(session: AsyncSession, render: Render, *, lock: bool) -> CastPictures:
    """Return the reference pictures for a scene.

    `lock`: the caller has locked the scene, and lets it wait unless they are complete. A picture that is stored later
    releases it; see `video_standing.release_later`.
    """
    wanted = [member for member in request_of(render).cast if member.is_pictured]
    if not wanted:
        return CastPictures((), complete=True)
    of_video = select(Render).where(Render.video_id == render.video_id, Render.scene_number >= FIRST_REFERENCE)
    query = of_video.order_by(Render.scene_number)
    found = (await session.scalars(query.with_for_update(read=True) if lock else query)).all()
    rows = {row.request["cast"][0]["name"]: row for row in found if row.request["cast"]}
    known = [(member, rows.get(member.name)) for member in wanted[:MAX_REFERENCES]]
    return CastPictures(
        tuple((member, StoredPicture.model_validate(row.picture)) for member, row in known if row and row.picture),
        complete=all(row is not None and row.state in ENDED for _, row in known),
    )


def name_of(render: Render) -> str:
    """Return whom a reference picture shows."""
    return cast_of(render)[0].name
