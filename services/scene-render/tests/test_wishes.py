"""Who renders a scene that wishes for somebody."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from scene_render.internal_messages import SlotOffered
from shared.contracts.events import SceneRequested
from shared_testing.servers import published

pytestmark = pytest.mark.slow

Scene = Callable[..., SceneRequested]


async def test_an_animatic_is_drawn_for_nothing_where_only_paid_providers_are_configured(
    desk: Any, scene: Scene
) -> None:
    await desk.hear(scene(providers=("animatic",)))
    await desk.hear(scene(video=2))
    await published(desk.database)
    await desk.hear(SlotOffered(video_id=UUID(int=1), provider="animatic"))
    assert await desk.rows("SELECT video_id, provider FROM attempts") == [(str(UUID(int=1)), "animatic")]
    assert await desk.rows("SELECT COUNT(*) FROM spend") == [(0,)]
    assert desk.ledger.taken == []


async def test_what_waits_for_animatics_without_a_wish_goes_to_those_who_are_configured(
    desk: Any, scene: Scene
) -> None:
    desk.configure("animatic")
    await desk.hear(scene())
    desk.configure("ledger")
    await published(desk.database)
    await desk.hear(SlotOffered(video_id=UUID(int=1), provider="animatic"))
    assert await desk.rows("SELECT COUNT(*) FROM attempts") == [(0,)]
    [offer] = await published(desk.database)
    assert offer.provider == "ledger"
