"""The free built-in renderer, with the same interface as the paid ones: submit, check, fetch.

Its tasks are rows under the attempt's id, so no task exists twice and every replica can report its state. A message
requests the drawing; any replica can do it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import delete, insert, update
from sqlalchemy.exc import IntegrityError

from scene_render.animatic import draw
from scene_render.internal_messages import AnimaticOrdered
from scene_render.models import AnimaticTask
from scene_render.providers.animatic_order import AnimaticOrder
from scene_render.providers.base import (
    Absent,
    Ended,
    Failed,
    Found,
    NotYet,
    Order,
    PictureOrder,
    Running,
    SubmissionRefused,
    Succeeded,
    Unknowable,
)
from shared.catalogue.models import ProviderModels
from shared.contracts.media import MediaReference
from shared.media.ffmpeg import Ffmpeg, FfmpegFailed, FfmpegTimedOut
from shared.money.prices import FREE
from shared.persistence.database import Database
from shared.persistence.unit_of_work import transaction
from shared.storage.base import Storage
from shared.storage.work_folder import work_folder

log = structlog.get_logger()

CHECK_SECONDS = 0.7
SECONDS_PER_FRAME = 0.02
"""A first estimate of the drawing time, for the ETA."""


class AnimaticProvider:
    """The provider `animatic`, including its drawing worker."""

    name = "animatic"
    models: ProviderModels | None = None
    submit_seconds = 5.0
    usual_seconds = 5.0
    check_seconds = CHECK_SECONDS
    attempt_seconds = 600.0

    def __init__(
        self, database: Database, storage: Storage, ffmpeg: Ffmpeg, concurrency: int, work_folder: Path | None
    ) -> None:
        self.database = database
        self.storage = storage
        self.ffmpeg = ffmpeg
        self.concurrency = concurrency
        self.work_folder = work_folder

    @property
    def can_reconcile(self) -> bool:
        """See `Provider.can_reconcile`."""
        return True

    async def submit(self, attempt_id: str, order: Order) -> str:
        """Store the task and request its drawing in one transaction. Repeated calls return the same task."""
        if isinstance(order, PictureOrder):
            raise SubmissionRefused("invalid_request", "The animatic renderer makes no pictures.", asked=False)
        request = order.request
        animatic = AnimaticOrder(
            scene=request.scene,
            scene_count=request.scene_count,
            aspect_ratio=request.aspect_ratio,
            niche=request.niche,
            clip_frames=request.clip_frames,
            lead_frames=request.lead_frames,
            tail_frames=request.tail_frames,
            seed=str(request.video_id),
            picture=request.first_frame,
        )
        try:
            async with transaction(self.database) as work:
                task = {"id": attempt_id, "state": "drawing", "percent": 0, "frames": request.clip_frames}
                await work.session.execute(insert(AnimaticTask).values(task))
                ordered = AnimaticOrdered(video_id=request.video_id, task_id=UUID(attempt_id), order=animatic)
                await work.emit(ordered, message_id=attempt_id)
        except IntegrityError:
            log.info("animatic.known", task_id=attempt_id)
        return attempt_id

    async def find(self, attempt_id: str, _age: float) -> Found | Absent | NotYet | Unknowable:
        """Return whether the task's row exists."""
        return Absent() if await self._task(attempt_id) is None else Found(attempt_id)

    async def check(self, task_id: str) -> Running | Succeeded | Failed:
        """Return the state in the task's row."""
        task = await self._task(task_id)
        if task is None:
            return Failed("task_lost", "The animatic renderer has no such task.", FREE, again=True)
        if task.state == "done":
            return Succeeded(cost=FREE)
        if task.state == "drawing":
            return _running(task.frames, task.percent)
        return Failed(f"animatic_{task.state}", task.reason or "The drawing was cancelled.", FREE, again=True)

    async def fetch(self, task_id: str, target: Path) -> None:
        """Download the clip from the storage."""
        task = await self._task(task_id)
        if task is None or task.media is None:
            raise LookupError(f"animatic task {task_id} has no clip")
        await self.storage.get(MediaReference.model_validate(task.media), target)

    async def cancel(self, task_id: str) -> Ended | None:
        """Cancel a task; a drawing in progress is discarded when it ends."""
        await self._save(task_id, state="cancelled")
        return Ended(cost=FREE)

    async def cancel_if_free(self, task_id: str) -> Ended | None:
        """Cancel a task, which is always free."""
        return await self.cancel(task_id)

    def task_of_callback(self, _body: Mapping[str, Any]) -> str | None:
        """Return None: there are no callbacks."""
        return None

    def task_id_of(self, said: str, _model: str | None) -> str:
        """Return the id as it is."""
        return said

    async def draw(self, task_id: str, order: AnimaticOrder) -> None:
        """Draw and store the clip of a task, saving its progress meanwhile."""
        task = await self._task(task_id)
        if task is None or task.state != "drawing":
            return
        with work_folder(self.work_folder, "animatic") as folder:
            target, picture = folder / "clip.mp4", None
            if order.picture is not None:
                picture = folder / "picture"
                await self.storage.get(order.picture, picture)
            try:
                async with self._saving_progress(task_id) as on_progress:
                    await draw(order, target, self.ffmpeg, workspace=folder, picture=picture, on_progress=on_progress)
            except (FfmpegFailed, FfmpegTimedOut) as error:
                await self._save(task_id, state="failed", reason=str(error))
                return
            media = await self.storage.put(_key(task_id), target, "video/mp4")
        await self._save(task_id, state="done", percent=100, media=media.model_dump(mode="json"))
        drawn = await self._task(task_id)
        if drawn is not None and drawn.state == "cancelled":
            await self.remove([task_id])

    async def remove(self, task_ids: Sequence[str]) -> None:
        """Remove the clips of these tasks, if any."""
        for task_id in task_ids:
            await self.storage.delete(_key(task_id))

    async def forget(self, task_ids: Sequence[str]) -> None:
        """Remove these tasks and their clips, which were collected."""
        await self.remove(task_ids)
        async with self.database.sessions.begin() as session:
            for task_id in task_ids:
                await session.execute(delete(AnimaticTask).where(AnimaticTask.id == task_id))

    @contextlib.asynccontextmanager
    async def _saving_progress(self, task_id: str) -> AsyncIterator[Callable[[float], None]]:
        """Save the latest percentage that the block reports, at intervals."""
        latest = 0.0

        def note(percent: float) -> None:
            nonlocal latest
            latest = percent

        async def save_regularly() -> None:
            while True:
                await asyncio.sleep(CHECK_SECONDS)
                await self._save(task_id, percent=round(latest))

        saving = asyncio.create_task(save_regularly())
        try:
            yield note
        finally:
            saving.cancel()
            await asyncio.gather(saving, return_exceptions=True)

    async def _task(self, task_id: str) -> AnimaticTask | None:
        async with self.database.reading() as session:
            return await session.get(AnimaticTask, task_id)

    async def _save(self, task_id: str, **values: object) -> None:
        change = update(AnimaticTask).where(AnimaticTask.id == task_id, AnimaticTask.state == "drawing")
        async with self.database.sessions.begin() as session:
            await session.execute(change.values(**values))


def _key(task_id: str) -> str:
    return f"animatics/{task_id}.mp4"


def _running(frames: int, percent: float) -> Running:
    return Running(percent, eta=frames * SECONDS_PER_FRAME * (1 - percent / 100), check_after=CHECK_SECONDS)
