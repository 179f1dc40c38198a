"""What each adapter orders for every model of the catalogue, at the simulator, which knows the real limits."""

import asyncio
import hashlib
import io
from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from PIL import Image

from scene_render.providers.base import (
    Failed,
    Lost,
    Order,
    Picture,
    PictureOrder,
    Reference,
    Shot,
    SubmissionDeferred,
    SubmissionRefused,
    Succeeded,
    Unknowable,
)
from scene_render.providers.callbacks import Callbacks
from shared.catalogue.models import Model, models_of
from shared.contracts.base import AspectRatio
from shared.contracts.events import CastRequested, PictureRendered, SceneRendered, SceneRequested
from shared.contracts.story import CastMember

pytestmark = pytest.mark.slow

Scene = Callable[..., SceneRequested]
PROVIDERS = ("runway", "luma", "luma-agents", "pika", "fal")
RATIOS: tuple[AspectRatio, ...] = ("16:9", "9:16", "1:1")
ATTEMPT = str(UUID(int=1))
MARA, TOM, ANA = (CastMember(name=name, look="A person") for name in ("Mara", "Tom", "Ana"))
LINK = "https://media.example/picture.jpg"


def rows(kind: str) -> list[Any]:
    return [
        pytest.param(model, id=model.key)
        for provider in PROVIDERS
        for model in models_of(provider).models
        if model.kind == kind
    ]


def a_picture(path: Path, colour: str = "red", link: str | None = LINK) -> Picture:
    Image.new("RGB", (1280, 720), colour).save(path, "JPEG")
    return Picture(path, "image/jpeg", link)


def digest(picture: Picture) -> str:
    return hashlib.sha256(picture.path.read_bytes()).hexdigest()


def references(folder: Path, members: Iterable[CastMember]) -> tuple[Reference, ...]:
    colours = ("red", "green", "blue")
    return tuple(
        Reference(member, a_picture(folder / f"{member.name}.jpg", colour))
        for member, colour in zip(members, colours, strict=False)
    )


async def ended(provider: Any, task_id: str) -> Any:
    """Wait for the end of a task and return its state."""
    for _ in range(1000):
        if isinstance(status := await provider.check(task_id), Succeeded | Failed):
            return status
        await asyncio.sleep(0.01)
    raise TimeoutError(task_id)


async def made(provider: Any, order: Order, target: Path) -> str:
    """Order, wait for the task and download its result. Returns the task's id."""
    task_id: str = await provider.submit(ATTEMPT, order)
    assert isinstance(await ended(provider, task_id), Succeeded)
    await provider.fetch(task_id, target)
    return task_id


def sent(task: dict[str, Any]) -> list[str]:
    """The digests of the pictures in an order, or their links."""
    return [picture["sha256"] or picture["link"] for picture in task["pictures"]]


@pytest.mark.parametrize("model", rows("clip"))
async def test_a_clip_of_every_model_is_accepted_at_the_price_of_the_catalogue(
    simulated: Any, scene: Scene, tmp_path: Path, model: Model
) -> None:
    first = a_picture(tmp_path / "first.jpg")
    starts = [None] * bool(model.from_text) + [first] * bool(model.from_picture)
    async with simulated.provider(model.provider) as provider:
        for ratio in RATIOS:
            for start in starts:
                for seconds in (min(model.tariff.usd), max(model.tariff.usd)):
                    request = scene(aspect_ratio=ratio, shot_prompt="🦊 rubah " * 3000)
                    await provider.submit(ATTEMPT, Shot(request, seconds, start, model))
                    task = (await simulated.tasks())[-1]
                    price = model.clip_usd(seconds, first_frame=start is not None)
                    assert (Decimal(task["priceUsd"]), task["seconds"]) == (price, seconds)
                    assert task["firstFrame"] == (start is not None)
                    assert sent(task) in ([], [digest(first)], [LINK])


@pytest.mark.parametrize("model", rows("picture"))
async def test_a_picture_of_every_model_is_made_at_the_price_of_the_catalogue(
    simulated: Any, scene: Scene, tmp_path: Path, model: Model
) -> None:
    counts = [count for count in (0, 1, 2, 3) if count <= model.references and (count or not model.needs_references)]
    async with simulated.provider(model.provider) as provider:
        for ratio, count in zip(RATIOS, counts[-3:], strict=True):
            shown = references(tmp_path, (MARA, TOM, ANA)[:count])
            request = scene(aspect_ratio=ratio, shot_prompt="A quay in the morning.", cast=(MARA, TOM, ANA))
            await made(provider, PictureOrder(request, model, ratio, shown), tmp_path / "made")
            task = (await simulated.tasks())[-1]
            assert task["kind"] == "picture"
            assert Decimal(task["chargedUsd"]) == model.picture_usd(count)
            assert sent(task) in ([digest(one.picture) for one in shown], [LINK] * count)
            with Image.open(tmp_path / "made") as picture:
                assert (picture.width > picture.height) == (ratio == "16:9")
                assert picture.format == "JPEG"
    noted = (await simulated.control.get("/requests")).json()
    assert noted["sdkRetries"] == 0


@pytest.mark.parametrize("name", PROVIDERS)
async def test_the_reference_picture_of_a_character(simulated: Any, tmp_path: Path, name: str) -> None:
    async with simulated.provider(name) as provider:
        model = provider.models.picture
        await made(provider, PictureOrder(MARA, model, "9:16", style="Watercolour."), tmp_path / "made")
    [task] = await simulated.tasks()
    assert task["prompt"].startswith("Full shot at eye level, the whole figure from head to feet. A person.")
    assert (task["kind"], task["pictures"]) == ("picture", [])


async def test_runway_gets_tagged_references(simulated: Any, scene: Scene, tmp_path: Path) -> None:
    shown = references(tmp_path, (MARA, TOM))
    async with simulated.provider("runway") as provider:
        model = provider.models.referenced_picture
        await provider.submit(ATTEMPT, PictureOrder(scene(cast=(MARA, TOM)), model, "16:9", shown))
    [task] = await simulated.tasks()
    assert task["model"] == "gen4_image_turbo"
    assert [(one["tag"], one["sha256"]) for one in task["pictures"]] == [
        ("Mara", digest(shown[0].picture)), ("Tom", digest(shown[1].picture)),
    ]  # fmt: skip
    assert "Mara is @Mara. Tom is @Tom." in task["prompt"]
    [order] = (await simulated.control.get("/requests")).json()["requests"]
    assert order["body"]["referenceImages"][0]["uri"] == f"sha256:{digest(shown[0].picture)}"


async def test_luma_gets_one_character_as_an_identity_and_several_as_pictures(
    simulated: Any, scene: Scene, tmp_path: Path
) -> None:
    async with simulated.provider("luma") as provider:
        model = provider.models.referenced_picture
        for members in ((MARA,), (MARA, TOM)):
            order = PictureOrder(scene(cast=members), model, "16:9", references(tmp_path, members))
            await provider.submit(ATTEMPT, order)
    one, two = [task["request"] for task in await simulated.tasks()]
    assert (one["character_ref"], one["image_ref"]) == ({"identity0": {"images": [LINK]}}, [])
    assert [picture["url"] for picture in two["image_ref"]] == [LINK, LINK]


async def test_luma_reads_its_own_pictures_by_a_fresh_link(simulated: Any, scene: Scene, tmp_path: Path) -> None:
    """The storage needs no public address then: for a reference, and for a first frame."""
    async with simulated.provider("luma") as provider:
        models = provider.models
        portrait = PictureOrder(MARA, models.picture, "9:16")
        task_id = await made(provider, portrait, tmp_path / "mara.jpg")
        mara = Picture(tmp_path / "mara.jpg", "image/jpeg", None, task_id)
        order = PictureOrder(scene(cast=(MARA,)), models.referenced_picture, "16:9", (Reference(MARA, mara),))
        frame_id = await made(provider, order, tmp_path / "frame.jpg")
        frame = Picture(tmp_path / "frame.jpg", "image/jpeg", None, frame_id)
        clip_id = await made(provider, Shot(scene(), 5, frame, models.standard), tmp_path / "clip.mp4")
        last = Picture(tmp_path / "frame.jpg", "image/jpeg", None, clip_id)
        await provider.submit(ATTEMPT, Shot(scene(), 5, last, models.standard))
    _, with_reference, with_frame, continued = await simulated.tasks()
    assert sent(with_reference) == [digest(mara)]
    assert sent(with_frame) == [digest(frame)]
    assert continued["request"]["keyframes"] == {"frame0": {"type": "generation", "id": clip_id}}


async def test_luma_cannot_use_a_picture_without_a_link(simulated: Any, scene: Scene, tmp_path: Path) -> None:
    picture = a_picture(tmp_path / "first.jpg", link=None)
    async with simulated.provider("luma") as provider:
        models = provider.models
        shot = Shot(scene(), 5, picture, models.standard)
        frame = PictureOrder(scene(), models.referenced_picture, "16:9", (Reference(MARA, picture),))
        for order in (shot, frame):
            with pytest.raises(SubmissionRefused, match="public HTTPS URL") as refusal:
                await provider.submit(ATTEMPT, order)
            assert not refusal.value.asked
    assert await simulated.posts() == 0


async def test_luma_is_asked_for_a_picture_before_the_order_which_waits_if_there_is_no_answer(
    simulated: Any, scene: Scene, tmp_path: Path
) -> None:
    picture = replace(a_picture(tmp_path / "first.jpg", link=None), task_id=str(UUID(int=7)))
    await simulated.wrong("get", status=503, body={"detail": "Busy"})
    async with simulated.provider("luma") as provider:
        with pytest.raises(SubmissionDeferred, match="does not answer"):
            await provider.submit(ATTEMPT, Shot(scene(), 5, picture, provider.models.standard))
    assert await simulated.posts() == 0


async def test_an_order_that_a_model_cannot_render_is_not_sent(simulated: Any, scene: Scene, tmp_path: Path) -> None:
    async with simulated.provider("runway") as provider:
        models = provider.models
        many = references(tmp_path, (MARA, TOM, ANA))
        for order, says in (
            (Shot(scene(), 5, None, models.model("gen4_turbo")), "without a picture"),
            (PictureOrder(scene(), models.model("gen4_image_turbo"), "16:9"), "without a picture"),
            (PictureOrder(scene(), models.model("gen4_image"), "16:9", (*many, *many)), "at most 3"),
            (Shot(scene(), 5), "No model"),
        ):
            with pytest.raises(SubmissionRefused, match=says) as refusal:
                await provider.submit(ATTEMPT, order)
            assert not refusal.value.asked
    assert await simulated.posts() == 0


async def test_a_picture_that_is_too_large_for_runway_is_not_sent(simulated: Any, scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "large.jpg").write_bytes(bytes(4 * 2**20))
    large = Picture(tmp_path / "large.jpg", "image/jpeg", None)
    async with simulated.provider("runway") as provider:
        with pytest.raises(SubmissionRefused, match=r"too large for Runway \(5 MB\)"):
            await provider.submit(ATTEMPT, Shot(scene(), 5, large, provider.models.model("gen4_turbo")))


@pytest.mark.parametrize(("model_id", "owner"), [("ltx-2.3-fast", "fal-ai/ltx-2.3"), ("minimax-h3", "minimax/h3")])
async def test_a_task_of_fal_is_asked_for_at_its_own_application(
    simulated: Any, scene: Scene, tmp_path: Path, model_id: str, owner: str
) -> None:
    async with simulated.provider("fal") as provider:
        model = provider.models.model(model_id)
        task_id = await made(provider, Shot(scene(), min(model.tariff.usd), None, model), tmp_path / "clip.mp4")
        application, _, request_id = task_id.partition(":")
        assert application == owner
        assert provider.task_id_of(request_id, model.key) == provider.task_id_of(task_id, model.key) == task_id
        assert isinstance(await provider.check(f"fal-ai/pika:{request_id}"), Lost)
        assert isinstance(await provider.check(f"../../control:{request_id}"), Lost)


async def test_ids_of_pika_without_an_application_are_still_found(simulated: Any, scene: Scene, tmp_path: Path) -> None:
    async with simulated.provider("pika") as provider:
        task_id = await made(provider, Shot(scene(), 5, None, provider.models.standard), tmp_path / "clip.mp4")
        assert task_id.startswith("fal-ai/pika:")
        before = task_id.partition(":")[2]
        assert isinstance(await provider.check(before), Succeeded)
        await provider.fetch(before, tmp_path / "again.mp4")


async def test_fal_calls_back_with_an_id_that_belongs_to_an_application(simulated: Any, scene: Scene) -> None:
    callbacks = Callbacks("https://calls.example", b"secret")
    async with simulated.provider("fal", callbacks) as provider:
        body = {"request_id": str(UUID(int=5)), "status": "OK"}
        said = provider.task_of_callback(body)
        assert provider.task_id_of(said, "fal/seedream-4") == f"fal-ai/bytedance:{UUID(int=5)}"
        assert provider.task_id_of(said, "fal/gone") == said


async def test_luma_agents_can_neither_be_searched_nor_cancelled(simulated: Any, scene: Scene) -> None:
    await simulated.wrong("create", outcome="never")
    async with simulated.provider("luma-agents") as provider:
        task_id = await provider.submit(ATTEMPT, Shot(scene(), 5, None, provider.models.standard))
        assert await provider.find(ATTEMPT, 100_000.0) == Unknowable()
        assert not provider.can_reconcile
        assert (await provider.cancel(task_id), await provider.cancel_if_free(task_id)) == (None, None)
        assert isinstance(await provider.check(str(UUID(int=9))), Lost)


@pytest.mark.parametrize(
    ("code", "kind", "again"),
    [
        ("content_moderated", "moderation", False), ("corrupt_input", "invalid_request", False),
        ("generation_failed", "job_failed", True), ("rate_limited", "transient", True),
        ("budget_exhausted", "credits", False),
    ],
)  # fmt: skip
async def test_a_failed_task_of_luma_agents(simulated: Any, scene: Scene, code: str, kind: str, again: bool) -> None:
    await simulated.wrong("create", outcome="failed", code=code, reason="It broke.")
    async with simulated.provider("luma-agents") as provider:
        task_id = await provider.submit(ATTEMPT, Shot(scene(), 5, None, provider.models.standard))
        status = await ended(provider, task_id)
    assert (status.kind, status.again, status.cost) == (kind, again, 0)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"status": 402, "body": {"detail": "Insufficient balance"}}, "credits"),
        (
            {"status": 429, "body": {"detail": "Too many concurrent jobs"}, "headers": {"Retry-After": "3"}},
            "rate_limit",
        ),
        ({"status": 401, "body": {"detail": "Invalid API key"}}, "auth"),
        ({"status": 503, "body": {"detail": "Busy"}}, "outage"),
    ],
)
async def test_luma_agents_refuses_orders_for_now(
    simulated: Any, scene: Scene, fault: dict[str, Any], kind: str
) -> None:
    await simulated.wrong("create", **fault)
    async with simulated.provider("luma-agents") as provider:
        with pytest.raises(SubmissionDeferred) as deferral:
            await provider.submit(ATTEMPT, Shot(scene(), 5, None, provider.models.standard))
    assert (deferral.value.kind, await simulated.posts()) == (kind, 1)


@pytest.mark.parametrize(("clip_sound", "audio"), [("keep", True), ("lower", True), ("drop", False)])
async def test_sound_is_ordered_only_if_it_is_kept(simulated: Any, scene: Scene, clip_sound: str, audio: bool) -> None:
    request = scene(clip_sound=clip_sound)
    async with simulated.provider("runway") as runway, simulated.provider("fal") as fal:
        await runway.submit(ATTEMPT, Shot(request, 5, None, runway.models.model("seedance2_mini")))
        await fal.submit(ATTEMPT, Shot(request, 6, None, fal.models.model("ltx-2.3-fast")))
        await fal.submit(ATTEMPT, Shot(request, 5, None, fal.models.model("kling-3-pro")))
    seedance, ltx, kling = [task["request"] for task in await simulated.tasks()]
    assert (seedance["audio"], ltx["generate_audio"]) == (audio, audio)
    assert kling["generate_audio"] is False  # it would cost more than the catalogue says


async def test_runway_reports_what_a_task_really_cost(simulated: Any, scene: Scene) -> None:
    """Seedance is billed at its maximum first, and refunded when the clip is done."""
    costs = set()
    async with simulated.provider("runway") as provider:
        model = provider.models.model("seedance2_mini")
        for number in range(6):
            task_id = await provider.submit(ATTEMPT, Shot(scene(shot_prompt=f"Fox {number}"), 5, None, model))
            costs.add((await ended(provider, task_id)).cost)
    assert costs == {Decimal("0.80"), Decimal("0.64")}
    assert {task["priceUsd"] for task in await simulated.tasks()} == {"0.8"}


async def test_a_seed_is_that_of_the_attempt(simulated: Any, scene: Scene) -> None:
    async with simulated.provider("runway") as provider:
        shot = Shot(scene(), 5, None, provider.models.model("gen4.5"))
        for attempt in (ATTEMPT, ATTEMPT, str(UUID(int=2))):
            await provider.submit(attempt, shot)
    first, second, third = [task["request"]["seed"] for task in await simulated.tasks()]
    assert first == second != third


async def test_a_picture_shows_small_copies_of_its_references(simulated: Any, scene: Scene, tmp_path: Path) -> None:
    shown = references(tmp_path, (MARA, TOM))
    async with simulated.provider("fal") as provider:
        model = provider.models.referenced_picture
        await made(provider, PictureOrder(scene(cast=(MARA, TOM)), model, "16:9", shown), tmp_path / "made.jpg")
    with Image.open(io.BytesIO((tmp_path / "made.jpg").read_bytes())) as picture:
        colours = [picture.convert("RGB").getpixel((x, int(picture.height * 0.9))) for x in range(picture.width)]
    assert any(red > 200 and green < 60 for red, green, _ in colours)
    assert any(green > 100 and red < 60 for red, green, _ in colours)


async def test_the_request_log_has_no_pictures_in_it(simulated: Any, scene: Scene, tmp_path: Path) -> None:
    for name in PROVIDERS:
        async with simulated.provider(name) as provider:
            models = provider.models
            first = a_picture(tmp_path / f"{name}.jpg")
            await provider.submit(ATTEMPT, Shot(scene(), min(models.standard.tariff.usd), first, models.standard))
    log: httpx.Response = await simulated.control.get("/requests")
    assert "base64" not in log.text
    assert "/9j/" not in log.text


@pytest.mark.parametrize("name", PROVIDERS)
async def test_the_wire_shows_the_same_person_from_the_reference_to_the_clip(
    sqlite_rig: Any, simulated: Any, scene: Scene, name: str
) -> None:
    """Mara is in both scenes, Tom in the second one only. What is booked is what the provider charged."""
    await sqlite_rig.use(simulated.provider(name))
    await sqlite_rig.deliver(scene(1, cast=(MARA,)))
    await sqlite_rig.deliver(scene(2, cast=(MARA, TOM)))
    cast = CastRequested(video_id=UUID(int=1), cast=(MARA, TOM), owner="o", priority="interactive")
    async with sqlite_rig.providers[name]:
        await sqlite_rig.deliver(cast)
        emitted = await sqlite_rig.play(lambda seen: len(of(SceneRendered, seen)) == 2, 60)
    stored = of(PictureRendered, emitted)
    people = {one.cast_name: one.picture.sha256 for one in stored if one.cast_name}
    frames = {one.scene_number: one.picture.sha256 for one in stored if one.scene_number}
    tasks = await simulated.tasks()
    shown = {tuple(sent(task)) for task in tasks if task["pictures"]}
    assert len(tasks) == 6
    if name == "luma":  # it reads its own pictures, which are stored in another encoding
        assert sorted(len(one["pictures"]) for one in tasks) == [0, 0, 1, 1, 1, 2]
        assert None not in {picture["sha256"] for task in tasks for picture in task["pictures"]}
    else:
        assert shown == {(people["Mara"],), (people["Mara"], people["Tom"]), (frames[1],), (frames[2],)}
    charged = sum(Decimal(task["chargedUsd"]) for task in tasks)
    [(booked, reserved)] = await sqlite_rig.rows("SELECT SUM(booked_usd), SUM(reserved_usd) FROM spend")
    assert (Decimal(str(booked)).quantize(Decimal("0.0001")), reserved) == (charged.quantize(Decimal("0.0001")), 0)


def of(kind: type, emitted: list[Any]) -> list[Any]:
    return [event for event in emitted if isinstance(event, kind)]
