"""Fetches the pictures that an order contains: its first frame, or the references of its cast."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from scene_render.clips.clip_ingest import Part
from scene_render.models import Attempt, Render
from scene_render.providers.base import Order, Picture, PictureOrder, Provider, Reference, Shot
from scene_render.scenes.cast import StoredPicture, pictures_for
from scene_render.scenes.order import cast_of, request_of
from shared.catalogue.models import Model
from shared.persistence.database import Database
from shared.storage.base import Storage
from shared.storage.work_folder import work_folder

LINK_SECONDS = 3600


@dataclass(frozen=True)
class OrderFiles:
    """Puts orders together from rows and stored pictures."""

    storage: Storage
    database: Database
    work_folder: Path | None

    @contextlib.asynccontextmanager
    async def order_of(self, render: Render, attempt: Attempt, provider: Provider) -> AsyncIterator[Order]:
        """Yield what an attempt orders, with its pictures as files."""
        model = None if provider.models is None else provider.models.model(str(attempt.model))
        with work_folder(self.work_folder, "order") as folder:
            if attempt.product == "clip" or model is None:
                yield await self._shot(render, attempt, model, folder)
            elif attempt.product == "first_frame":
                yield await self._first_frame(render, model, folder)
            else:
                member, request = cast_of(render)
                yield PictureOrder(member, model, "1:1", style=request.style)

    async def _shot(self, render: Render, attempt: Attempt, model: Model | None, folder: Path) -> Shot:
        request = request_of(render)
        stored = _first_frame_of(render)
        if stored is None or (model is not None and model.from_picture is None):
            return Shot(request, attempt.seconds, model=model)
        picture = await self._picture(stored, folder / "first-frame", attempt.provider)
        return Shot(request, attempt.seconds, picture, model)

    async def _first_frame(self, render: Render, model: Model, folder: Path) -> PictureOrder:
        request = request_of(render)
        async with self.database.reading() as session:
            known = await pictures_for(session, render, lock=False)
        references = [
            Reference(member, await self._picture(picture, folder / f"reference-{number}", render.provider))
            for number, (member, picture) in enumerate(known.pictures[: model.references])
        ]
        return PictureOrder(request, model, request.aspect_ratio, tuple(references))

    async def _picture(self, stored: StoredPicture, path: Path, provider: str) -> Picture:
        await self.storage.get(stored.media, path)
        link = await self.storage.link(stored.media, LINK_SECONDS)
        return Picture(
            path=path,
            content_type=stored.media.content_type,
            link=link if link.startswith("https://") else None,
            task_id=stored.task_id if stored.provider == provider else None,
        )


def _first_frame_of(render: Render) -> StoredPicture | None:
    """Return the picture that the next clip of a scene starts with: of a later part, the last frame before it."""
    if render.parts:
        part = Part.model_validate(render.parts[-1])
        return StoredPicture(media=part.last_frame, provider=part.provider, task_id=part.task_id)
    if render.picture is not None:
        return StoredPicture.model_validate(render.picture)
    given = request_of(render).first_frame
    return None if given is None else StoredPicture(media=given)
