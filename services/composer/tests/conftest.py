import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from composer import app
from composer.film.encode import encode
from composer.film.join import Run, join
from composer.film.plan import Rules, plan_film
from composer.film.segments import Encoded, Segment
from composer.film.verification import verify_film
from composer.internal_messages import FilmMessage, PreviewsDue, StreamPieceDue
from composer.models import Base, Film, FilmPart
from composer.settings import Settings
from composer.sound.mix import mix_sound
from shared.contracts.events import SceneRendered, StoryboardCreated
from shared.contracts.media import FILM_PARTS, FRAME_RATE, Clip, clip_key
from shared.contracts.messages import Message
from shared.contracts.story import Scene
from shared.contracts.timeline import Slot, total_frames
from shared.media.encoding_profile import CLIP_VIDEO, COLOUR_TAGS
from shared.media.ffmpeg import Ffmpeg
from shared.media.h264_stream import NotCopyable, cut_points
from shared.media.probe import probe
from shared.messaging.event_router import Delivery
from shared.messaging.message_processor import Handled, Outcome, Service, process
from shared.persistence.migration_files import folder_of
from shared.storage.base import Storage, reference_to
from shared_testing.servers import migrated, published

VIDEO = UUID(int=7)
OWN = {"video_id": VIDEO, "owner": "publisher", "post_id": "p-7"}
SECONDS = 1
COLOURS = ("red", "lime", "blue")


@dataclass
class EphemeralPublisher:
    """Records the published progress, and runs the hook of a test at that moment."""

    events: list[Message] = field(default_factory=list)
    meanwhile: Callable[[Message], Any] | None = None

    async def publish(self, event: Message) -> None:
        self.events.append(event)
        if self.meanwhile is not None:
            await self.meanwhile(event)


async def draw(source: str, path: Path, frames: int, *more: str, forced: Sequence[int] = ()) -> None:
    """Draw a clip in the form that scene-render stores, with forced IDR pictures."""
    filters = "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,setparams=" + ":".join(
        f"{key}={value}" for key, value in COLOUR_TAGS.items()
    )
    options = [text for key, value in {**CLIP_VIDEO, "preset": "superfast"}.items() for text in (f"-{key}", str(value))]
    keyframes = ["-force_key_frames", "expr:" + "+".join(f"eq(n,{n})" for n in forced)] if forced else []
    arguments = ["-f", "lavfi", "-i", source, "-frames:v", str(frames), "-vf", filters, *options, *keyframes, *more]
    await Ffmpeg().run([*arguments, "-y", str(path)], time_limit=60)


@dataclass
class FilmMaker:
    """Makes films from clips in a folder, without a service around."""

    folder: Path
    size: tuple[int, int]

    async def clip(self, name: str, source: str, frames: int, *more: str, forced: Sequence[int] = ()) -> Clip:
        """Draw a clip, and describe it as scene-render does. With `more` options its picture may not be copyable."""
        path = self.folder / f"{name}.mp4"
        await draw(source, path, frames, *more, forced=forced)
        return await self.described(path)

    async def described(self, path: Path) -> Clip:
        facts = await probe(path)
        try:
            points = cut_points(path)
        except NotCopyable:
            points = None
        return Clip(
            media=reference_to(path.name, path, "video/mp4"),
            width=facts.width,
            height=facts.height,
            frames=facts.frames,
            has_audio=facts.audio_codec is not None,
            cut_points=points,
        )

    async def make(self, slots: Sequence[Slot], clips: Sequence[Clip], **rules: Any) -> tuple[Path, list[Segment]]:
        """Make and verify a film as the service does, with silence, and return it with its segments."""
        by_number = dict(enumerate(clips, 1))
        sets: dict[int, str] = {}
        for clip in clips:
            if clip.cut_points:
                sets.setdefault(clip.cut_points.parameter_set_id, clip.cut_points.parameter_sets)
        segments = plan_film(slots, by_number, Rules(**{"parameter_sets": sets, **rules}))
        paths = {number: self.folder / clip.media.key for number, clip in by_number.items()}
        runs = []
        for number, segment in enumerate(segments):
            if isinstance(segment, Encoded):
                path = self.folder / f"part-{number}.mp4"
                await encode(segment, paths, path, self.size, Ffmpeg())
                runs.append(Run(path, 0, segment.frames))
            else:
                runs.append(Run(paths[segment.scene_number], segment.first, segment.frames))
        sound = self.folder / "sound.m4a"
        await mix_sound([], total_frames(slots), sound, Ffmpeg())
        film = self.folder / "film.mp4"
        join(runs, sound, film)
        verify_film(film, segments, self.size, "full")
        return film, segments


@pytest.fixture(scope="session")
def make_film_maker() -> Callable[[Path], FilmMaker]:
    """Make films in a folder that several tests share."""
    return lambda folder: FilmMaker(folder, (160, 90))


@pytest.fixture
def film_maker(tmp_path: Path) -> FilmMaker:
    return FilmMaker(tmp_path, (160, 90))


@dataclass
class Composer:
    """The service as it runs, handling the messages of one video."""

    service: Service[Any]
    ephemeral: EphemeralPublisher
    folder: Path
    drawn: Path
    pieces_due: list[StreamPieceDue] = field(default_factory=list)
    previews_due: list[PreviewsDue] = field(default_factory=list)

    @property
    def storage(self) -> Storage:
        return self.service.deps.composition.storage

    async def deliver(self, event: Message, message_id: str = "", attempt: int = 1) -> Outcome:
        """Handle one message, as the broker would deliver it."""
        [subscription] = [one for one in self.service.router.subscriptions if one.event is type(event)]
        delivery = Delivery(subscription.consumer, message_id or str(uuid.uuid4()), attempt=attempt)
        return await process(self.service, subscription, delivery, event.model_dump_json().encode())

    async def handle(self, *events: Message) -> list[Message]:
        """Handle these messages, and those that the service sends to itself. Return what it tells others.

        The pieces of the stream and the previews are not made, but collected in `pieces_due` and `previews_due`.
        """
        emitted: list[Message] = []
        for event in events:
            pending = [event]
            while pending:
                message = pending.pop(0)
                if message is event or isinstance(message, FilmMessage):
                    assert await self.deliver(message) == Handled()
                    pending += await published(self.service.database)
                elif isinstance(message, StreamPieceDue):
                    self.pieces_due.append(message)
                elif isinstance(message, PreviewsDue):
                    self.previews_due.append(message)
                else:
                    emitted.append(message)
        return emitted

    async def film(self) -> Film:
        async with self.service.database.reading() as session:
            return (await session.execute(select(Film).where(Film.video_id == str(VIDEO)))).scalar_one()

    async def made(self) -> list[str]:
        """The kinds of the parts that are made."""
        async with self.service.database.reading() as session:
            return sorted(await session.scalars(select(FilmPart.kind).where(FilmPart.media.is_not(None))))

    def objects(self) -> list[str]:
        """What is stored, without the clips and the parts of films that are not finished or just have been."""
        stored = (path for path in (self.folder / "media").rglob("*") if path.is_file())
        return sorted(
            path.name for path in stored if not path.name.startswith("scene-") and path.parent.name != FILM_PARTS
        )

    async def rendered(self, number: int, attempt: int = 1, frames: int = SECONDS * FRAME_RATE) -> SceneRendered:
        """A clip of one colour, stored, and the event that tells of it."""
        path = self.drawn / f"{number}-{frames}.mp4"
        if not path.exists():
            await draw(f"color={COLOURS[number - 1]}:s=1280x720:r={FRAME_RATE}", path, frames)
        media = await self.storage.put(clip_key(VIDEO, number, attempt), path, "video/mp4")
        return SceneRendered(
            video_id=VIDEO,
            scene_number=number,
            clip=Clip(media=media, width=1280, height=720, frames=frames, has_audio=False, cut_points=cut_points(path)),
            duration=frames / FRAME_RATE,
            cost_usd=0,
            provider="p",
        )


@pytest.fixture(scope="session")
def drawn_clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the clips are that were drawn already."""
    return tmp_path_factory.mktemp("clips")


@pytest.fixture
async def composer(tmp_path: Path, drawn_clips: Path) -> AsyncIterator[Composer]:
    ephemeral, url = EphemeralPublisher(), f"sqlite+aiosqlite:///{tmp_path}/c.db"
    settings = Settings(database_url=url, storage_url=f"file://{tmp_path}/media", work_folder=tmp_path / "work")
    async with migrated(url, Base.metadata, folder_of(app.__file__)):
        service = app.build(settings, ephemeral)
        yield Composer(service, ephemeral, tmp_path, drawn_clips)
        await service.database.close()


@pytest.fixture
def storyboard() -> Callable[..., StoryboardCreated]:
    """Make the storyboard of a film with scenes of a second each."""

    def of(scenes: int = 2, **more: Any) -> StoryboardCreated:
        return StoryboardCreated(
            **OWN,
            title="t",
            niche="n",
            overall_prompt="p",
            total_duration=scenes * SECONDS,
            scenes=tuple(
                Scene(scene_number=n, description="d", camera_angle="wide", duration=1, action="a", transition="cut")
                for n in range(1, scenes + 1)
            ),
            story_script="s",
            aspect_ratio="16:9",
            **more,
        )

    return of
