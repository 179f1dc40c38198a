"""Scenes that request a provider."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from shared.contracts.events import SceneRequested

pytestmark = pytest.mark.slow

Scene = Callable[..., SceneRequested]


async def test_a_requested_animatic_is_free_even_with_only_paid_providers(rig: Any, scene: Scene) -> None:
    await rig.deliver(scene(providers=("animatic",)))
    await rig.deliver(scene(video=2))
    await rig.published()
    await rig.start("animatic")
    assert await rig.rows("SELECT video_id, provider FROM attempts") == [(str(UUID(int=1)), "animatic")]
    assert await rig.rows("SELECT COUNT(*) FROM spend") == [(0,)]
    assert rig.ledger.taken == []


async def test_scenes_that_did_not_request_animatics_move_to_configured_providers(rig: Any, scene: Scene) -> None:
    rig.configure("animatic")
    await rig.deliver(scene())
    rig.configure("ledger")
    await rig.published()
    await rig.start("animatic")
    assert await rig.rows("SELECT COUNT(*) FROM attempts") == [(0,)]
    assert await rig.rows("SELECT provider, state FROM renders") == [("ledger", "waiting")]
