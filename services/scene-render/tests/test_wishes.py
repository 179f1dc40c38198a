"""Who renders a scene that wishes for somebody."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from shared.contracts.events import SceneRequested

pytestmark = pytest.mark.slow

Scene = Callable[..., SceneRequested]


async def test_an_animatic_is_drawn_for_nothing_where_only_paid_providers_are_configured(
    rig: Any, scene: Scene
) -> None:
    await rig.hear(scene(providers=("animatic",)))
    await rig.hear(scene(video=2))
    await rig.published()
    await rig.start("animatic")
    assert await rig.rows("SELECT video_id, provider FROM attempts") == [(str(UUID(int=1)), "animatic")]
    assert await rig.rows("SELECT COUNT(*) FROM spend") == [(0,)]
    assert rig.ledger.taken == []


async def test_what_waits_for_animatics_without_a_wish_goes_to_those_who_are_configured(rig: Any, scene: Scene) -> None:
    rig.configure("animatic")
    await rig.hear(scene())
    rig.configure("ledger")
    await rig.published()
    await rig.start("animatic")
    assert await rig.rows("SELECT COUNT(*) FROM attempts") == [(0,)]
    assert await rig.rows("SELECT provider, state FROM renders") == [("ledger", "waiting")]
