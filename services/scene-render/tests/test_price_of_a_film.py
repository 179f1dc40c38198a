"""What a film of 30 s and 3 scenes with two characters costs at each simulated provider, by its own ledger."""

import asyncio
import hashlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.catalogue.models import PROVIDERS
from shared.contracts.events import (
    CastRequested,
    FramesRendered,
    PictureRendered,
    SceneFailed,
    SceneRendered,
    SceneRequested,
)
from shared.contracts.story import CastMember, Scene
from shared.contracts.timeline import timeline

MARA = CastMember(name="Mara", look="a woman of about 30 with short black hair and a red coat")
TOM = CastMember(name="Tom", look="a man of about 60 with a grey beard and a yellow oilskin")
LENGTHS = ((10, 10, 10), (11, 10, 9), (8, 12, 10), (12, 12, 6), (9, 9, 12), (5, 15, 10), (13, 9, 8), (10, 11, 9))
Ask = Callable[..., SceneRequested]


def of(kind: type, events: list[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def film(video_id: UUID, lengths: tuple[int, ...], *shown: tuple[CastMember, ...], **wish: Any) -> list[Any]:
    """The events that request a film: the cast, and each scene with those that are in its picture."""
    scenes = [
        Scene(
            scene_number=number,
            description="The harbour at dawn",
            camera_angle=("wide", "medium", "close-up")[number % 3],
            duration=seconds,
            action=f"Something happens, part {number}",
            transition="dissolve" if number < len(lengths) else "cut",
        )
        for number, seconds in enumerate(lengths, 1)
    ]
    common: dict[str, Any] = {"video_id": video_id, "owner": "o", "priority": "interactive"}
    events: list[Any] = [CastRequested(cast=(MARA, TOM), style="Light: dawn.", **common)]
    for slot, cast in zip(timeline(scenes), shown, strict=True):
        events.append(
            SceneRequested(
                scene=slot.scene,
                scene_count=len(scenes),
                shot_prompt=f"The harbour, part {slot.scene.scene_number}. Light: dawn.",
                clip_frames=slot.clip_frames,
                lead_frames=slot.lead,
                tail_frames=slot.overlap,
                aspect_ratio="16:9",
                niche="travel",
                cast=cast,
                **common,
                **wish,
            )
        )
    return events


async def made(rig: Any, events: list[Any], until: Callable[[list[Any]], bool]) -> list[Any]:
    await asyncio.gather(*map(rig.deliver, events))
    return await rig.play(lambda seen: until(seen) or bool(of(SceneFailed, seen)), seconds=240)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_standard_film_of_30_seconds_costs_at_most_2_dollars(
    sqlite_rig: Any, simulated: Any, name: str, request: pytest.FixtureRequest
) -> None:
    films = 10 if request.config.getoption("--all") else 1
    provider = simulated.provider(name)
    await sqlite_rig.use(provider)
    costs = []
    async with provider:
        for number in range(films):
            before = {task["id"] for task in await simulated.tasks()}
            video_id = uuid4()
            wanted = film(video_id, LENGTHS[number % len(LENGTHS)], (MARA, TOM), (MARA,), (TOM,))
            emitted = await made(sqlite_rig, wanted, lambda seen: len(of(SceneRendered, seen)) == 3)
            assert of(SceneFailed, emitted) == []
            tasks = [task for task in await simulated.tasks() if task["id"] not in before]
            ledger = sum(Decimal(task["chargedUsd"]) for task in tasks)
            books = await sqlite_rig.rows(f"SELECT SUM(booked_usd) FROM spend WHERE video_id = '{video_id}'")
            assert Decimal(str(books[0][0])).quantize(Decimal("0.0001")) == ledger
            assert sum(task["kind"] == "picture" for task in tasks) == 5, "two references, three first frames"
            assert Decimal("0.50") <= ledger <= Decimal("2.00")
            costs.append(ledger)
    print(f"\n{name}: {films} films, {sum(costs) / films:.4f} USD on average, at most {max(costs):.4f}")  # noqa: T201


@pytest.mark.slow
@pytest.mark.parametrize("name", ["runway", "fal"])
async def test_the_right_references_are_sent_with_every_shot_and_one_frame_is_redone_alone(
    sqlite_rig: Any, simulated: Any, name: str
) -> None:
    from shared.contracts.events import FrameRejected, FramesApproved

    provider, video_id = simulated.provider(name), uuid4()
    await sqlite_rig.use(provider)
    cast = ((MARA,), (MARA, TOM), (TOM,), ())
    async with provider:
        wanted = film(video_id, (5, 5, 5, 5), *cast, review=True)
        emitted = await made(sqlite_rig, wanted, lambda seen: bool(of(FramesRendered, seen)))
        shown = of(PictureRendered, emitted)
        references = {one.cast_name: _digest(sqlite_rig, one) for one in shown if one.purpose == "reference"}
        frames = {one.scene_number: _digest(sqlite_rig, one) for one in shown if one.purpose == "first_frame"}
        assert set(references) == {"Mara", "Tom"}
        tasks = await simulated.tasks()
        assert all(task["kind"] == "picture" for task in tasks), "no clip was bought"
        sent = [sorted(picture["sha256"] for picture in task["pictures"]) for task in tasks if task["pictures"]]
        assert sorted(sent) == sorted(sorted(references[member.name] for member in scene) for scene in cast[:3])

        rejected = FrameRejected(video_id=video_id, scene_number=2, description="They shake hands", by="a person")
        await sqlite_rig.deliver(rejected)
        emitted = await sqlite_rig.play(lambda seen: bool(of(FramesRendered, seen)), seconds=120)
        [again] = of(PictureRendered, emitted)
        assert again.scene_number == 2
        new = [task for task in await simulated.tasks() if task["id"] not in {task["id"] for task in tasks}]
        assert [task["kind"] for task in new] == ["picture"]
        assert "They shake hands" in new[0]["prompt"]
        frames[2] = _digest(sqlite_rig, again)

        await sqlite_rig.deliver(FramesApproved(video_id=video_id, by="a person"))
        await sqlite_rig.play(lambda seen: len(of(SceneRendered, seen)) == 4, seconds=240)
        clips = [task for task in await simulated.tasks() if task["kind"] == "clip"]
        assert len(clips) == 4
        starts = sorted(picture["sha256"] for task in clips for picture in task["pictures"])
        assert starts == sorted(frames[number] for number in frames)


def _digest(rig: Any, picture: PictureRendered) -> str:
    data: bytes = rig.storage.path(picture.picture.key).read_bytes()
    return hashlib.sha256(data).hexdigest()
