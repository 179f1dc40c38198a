"""The configured providers: their prices, load and availability as known from events."""

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal

from sqlalchemy import select

from gateway.billing.estimates import TIERS
from gateway.models import Video
from gateway.videos.scene_projection import SceneState
from shared.catalogue.shot_orders import estimate_request
from shared.contracts.provider_selection import first_provider
from shared.contracts.story import Quality
from shared.persistence.database import Database
from shared.settings import ProviderName, RenderSettings

FILM_SECONDS, FILM_SCENES = 30, 3
"""The film by which providers are compared."""


@dataclass
class ProviderFacts:
    """A provider. `prices` of its standard model are USD by clip length in seconds; empty if the provider is free.

    `notice` says why it accepts no scenes at the moment; None while no scene waits for that reason.
    """

    name: str
    model: str
    prices: dict[int, Decimal] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    """The name of the model for each purpose."""
    film_usd: dict[Quality, Decimal] = field(default_factory=dict)
    """What the usual film costs in each tier."""
    rendering: int = 0
    waiting: int = 0
    notice: str | None = None


class Providers:
    """The configured providers, the preferred one first."""

    def __init__(self, database: Database, settings: RenderSettings) -> None:
        self.database = database
        self.settings = settings

    async def facts(self) -> list[ProviderFacts]:
        """Return the facts of each provider; scenes of all owners count."""
        facts = {name: self._configured(name) for name in self.settings.providers}
        running = select(Video.scene_count, Video.scene_states, Video.providers).where(
            Video.status == "processing", Video.current_step == "scenes", Video.deleted_at.is_(None)
        )
        async with self.database.reading() as session:
            rows = (await session.execute(running)).all()
        rendering: Counter[str] = Counter()
        waiting: Counter[str] = Counter()
        for count, states, requested in rows:
            for number in range(1, count + 1):
                state = SceneState.model_validate(states.get(str(number)) or {})
                name = state.provider or first_provider(requested or (), self.settings.providers)
                if state.state in ("rendering", "unconfirmed"):
                    rendering[name] += 1
                elif state.state == "waiting":
                    waiting[name] += 1
                    if state.notice and name in facts:
                        facts[name].notice = state.notice
        for name, known in facts.items():
            known.rendering, known.waiting = rendering[name], waiting[name]
        return list(facts.values())

    def _configured(self, name: ProviderName) -> ProviderFacts:
        models = self.settings.models_of(name)
        film_usd = {tier: estimate_request(models, tier, FILM_SECONDS, FILM_SCENES) for tier in TIERS}
        if models is None:
            return ProviderFacts(name, name, film_usd=film_usd)
        used: dict[str, str] = {purpose: model.key for purpose, model in models.used.items()}
        return ProviderFacts(name, models.standard.key, dict(models.standard.tariff.usd), used, film_usd)
