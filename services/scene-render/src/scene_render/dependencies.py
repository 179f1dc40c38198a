"""What the handlers and the schedulers of this service work with."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from scene_render.attempts.service import Attempts
from scene_render.clips.clip_ingest import ClipIngest
from scene_render.providers.animatic import AnimaticProvider
from scene_render.providers.base import Provider
from shared.messaging.event_router import EphemeralPublisher
from shared.persistence.database import Database
from shared.process.shielded import Shielded


@dataclass(frozen=True)
class Dependencies:
    """The parts of the service. `shielded` keeps a submission whole when the task that began it is cancelled."""

    database: Database
    attempts: Attempts
    animatics: AnimaticProvider
    clips: ClipIngest
    ephemeral: EphemeralPublisher
    shielded: Shielded = field(default_factory=Shielded)

    @property
    def providers(self) -> Mapping[str, Provider]:
        """Every provider that can be asked, be it one that takes no new scenes."""
        return self.attempts.selection.providers
