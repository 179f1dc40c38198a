"""The event handlers of the storyboard service: a request becomes a storyboard, and its scenes are requested."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import CursorResult, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.events import (
    CastRequested,
    SceneRequested,
    StoryboardApproved,
    StoryboardCreated,
    StoryboardDrafted,
    StoryboardFailed,
    StoryboardRequested,
    VideoCancelled,
    VideoDeleted,
    VideoRequested,
)
from shared.contracts.story import Belonging, Scene, Storyboard, VideoStory
from shared.contracts.story_rules import ANY_SECONDS, SceneSeconds
from shared.contracts.timeline import timeline
from shared.messaging.errors import RequestConflicts, StepFailed
from shared.messaging.event_router import Delivery, EventRouter
from shared.persistence.database import Database, now
from shared.persistence.inbox import AlreadyHandled
from shared.persistence.unit_of_work import UnitOfWork, idempotent_transaction, transaction
from storyboard.cast import references_of
from storyboard.editing import as_edited
from storyboard.models import DraftRow, LlmAnswerRow, StoryboardRow
from storyboard.writer import Writer, Written, fingerprint

log = structlog.get_logger()

FREE_RENDERER = "animatic"
"""The provider of drafts."""


class NothingToApprove(Exception):
    """The approved storyboard is not written yet."""


@dataclass(frozen=True)
class Dependencies:
    """The dependencies of the handlers. `seconds`: the possible durations of scenes."""

    database: Database
    writer: Writer
    seconds: SceneSeconds = ANY_SECONDS


router: EventRouter[Dependencies] = EventRouter("storyboard")


@router.on(VideoRequested, max_concurrency=8)
async def write_storyboard(event: VideoRequested, delivery: Delivery, deps: Dependencies) -> None:
    """Write the story of a requested video once, save it, and request each of its scenes.

    If the request contains a storyboard, use it. If it asks for a review, request no scene until the approval.
    """
    if await _is_written(event, deps.database):
        return

    if event.storyboard is None:
        written = await deps.writer.write(event)
    else:
        known = await _known(event.storyboard, deps.database)
        written = as_edited(event.storyboard, known, deps.seconds, references_of(event))

    try:
        async with idempotent_transaction(deps.database, delivery) as work:
            work.session.add(_row(event, written))
            await work.session.flush()
            await work.emit(_created(event, written, review=event.review, revision=0))
            if not event.review:
                await _request_scenes(work, event, written)
    except IntegrityError:
        # A concurrent request for the same video was committed first.
        await _is_written(event, deps.database)
        raise AlreadyHandled from None
    log.info("storyboard.created", scenes=len(written.story.scenes), review=event.review)


@router.on(StoryboardApproved)
async def approve_storyboard(event: StoryboardApproved, delivery: Delivery, deps: Dependencies) -> None:
    """Request the scenes of an approved storyboard, which may have been edited."""
    async with deps.database.reading() as session:
        row = await session.get(StoryboardRow, str(event.video_id))
    if row is None:
        raise NothingToApprove(event.video_id)
    if row.state != "awaiting_review":
        return
    request, written = VideoRequested.model_validate(row.request), _written(row)
    if event.storyboard is not None:
        written = as_edited(event.storyboard, written.story, deps.seconds)

    async with idempotent_transaction(deps.database, delivery) as work:
        values = {"storyboard": written.story.model_dump(mode="json"), "repairs": list(written.repairs)}
        if not await _leave_review(work, row.video_id, "filming", **values):
            return
        if event.storyboard is not None:
            await work.emit(_created(request, written, review=False, revision=1))
        await _request_scenes(work, request, written)
    log.info("storyboard.approved", edited=event.storyboard is not None, by=event.by)


@router.on(VideoCancelled)
async def cancel_review(event: VideoCancelled, delivery: Delivery, deps: Dependencies) -> None:
    """Close the review of a cancelled video."""
    async with idempotent_transaction(deps.database, delivery) as work:
        await _leave_review(work, str(event.video_id), "cancelled")


@router.on(VideoDeleted)
async def erase_storyboard(event: VideoDeleted, delivery: Delivery, deps: Dependencies) -> None:
    """Erase the request, the storyboard and the model's answers of a deleted video. Costs stay."""
    async with idempotent_transaction(deps.database, delivery) as work:
        await erase(work, str(event.video_id))


@router.on(StoryboardRequested, max_concurrency=8)
async def draft_storyboard(event: StoryboardRequested, delivery: Delivery, deps: Dependencies) -> None:
    """Write a storyboard that was requested alone, and publish it or the reason for the failure."""
    answer: StoryboardDrafted | StoryboardFailed
    try:
        written = await deps.writer.write(event)
        storyboard = written.story.model_copy(update={"storyboard_id": event.video_id})
        answer = StoryboardDrafted(video_id=event.video_id, storyboard=storyboard, repairs=written.repairs)
    except StepFailed as failure:
        answer = StoryboardFailed(video_id=event.video_id, kind=failure.kind, reason=failure.reason)
    async with idempotent_transaction(deps.database, delivery) as work:
        if isinstance(answer, StoryboardDrafted):
            row = DraftRow(
                storyboard_id=str(event.video_id),
                storyboard=answer.storyboard.model_dump(mode="json"),
                created_at=now(),
            )
            await work.session.merge(row)
        await work.emit(answer)
    log.info(answer.name)


async def owner_of(session: AsyncSession, video_id: UUID) -> Belonging:
    """Return the owner of a video, from its request."""
    row = await session.get(StoryboardRow, str(video_id))
    return Belonging.read(row.request) if row else Belonging()


async def _is_written(event: VideoRequested, database: Database) -> bool:
    """Return whether this request already has its storyboard or was deleted.

    Raises:
        RequestConflicts: another request has this id.
    """
    async with database.reading() as session:
        row = await session.get(StoryboardRow, str(event.video_id))
    if row is not None and row.state == "deleted":
        # It may have been deleted while it was written.
        async with transaction(database) as work:
            await erase(work, row.video_id)
    elif row is not None and row.request_hash != fingerprint(event):
        raise RequestConflicts(event.video_id)
    return row is not None


async def _known(edited: Storyboard, database: Database) -> Storyboard | None:
    """Return the storyboard that was edited; None if this service did not write it."""
    key = str(edited.storyboard_id)
    async with database.reading() as session:
        alone, of_video = await session.get(DraftRow, key), await session.get(StoryboardRow, key)
    row = alone or of_video
    return Storyboard.model_validate(row.storyboard) if row is not None and row.storyboard else None


async def erase(work: UnitOfWork, video_id: str) -> None:
    """Erase the text of a video. The row stays, so that a late request does not write it again."""
    row = await work.session.get(StoryboardRow, video_id, with_for_update=True)
    if row is None:
        row = StoryboardRow(video_id=video_id, request_hash="", created_at=now())
        work.session.add(row)
    row.state, row.request, row.storyboard, row.repairs = "deleted", {}, {}, None
    answers = update(LlmAnswerRow).where(LlmAnswerRow.video_id == video_id)
    await work.session.execute(answers.values(answer=""))


async def _leave_review(work: UnitOfWork, video_id: str, state: str, **values: Any) -> bool:  # noqa: ANN401 - columns
    """Change the state of a storyboard that awaits its review; return whether it did."""
    waiting = (StoryboardRow.video_id == video_id, StoryboardRow.state == "awaiting_review")
    result = await work.session.execute(update(StoryboardRow).where(*waiting).values(state=state, **values))
    assert isinstance(result, CursorResult)  # noqa: S101 - for the type checker
    return result.rowcount == 1


def _row(event: VideoRequested, written: Written) -> StoryboardRow:
    return StoryboardRow(
        video_id=str(event.video_id),
        request_hash=fingerprint(event),
        request=event.model_dump(mode="json"),
        storyboard=written.story.model_dump(mode="json"),
        repairs=list(written.repairs),
        state="awaiting_review" if event.review else "filming",
        created_at=now(),
    )


def _written(row: StoryboardRow) -> Written:
    return Written(Storyboard.model_validate(row.storyboard), tuple(row.repairs or ()))


def _created(event: VideoRequested, written: Written, *, review: bool, revision: int) -> StoryboardCreated:
    storyboard = written.story
    story = VideoStory.model_validate(storyboard.model_dump())
    return StoryboardCreated(
        video_id=event.video_id,
        **dict(story),
        owner=event.owner,
        post_id=event.post_id,
        story_script=written.story_script,
        aspect_ratio=event.aspect_ratio,
        shots=tuple(scene.shot for scene in storyboard.scenes),
        details=tuple(scene.details for scene in storyboard.scenes),
        style=storyboard.style,
        cast=storyboard.cast,
        clip_sound=event.clip_sound,
        review=review,
        revision=revision,
    )


async def _request_scenes(work: UnitOfWork, event: VideoRequested, written: Written) -> None:
    story = written.story
    # Requested before the scenes, whose first frames are made from them. The free renderer draws without pictures.
    if event.quality != "draft" and story.pictured_cast:
        await work.emit(_cast_requested(event, story))
    slots = timeline(story.scenes)
    for slot, shown, shot_prompt in zip(slots, story.scenes, written.shot_prompts, strict=True):
        scene = SceneRequested(
            video_id=event.video_id,
            scene=Scene.model_validate(slot.scene.model_dump()),
            scene_count=len(slots),
            shot_prompt=shot_prompt,
            clip_frames=slot.clip_frames,
            lead_frames=slot.lead,
            tail_frames=slot.overlap,
            aspect_ratio=event.aspect_ratio,
            niche=story.niche,
            owner=event.owner,
            post_id=event.post_id,
            priority=event.priority,
            providers=_providers(event),
            quality=event.quality,
            key_moment=shown.key_moment,
            cast=tuple(member for name in shown.cast for member in story.cast if member.name == name),
            review=event.review,
            first_frame=shown.image,
            own_clip=shown.clip,
            clip_sound=event.clip_sound,
        )
        await work.emit(scene)


def _cast_requested(event: VideoRequested, story: Storyboard) -> CastRequested:
    return CastRequested(
        video_id=event.video_id,
        cast=story.pictured_cast,
        style=story.style,
        owner=event.owner,
        priority=event.priority,
        quality=event.quality,
        providers=_providers(event),
    )


def _providers(event: VideoRequested) -> tuple[str, ...]:
    return (FREE_RENDERER,) if event.quality == "draft" else event.providers
