"""The tRPC API, as the existing application calls it: request, show, list, cancel and follow videos."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID, uuid4

from prometheus_client import Histogram
from starlette.requests import Request

from gateway.access.service import Access, Caller
from gateway.http.errors import problem_of
from gateway.http.idempotency import Idempotency, Key
from gateway.models import Video
from gateway.procedure_schemas import (
    Done,
    EventsInput,
    FrameInput,
    Generated,
    GenerateInput,
    PageInput,
    SceneRow,
    VideoEvent,
    VideoInput,
    VideoList,
    VideoRow,
    VideoStatus,
)
from gateway.storyboards.schemas import media_of_references, providers_of, references_of
from gateway.trpc.errors import TRPCError, code_of
from gateway.trpc.fallback import Fallback
from gateway.trpc.request_handler import Config, Limits
from gateway.trpc.router import Call, Router, Tracked
from gateway.trpc.server import Server
from gateway.videos import status as video_status
from gateway.videos.commands import VideoCommands
from gateway.videos.event_payloads import FINAL_EVENTS
from gateway.videos.event_stream import EventStream
from gateway.videos.frame_reviews import FrameReviews
from gateway.videos.mapping import download_link
from gateway.videos.reviews import Reviews
from gateway.videos.schemas import SceneResource, VideoResource, video_resource
from shared.contracts.events import VideoRequested
from shared.http.json_bounds import check_json
from shared.persistence.unit_of_work import UnitOfWork, transaction

SECONDS = Histogram("multishot_trpc_seconds", "How long calls of the tRPC API take", ["procedure", "outcome"])
REASON = "Cancelled by request."


@dataclass(frozen=True)
class Commands:
    """What callers can have done."""

    videos: VideoCommands
    reviews: Reviews
    frame_reviews: FrameReviews
    idempotency: Idempotency


@dataclass(frozen=True)
class RequestContext:
    """The caller of a request, and the dependencies of its procedures."""

    caller: Caller
    access: Access
    commands: Commands
    event_stream: EventStream
    public_url: str

    @property
    def videos(self) -> VideoCommands:
        """The commands for videos."""
        return self.commands.videos


router: Router[RequestContext] = Router()


@router.mutation("video.generate")
async def generate(call: Call[RequestContext], given: GenerateInput) -> Generated:
    """Request a video. With the header `idempotency-key`, repeated calls create only one."""
    context = call.context
    context.caller.require("write")
    owner = context.caller.owner

    async def do(work: UnitOfWork) -> dict[str, object]:
        named = media_of_references(given.references)
        media = await context.commands.reviews.uploads.media(work.session, named, owner)
        event = VideoRequested(
            video_id=uuid4(),
            owner=owner,
            prompt=given.prompt,
            niche=given.niche,
            scene_count=given.scene_count,
            duration=given.seconds,
            review=given.review,
            quality=given.quality,
            providers=providers_of(given.quality),
            references=references_of(given.references, media),
            clip_sound=given.clip_sound,
        )
        return {"videoId": (await context.videos.accept(work, event)).video_id}

    # The calls of a batch share one header, so the index makes their keys differ.
    key = Key.read(owner, f"video.generate {call.index}", call.headers.get("idempotency-key"))
    answer = await context.commands.idempotency.once(key, given.model_dump(mode="json"), do)
    return Generated(success=True, video_id=answer.body["videoId"], message="Video generation started")


@router.query("video.status")
async def status(call: Call[RequestContext], video: VideoInput) -> VideoStatus:
    """Get the state of a video."""
    shown = video_resource(await _get(call, video.name), call.context.public_url)
    fields = shown.model_dump(include=set(VideoStatus.model_fields) - {"video_id", "scenes"})
    return VideoStatus(video_id=shown.video_id, scenes=_scenes(shown.scenes), **fields)


@router.query("video.list")
async def list_videos(call: Call[RequestContext], page: PageInput | None = None) -> VideoList:
    """List the videos, newest first."""
    context = call.context
    context.caller.require("read")
    part = page or PageInput()
    found = await context.videos.queries.page(part.limit, part.offset, owner=context.caller.visible_owner)
    return VideoList(videos=[_row(row, context.public_url) for row in found.videos], total=found.total)


@router.query("video.get")
async def get(call: Call[RequestContext], video: VideoInput) -> VideoRow:
    """Get a video."""
    return _row(await _get(call, video.name), call.context.public_url)


@router.mutation("video.cancel")
async def cancel(call: Call[RequestContext], video: VideoInput) -> Done:
    """Cancel a video. Waiting scenes do not start; running ones may still be charged."""
    context = call.context
    context.caller.require("write")
    await context.videos.cancel(video.id, by=context.caller.owner, reason=REASON, owner=context.caller.visible_owner)
    return Done(success=True, message="Video cancelled")


@router.mutation("video.approve")
async def approve(call: Call[RequestContext], video: VideoInput) -> Done:
    """Approve the storyboard of a video that awaits its review, as it is."""
    caller = call.context.caller
    caller.require("write")
    reviews = call.context.commands.reviews
    async with transaction(reviews.queries.database) as work:
        await reviews.approve(work, video.id, None, by=caller.owner, owner=caller.visible_owner)
    return Done(success=True, message="Storyboard approved")


@router.mutation("video.approveFrames")
async def approve_frames(call: Call[RequestContext], video: VideoInput) -> Done:
    """Approve the first frames of a video that awaits it. Its clips are ordered now."""
    caller = call.context.caller
    caller.require("write")
    frames = call.context.commands.frame_reviews
    async with transaction(frames.queries.database) as work:
        await frames.approve(work, video.id, by=caller.owner, owner=caller.visible_owner)
    return Done(success=True, message="First frames approved")


@router.mutation("video.rejectFrame")
async def reject_frame(call: Call[RequestContext], given: FrameInput) -> Done:
    """Have the first frame of a scene made again from a description, or replaced by an upload."""
    caller = call.context.caller
    caller.require("write")
    frames = call.context.commands.frame_reviews
    async with transaction(frames.queries.database) as work:
        await frames.reject(
            work,
            given.id,
            given.scene_number,
            by=caller.owner,
            description=given.description,
            image=given.image,
            owner=caller.visible_owner,
        )
    return Done(success=True, message="First frame rejected")


@router.subscription("video.events")
async def events(call: Call[RequestContext], given: EventsInput) -> AsyncIterator[Tracked[VideoEvent]]:
    """Follow a video: first the missed events, then new ones until it has ended."""
    context, row = call.context, await _get(call, given.id)
    since = None if given.since is None else min(given.since, row.last_seq)
    if video_status.VideoStatus.of(row.status).is_final and (since or 0) >= row.last_seq:
        return

    async def may_continue() -> bool:
        return await context.access.is_valid(context.caller)

    last = None
    async for event in context.event_stream.follow(given.id, since, may_continue):
        last = event.type
        # A hint has no number of its own; a client that reconnects after it has the event before it.
        number = event.after if event.seq is None else event.seq
        yield Tracked(str(number), {"type": event.type, "data": dict(event.data)})
    if last not in FINAL_EVENTS:
        raise TRPCError("SERVICE_UNAVAILABLE", "The event stream ended. Reconnect with the last event id.")


async def _get(call: Call[RequestContext], video_id: UUID | str) -> Video:
    context = call.context
    context.caller.require("read")
    return await context.videos.queries.get(video_id, owner=context.caller.visible_owner)


def _row(row: Video, public_url: str) -> VideoRow:
    shown: VideoResource = video_resource(row, public_url)
    fields = shown.model_dump(include=set(VideoRow.model_fields) - {"id", "scenes", "video_url"})
    # The application's gallery plays and downloads the film by the same link.
    link = download_link(row.video_id, public_url) if row.film else row.video_url
    return VideoRow(id=row.id, scenes=_scenes(shown.scenes), video_url=link, **fields)


def _scenes(shown: list[SceneResource]) -> list[SceneRow]:
    return [SceneRow.model_validate(scene.model_dump(include=set(SceneRow.model_fields))) for scene in shown]


def server(
    commands: Commands,
    event_stream: EventStream,
    access: Access,
    public_url: str,
    call_seconds: float,
    fallback: Fallback | None = None,
) -> Server[RequestContext]:
    """Return the tRPC server. A call may take `call_seconds`; `fallback` answers procedures of the application."""

    async def context(request: Request, calls: int) -> RequestContext:
        caller = await access.identify(request)
        request.state.allowance = await access.count(caller, calls)
        return RequestContext(caller, access, commands, event_stream, public_url)

    limits = Limits(call_seconds=call_seconds)
    return Server(Config(router, context, _explain, _observe, check_json, limits, fallback))


def _explain(error: Exception) -> TRPCError | None:
    if isinstance(error, TRPCError) and error.sentences is not None:
        # The application's page shows an error's message unchanged.
        return TRPCError(error.code, error.sentences, error.issues, error.headers)
    problem = problem_of(error)
    if problem is None:
        return None
    return TRPCError(code_of(problem.status), problem.detail or problem.title, headers=problem.headers)


def _observe(procedure: str, code: str, seconds: float) -> None:
    SECONDS.labels(procedure, code).observe(seconds)
