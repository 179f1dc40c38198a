"""Which models a shot is ordered from, and what a film costs. Estimates and rendering share these rules."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from shared.catalogue.models import MAX_REFERENCES, Model, ProviderModels
from shared.contracts.media import FRAME_RATE
from shared.contracts.story import CastMember, Quality, ShotDetails, Storyboard
from shared.contracts.timeline import OVERLAP_SECONDS, timeline
from shared.money.prices import FREE

EXPECTED_CHARACTERS = 2
"""How many characters a story has, before it is written."""


@dataclass(frozen=True)
class ShotNeeds:
    """What a shot needs. `references`: how many of its cast have, or get, a reference picture.

    `new_picture`: a person asked for another first frame.
    """

    quality: Quality = "standard"
    key_moment: bool = False
    references: int = 0
    own_picture: bool = False
    new_picture: bool = False


@dataclass(frozen=True)
class ShotOrder:
    """The models of one shot. `picture`: the model of its first frame; None: it has none, or brings its own."""

    clip: Model
    picture: Model | None = None
    references: int = 0

    @property
    def picture_usd(self) -> Decimal:
        """The price of its first frame."""
        return FREE if self.picture is None else self.picture.picture_usd(self.references)

    def starts_with_picture(self, needs: ShotNeeds) -> bool:
        """Return whether its clip starts with a picture."""
        return self.picture is not None or needs.own_picture

    def clips_usd(self, seconds: float, needs: ShotNeeds) -> Decimal:
        """Return the price of its clips for a scene of this length. Later clips start with the last frame before."""
        parts = self.clip.tariff.split(seconds)
        framed = len(parts) if self.starts_with_picture(needs) else len(parts) - 1
        return self.clip.tariff.cost(seconds) + framed * self.clip.usd_per_reference


def order_shot(models: ProviderModels, needs: ShotNeeds, seconds: float) -> ShotOrder:
    """Choose the models of a shot.

    Premium spends the premium model on key moments only. With references the first frame is made from them, so that
    people keep their looks. Without, the shot starts from text where that is possible and cheaper.
    """
    clip = models.premium if needs.quality == "premium" and needs.key_moment else models.standard
    if needs.own_picture:
        return ShotOrder(clip if clip.from_picture else _with_picture(models, clip))
    references = min(needs.references, MAX_REFERENCES)
    framed = _framed(models, clip, references)
    if (references or needs.new_picture) and framed is not None:
        return framed
    # A premium shot stays with its model if that takes text: a cheaper one would not be what was asked for.
    fallback = [models.text] if models.text is not None and (clip is models.standard or not clip.from_text) else []
    texts = [ShotOrder(model) for model in (clip, *fallback) if model.from_text]
    choices = [*texts, *([framed] if framed is not None and (clip.needs_first_frame or not texts) else [])]
    if not choices:
        return ShotOrder(clip)
    return min(choices, key=lambda order: order.picture_usd + order.clips_usd(seconds, needs))


def _framed(models: ProviderModels, clip: Model, references: int) -> ShotOrder | None:
    """Return the shot with a first frame; None: the provider cannot make or use one."""
    picture = models.referenced_picture if references else models.picture
    picture = picture or models.picture
    if picture is None or clip.from_picture is None:
        return None
    return ShotOrder(clip, picture, min(references, picture.references))


def _with_picture(models: ProviderModels, clip: Model) -> Model:
    """Return a model that takes a first frame, for one that does not."""
    return next((model for model in (models.standard, models.premium) if model.from_picture), clip)


def references_usd(models: ProviderModels, cast: Sequence[CastMember]) -> Decimal:
    """Return the price of the reference pictures that a cast needs."""
    if models.picture is None:
        return FREE
    return models.picture.picture_usd(0) * sum(member.needs_picture for member in cast)


def needs_of(quality: Quality, details: ShotDetails, cast: Sequence[CastMember]) -> ShotNeeds:
    """Return what a shot of a storyboard needs."""
    shown = [member for member in cast if member.name in details.cast and member.is_pictured]
    return ShotNeeds(quality, details.key_moment, min(len(shown), MAX_REFERENCES), details.image is not None)


def estimate_story(models: ProviderModels | None, quality: Quality, story: Storyboard) -> Decimal:
    """Estimate the cost of filming a storyboard in USD. None: the free renderer."""
    if models is None or quality == "draft":
        return FREE
    total = references_usd(models, story.pictured_cast)
    for slot, scene in zip(timeline(story.scenes), story.scenes, strict=True):
        if scene.clip is None:
            seconds = slot.clip_frames / FRAME_RATE
            needs = needs_of(quality, scene, story.cast)
            order = order_shot(models, needs, seconds)
            total += order.picture_usd + order.clips_usd(seconds, needs)
    return total


def estimate_request(
    models: ProviderModels | None, quality: Quality, seconds: float, scene_count: int, references: int = 0
) -> Decimal:
    """Estimate a film's cost before its story is written, in USD.

    Scenes of equal length with the longest overlaps, one key moment, and the expected cast: two characters in every
    scene, or as many as the request brings references.
    """
    if models is None or quality == "draft":
        return FREE
    overlap = max(OVERLAP_SECONDS.values())
    each = seconds / scene_count
    expected = references or EXPECTED_CHARACTERS
    made = max(expected - references, 0)
    total = FREE if models.picture is None else made * models.picture.picture_usd(0)
    for number in range(scene_count):
        length = each + (overlap if number + 1 < scene_count else 0)
        needs = ShotNeeds(quality, number == scene_count - 1, min(expected, MAX_REFERENCES))
        order = order_shot(models, needs, length)
        total += order.picture_usd + order.clips_usd(length, needs)
    return total
