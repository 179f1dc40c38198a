"""The dependencies of the handlers and schedulers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from scene_render.attempts.service import Attempts
from scene_render.clips.clip_ingest import ClipIngest
from scene_render.clips.order_files import OrderFiles
from scene_render.clips.picture_ingest import PictureIngest
from scene_render.providers.animatic import AnimaticProvider
from scene_render.providers.base import Provider
from shared.messaging.event_router import EphemeralPublisher
from shared.persistence.database import Database
from shared.process.shielded import Shielded


@dataclass(frozen=True)
class Dependencies:
    """The parts of the service. `shielded` lets a submission finish when the task that started it is cancelled."""

    database: Database
    attempts: Attempts
    animatics: AnimaticProvider
    clips: ClipIngest
    pictures: PictureIngest
    order_files: OrderFiles
    ephemeral: EphemeralPublisher
    shielded: Shielded = field(default_factory=Shielded)

    @property
    def providers(self) -> Mapping[str, Provider]:
        """All configured providers, including those that take no new scenes."""
        return self.attempts.selection.providers
