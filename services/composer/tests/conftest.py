import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from composer import app
from composer.internal_messages import ClipsCollected
from composer.models import Base, Film
from composer.settings import Settings
from shared.contracts.events import SceneRendered, StoryboardCreated
from shared.contracts.media import FRAME_RATE, Clip, clip_key
from shared.contracts.messages import Message
from shared.contracts.story import Scene
from shared.media.ffmpeg import Ffmpeg
from shared.messaging.event_router import Delivery
from shared.messaging.message_processor import Handled, Outcome, Service, process
from shared.persistence.migration_files import folder_of
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


@dataclass
class Composer:
    """The service as it runs, handling the messages of one video."""

    service: Service[Any]
    ephemeral: EphemeralPublisher
    folder: Path
    drawn: Path

    async def deliver(self, event: Message, message_id: str = "", attempt: int = 1) -> Outcome:
        """Handle one message, as the broker would deliver it."""
        [subscription] = [one for one in self.service.router.subscriptions if one.event is type(event)]
        delivery = Delivery(subscription.consumer, message_id or str(uuid.uuid4()), attempt=attempt)
        return await process(self.service, subscription, delivery, event.model_dump_json().encode())

    async def handle(self, *events: Message) -> list[Message]:
        """Handle these messages, and those that the service sends to itself. Return what it tells others."""
        emitted: list[Message] = []
        for event in events:
            assert await self.deliver(event) == Handled()
            for message in await published(self.service.database):
                emitted += await self.handle(message) if isinstance(message, ClipsCollected) else [message]
        return emitted

    async def film(self) -> Film:
        async with self.service.database.reading() as session:
            return (await session.execute(select(Film).where(Film.video_id == str(VIDEO)))).scalar_one()

    def objects(self) -> list[str]:
        """What is stored, without the clips."""
        stored = (path for path in (self.folder / "media").rglob("*") if path.is_file())
        return sorted(path.name for path in stored if not path.name.startswith("scene-"))

    async def rendered(self, number: int, attempt: int = 1, frames: int = SECONDS * FRAME_RATE) -> SceneRendered:
        """A clip of one colour, stored, and the event that tells of it."""
        path = self.drawn / f"{number}-{frames}.mp4"
        if not path.exists():
            source = ["-f", "lavfi", "-i", f"color={COLOURS[number - 1]}:s=1280x720:r={FRAME_RATE}"]
            form = ["-frames:v", str(frames), "-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p"]
            await Ffmpeg().run([*source, *form, "-y", str(path)], time_limit=60)
        media = await self.service.deps.storage.put(clip_key(VIDEO, number, attempt), path, "video/mp4")
        return SceneRendered(
            video_id=VIDEO,
            scene_number=number,
            clip=Clip(media=media, width=1280, height=720, frames=frames, has_audio=False),
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
