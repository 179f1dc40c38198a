"""What a scene orders next: its first frame, or a clip. No I/O."""

from dataclasses import dataclass
from decimal import Decimal

from scene_render.models import Product, Render
from scene_render.scenes.order import request_of, seconds_to_order
from shared.catalogue.models import Model, ProviderModels
from shared.catalogue.shot_orders import ShotNeeds, order_shot
from shared.contracts.media import FRAME_RATE
from shared.money.prices import FREE


class PictureNotOffered(Exception):
    """The provider makes no pictures."""

    def __init__(self, provider: str) -> None:
        super().__init__(f"{provider} makes no pictures: its catalogue names no model for them.")
        self.provider = provider


@dataclass(frozen=True)
class NextStep:
    """What is ordered next, from which model, and the highest price. `seconds`: the length of a clip; else 0.

    `model`: None: the free renderer.
    """

    product: Product
    model: Model | None
    seconds: int
    usd: Decimal


def next_step(render: Render, models: ProviderModels | None, references: int) -> NextStep:
    """Return the next step of a scene or reference picture. `references`: how many pictures of its cast there are.

    Raises:
        PictureNotOffered: it is a reference picture, and the provider makes none.
    """
    if render.is_reference:
        if models is None or models.picture is None:
            raise PictureNotOffered(render.provider)
        return NextStep("reference", models.picture, 0, models.picture.picture_usd(0))
    if models is None:
        return NextStep("clip", None, seconds_to_order(render, None), FREE)
    request = request_of(render)
    has_picture = render.picture is not None or request.first_frame is not None
    asked = render.product == "first_frame" and not has_picture
    needs = ShotNeeds(request.quality, request.key_moment, references, has_picture, new_picture=asked)
    order = order_shot(models, needs, request.clip_frames / FRAME_RATE)
    if order.picture is not None and not render.parts:
        return NextStep("first_frame", order.picture, 0, order.picture_usd)
    seconds = seconds_to_order(render, order.clip)
    framed = bool(render.parts) or has_picture
    return NextStep("clip", order.clip, seconds, order.clip.clip_usd(seconds, first_frame=framed))
