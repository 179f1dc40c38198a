"""The scene-render service's part of the story: each scene is rendered once, paid once, checked and stored."""

import asyncio
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import structlog
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from scene_render import attempts, clips, turns
from scene_render.animatic_provider import AnimaticStudio
from scene_render.models import Attempt, CancelledVideo, Render
from scene_render.provider import (
    Absent,
    Failed,
    Found,
    Provider,
    ProviderSilent,
    Running,
    SubmissionPutOff,
    SubmissionRefused,
    Succeeded,
)
from scene_render.steps import AnimaticOrdered, CheckDue, ClipReady, SlotOffered, SubmissionOverdue
from shared.contracts.events import (
    SceneProgressed,
    SceneRendered,
    SceneRequested,
    VideoCancelled,
    VideoFailed,
    VideoResumed,
)
from shared.contracts.media import FRAME_RATE, FRAME_SIZE, clip_key
from shared.database import Database, now
from shared.ffmpeg import Ffmpeg
from shared.handling import Delivery, Hints, Story
from shared.shielded import Shielded
from shared.storage import Storage
from shared.unit_of_work import handling, working

log = structlog.get_logger()

SILENT_SECONDS = 10.0


@dataclass(frozen=True)
class Tools:
    """What the handlers work with. `shielded` keeps a submission whole when its handler is cancelled."""

    database: Database
    providers: Mapping[str, Provider]
    preferred: str
    animatics: AnimaticStudio
    storage: Storage
    ffmpeg: Ffmpeg
    hints: Hints
    work_folder: Path | None
    shielded: Shielded = field(default_factory=Shielded)


story: Story[Tools] = Story("scene-render")


@story.on(SceneRequested)
async def plan_scene(event: SceneRequested, delivery: Delivery, tools: Tools) -> None:
    """A scene was requested: let it wait for its turn."""
    async with handling(tools.database, delivery) as work:
        key = (str(event.video_id), event.scene.scene_number)
        if await work.session.get(Render, key) is not None:
            return
        cancelled = await work.session.get(CancelledVideo, str(event.video_id)) is not None
        render = Render(
            video_id=str(event.video_id),
            scene_number=event.scene.scene_number,
            state="cancelled" if cancelled else "waiting",
            request=event.model_dump(mode="json"),
            owner=event.owner,
            batch=event.priority == "batch",
            provider=next((name for name in event.providers if name in tools.providers), tools.preferred),
            available_at=now(),
            requested_at=now(),
        )
        work.session.add(render)
        await work.session.flush()
        await work.emit(SlotOffered(video_id=event.video_id, provider=render.provider))


@story.on(SlotOffered)
async def start_attempt(event: SlotOffered, delivery: Delivery, tools: Tools) -> None:
    """A slot may be free: write down what we are about to pay for, for the scene whose turn it is, and submit it."""
    provider = tools.providers[event.provider]
    async with handling(tools.database, delivery) as work:
        slot = await turns.free_slot_of(work.session, provider.name)
        if slot is None:
            if await turns.some_slot_is_free(work.session, provider.name):
                # Somebody holds it who may leave it free, and nobody else would come back for us.
                await work.emit(event, after=0.1)
            return
        render = await turns.next_render(work.session, provider.name)
        if render is None:
            return
        attempt = await attempts.intend(work, render, slot, provider)
        request = attempts.request_of(render)

    await tools.shielded.run(_submit(attempt, request, provider, tools))


@story.on(SubmissionOverdue)
async def reconcile_attempt(event: SubmissionOverdue, delivery: Delivery, tools: Tools) -> None:
    """A submission should be answered by now: where it is not, find out what became of it, and never ask blindly."""
    attempt, render = await _attempt(event.attempt_id, tools.database)
    if attempt.state != "INTENT":
        return
    provider, request = tools.providers[attempt.provider], attempts.request_of(render)
    found = await provider.find(attempt.id)
    if isinstance(found, Found):
        async with handling(tools.database, delivery) as work:
            await attempts.submitted(work, attempt, found.task_id, provider.expects(request))
    elif isinstance(found, Absent):
        async with handling(tools.database, delivery) as work:
            await work.emit(event, after=provider.submit_seconds + 1)
        await tools.shielded.run(_submit(attempt, request, provider, tools))
    else:
        async with handling(tools.database, delivery) as work:
            await attempts.unknown(work, attempt, provider)
        log.error("attempt.unknown", attempt_id=attempt.id, provider=provider.name)


async def _submit(attempt: Attempt, request: SceneRequested, provider: Provider, tools: Tools) -> None:
    """Ask the provider, once, and save its answer. Without an answer the attempt stays at INTENT."""
    try:
        async with asyncio.timeout(provider.submit_seconds):
            task_id = await provider.submit(attempt.id, request)
    except SubmissionRefused as refusal:
        failure = Failed(refusal.kind, refusal.reason, cost=attempts.NOTHING, again=False)
        async with working(tools.database) as work:
            await attempts.failed(work, attempt, failure)
        return
    except SubmissionPutOff as delay:
        failure = Failed("unavailable", delay.reason, cost=attempts.NOTHING, again=True)
        async with working(tools.database) as work:
            await attempts.failed(work, attempt, failure, wait=delay.seconds)
        return
    except Exception as error:  # noqa: BLE001 - whatever it was, the task may have been taken
        log.warning("submission.unanswered", attempt_id=attempt.id, provider=provider.name, error=repr(error))
        return
    async with working(tools.database) as work:
        await attempts.submitted(work, attempt, task_id, provider.expects(request))


@story.on(CheckDue)
async def check_attempt(event: CheckDue, delivery: Delivery, tools: Tools) -> None:
    """It is time to look at an attempt: go on waiting, collect its clip, or deal with its failure."""
    attempt, _ = await _attempt(event.attempt_id, tools.database)
    if attempt.state == "UNKNOWN":
        async with handling(tools.database, delivery) as work:
            await attempts.release(work, attempt)
    if attempt.state != "SUBMITTED" or attempt.task_id is None:
        return
    provider = tools.providers[attempt.provider]
    try:
        status = await provider.check(attempt.task_id)
    except ProviderSilent:
        status = Running(percent=0.0, eta=0.0, check_after=SILENT_SECONDS)

    if isinstance(status, Running):
        if await _is_overdue(attempt, provider, tools.database):
            await _end_overdue(attempt, delivery, provider, tools)
            return
        async with handling(tools.database, delivery) as work:
            await work.emit(event, after=status.check_after)
        await tools.hints.hint(
            SceneProgressed(
                video_id=event.video_id,
                scene_number=attempt.scene_number,
                provider=provider.name,
                percent=status.percent,
                eta_seconds=status.eta,
            )
        )
    elif isinstance(status, Succeeded):
        async with handling(tools.database, delivery) as work:
            if await attempts.succeeded(work, attempt, status.cost):
                await work.emit(ClipReady(video_id=event.video_id, attempt_id=event.attempt_id))
    else:
        async with handling(tools.database, delivery) as work:
            await attempts.failed(work, attempt, status)


@story.on(ClipReady, at_once=2)
async def collect_clip(event: ClipReady, delivery: Delivery, tools: Tools) -> None:
    """A provider has finished a clip: fetch it, check it, conform it where it differs from the film, store it."""
    attempt, render = await _attempt(event.attempt_id, tools.database)
    if render.state != "running" or attempt.task_id is None:
        return
    provider = tools.providers[attempt.provider]
    request = attempts.request_of(render)
    with tempfile.TemporaryDirectory(dir=tools.work_folder, prefix="clip-") as folder:
        fetched = Path(folder) / "fetched.mp4"
        await provider.fetch(attempt.task_id, fetched)
        try:
            size = FRAME_SIZE[request.aspect_ratio]
            path, facts = await clips.admit(fetched, size, request.clip_frames, tools.ffmpeg)
        except clips.ClipUnusable as unusable:
            async with handling(tools.database, delivery) as work:
                await attempts.spoiled(work, attempt, str(unusable))
            return
        media = await tools.storage.put(clip_key(event.video_id, render.scene_number), path, "video/mp4")
    clip = clips.clip_of(media, facts)
    async with handling(tools.database, delivery) as work:
        render = await work.session.get_one(Render, (render.video_id, render.scene_number), with_for_update=True)
        if render.state == "running":
            render.state = "rendered"
        render.clip = clip.model_dump(mode="json")
        rendered = SceneRendered(
            video_id=event.video_id,
            scene_number=render.scene_number,
            clip=clip,
            duration=clip.frames / FRAME_RATE,
            cost_usd=render.cost_usd,
            provider=provider.name,
        )
        await work.emit(rendered)
    log.info("scene.rendered", scene=render.scene_number, provider=provider.name, bytes=media.size)


@story.on(AnimaticOrdered, at_once=2)
async def draw_animatic(event: AnimaticOrdered, delivery: Delivery, tools: Tools) -> None:
    """The built-in renderer was asked for a clip: draw it."""
    await tools.animatics.draw(str(event.task_id), event.order)
    async with handling(tools.database, delivery):
        log.info("animatic.drawn", task_id=str(event.task_id), scene=event.order.scene.scene_number)


@story.on(VideoFailed)
async def hold_scenes(event: VideoFailed, delivery: Delivery, tools: Tools) -> None:
    """The video has failed: its waiting scenes do not start, unless somebody resumes it."""
    async with handling(tools.database, delivery) as work:
        await _hold(work.session, event.video_id, held=True)


@story.on(VideoResumed)
async def release_scenes(event: VideoResumed, delivery: Delivery, tools: Tools) -> None:
    """A failed video goes on: its held scenes wait for their turn again."""
    async with handling(tools.database, delivery) as work:
        await _hold(work.session, event.video_id, held=False)
        for name in tools.providers:
            await work.emit(SlotOffered(video_id=event.video_id, provider=name))


@story.on(VideoCancelled)
async def cancel_scenes(event: VideoCancelled, delivery: Delivery, tools: Tools) -> None:
    """Nobody wants the video any more: its waiting scenes never start; what runs is paid for and runs out."""
    async with handling(tools.database, delivery) as work:
        await work.session.merge(CancelledVideo(video_id=str(event.video_id)))
        waiting = (Render.video_id == str(event.video_id), Render.state == "waiting")
        await work.session.execute(update(Render).where(*waiting).values(state="cancelled"))


async def _hold(session: AsyncSession, video_id: UUID, *, held: bool) -> None:
    await session.execute(update(Render).where(Render.video_id == str(video_id)).values(held=held))


async def _attempt(attempt_id: UUID, database: Database) -> tuple[Attempt, Render]:
    async with database.reading() as session:
        attempt = await session.get_one(Attempt, str(attempt_id))
        return attempt, await session.get_one(Render, (attempt.video_id, attempt.scene_number))


async def _is_overdue(attempt: Attempt, provider: Provider, database: Database) -> bool:
    late = Attempt.submitted_at < now(-provider.attempt_seconds)
    async with database.reading() as session:
        return (await session.execute(select(Attempt.id).where(Attempt.id == attempt.id, late))).first() is not None


async def _end_overdue(attempt: Attempt, delivery: Delivery, provider: Provider, tools: Tools) -> None:
    """An attempt takes too long: another one only where this one has surely ended."""
    ended = await provider.cancel(str(attempt.task_id))
    async with handling(tools.database, delivery) as work:
        if ended:
            reason = f"{provider.name} did not finish within {provider.attempt_seconds:.0f} s."
            await attempts.failed(work, attempt, Failed("timed_out", reason, attempts.NOTHING, again=True))
        else:
            await attempts.unknown(work, attempt, provider)
