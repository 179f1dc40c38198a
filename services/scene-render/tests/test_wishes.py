"""Who renders a scene that wishes for somebody."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from shared.contracts.events import SceneRequested

pytestmark = pytest.mark.slow

Scene = Callable[..., SceneRequested]


async def test_an_animatic_is_drawn_for_nothing_where_only_paid_providers_are_configured(
    desk: Any, scene: Scene
) -> None:
    await desk.hear(scene(providers=("animatic",)))
    await desk.hear(scene(video=2))
    await desk.published()
    await desk.start("animatic")
    assert await desk.rows("SELECT video_id, provider FROM attempts") == [(str(UUID(int=1)), "animatic")]
    assert await desk.rows("SELECT COUNT(*) FROM spend") == [(0,)]
    assert desk.ledger.taken == []


async def test_what_waits_for_animatics_without_a_wish_goes_to_those_who_are_configured(
    desk: Any, scene: Scene
) -> None:
    desk.configure("animatic")
    await desk.hear(scene())
    desk.configure("ledger")
    await desk.published()
    await desk.start("animatic")
    assert await desk.rows("SELECT COUNT(*) FROM attempts") == [(0,)]
    assert await desk.rows("SELECT provider, state FROM renders") == [("ledger", "waiting")]
