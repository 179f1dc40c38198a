"""The storyboard service's part of the story: a wish becomes a story, and the story becomes scenes."""

import hashlib
import json
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import IntegrityError

from shared.contracts.events import SceneRequested, StoryboardCreated, VideoRequested
from shared.contracts.timeline import timeline
from shared.database import Database, now
from shared.errors import AlreadyHandled, RequestConflicts
from shared.handling import Delivery, Story
from shared.unit_of_work import handling
from storyboard.models import StoryboardRow
from storyboard.writer import Storyboard, Writer

log = structlog.get_logger()


@dataclass(frozen=True)
class Tools:
    """What the handlers work with."""

    database: Database
    writer: Writer


story: Story[Tools] = Story("storyboard")


@story.on(VideoRequested, at_once=8)
async def write_storyboard(event: VideoRequested, delivery: Delivery, tools: Tools) -> None:
    """A video was requested: write its story once, save it, and ask for each of its scenes to be rendered."""
    if await _is_written(event, tools.database):
        return

    storyboard = await tools.writer.write(event)

    try:
        async with handling(tools.database, delivery) as work:
            work.session.add(_row(event, storyboard))
            await work.session.flush()
            await work.emit(_created(event, storyboard))
            for scene in _scenes(event, storyboard):
                await work.emit(scene)
    except IntegrityError:
        # The same video was requested twice at once, and the other request was faster.
        await _is_written(event, tools.database)
        raise AlreadyHandled from None
    log.info("storyboard.created", scenes=len(storyboard.story.scenes), title=storyboard.story.title)


async def _is_written(event: VideoRequested, database: Database) -> bool:
    """Whether this request has its storyboard. Raises `RequestConflicts` if another request has this id."""
    async with database.reading() as session:
        row = await session.get(StoryboardRow, str(event.video_id))
    if row is not None and row.request_hash != _hash(event):
        raise RequestConflicts(event.video_id)
    return row is not None


def _hash(event: VideoRequested) -> str:
    text = json.dumps(event.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _row(event: VideoRequested, storyboard: Storyboard) -> StoryboardRow:
    return StoryboardRow(
        video_id=str(event.video_id),
        request_hash=_hash(event),
        request=event.model_dump(mode="json"),
        storyboard=storyboard.story.model_dump(mode="json"),
        created_at=now(),
    )


def _created(event: VideoRequested, storyboard: Storyboard) -> StoryboardCreated:
    return StoryboardCreated(
        video_id=event.video_id,
        **dict(storyboard.story),
        story_script=storyboard.story_script,
        aspect_ratio=event.aspect_ratio,
    )


def _scenes(event: VideoRequested, storyboard: Storyboard) -> list[SceneRequested]:
    slots = timeline(storyboard.story.scenes)
    return [
        SceneRequested(
            video_id=event.video_id,
            scene=slot.scene,
            scene_count=len(slots),
            shot_prompt=shot_prompt,
            clip_frames=slot.clip_frames,
            aspect_ratio=event.aspect_ratio,
            niche=event.niche,
            owner=event.owner,
            priority=event.priority,
        )
        for slot, shot_prompt in zip(slots, storyboard.shot_prompts, strict=True)
    ]
