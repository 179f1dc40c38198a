"""Pictures before clips: what is shown of casts and first frames, and their review before any clip is paid."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from gateway.app import Gateway
from shared.contracts.events import (
    Event,
    FrameRejected,
    FramesApproved,
    FramesRendered,
    PictureRendered,
    SceneCharged,
    SceneRendered,
    SceneStarted,
    StoryboardApproved,
    StoryboardCreated,
    VideoFailed,
    VideoRequested,
    VideoResumed,
)
from shared.contracts.media import MediaReference, first_frame_key, reference_key
from shared.contracts.story import CastMember, CastReference, ShotDetails
from shared_testing.servers import published

from .test_uploads import board, scene, sent

VIDEOS = "/api/v1/videos"
ANA = "Ana / Ibu"


@pytest.fixture
def more_settings() -> dict[str, Any]:
    return {"video_api_provider": "runway"}


def created(video_id: Any, **more: Any) -> StoryboardCreated:
    wire = board(scene(1), scene(2), scene(3))
    cast = [CastMember(name=ANA, look="a red scarf"), CastMember(name="the stall", kind="place")]
    details = [ShotDetails(cast=(ANA,)), ShotDetails(cast=(ANA,), key_moment=True), ShotDetails()]
    how = {"videoId": video_id, "storyScript": "s", "aspectRatio": "16:9", "review": True, "cast": cast}
    return StoryboardCreated.model_validate({**wire, **how, "details": details, **more})


async def emitted(gateway: Gateway, kind: type[Event]) -> list[Any]:
    return [event for event in await published(gateway.database) if isinstance(event, kind)]


class Film:
    """A video under review, with the pictures of its storage."""

    def __init__(self, api: httpx.AsyncClient, gateway: Gateway, happen: Any, folder: Path, video_id: str) -> None:
        self.api = api
        self.gateway = gateway
        self.happen = happen
        self.file = folder / "picture.jpg"
        self.id = UUID(video_id)
        self.path = f"{VIDEOS}/{video_id}"

    async def shown(self) -> dict[str, Any]:
        video: dict[str, Any] = (await self.api.get(self.path)).json()
        return video

    async def picture(self, key: str, **more: Any) -> PictureRendered:
        self.file.write_bytes(key.encode())
        media = await self.gateway.storage.put(key, self.file, "image/jpeg")
        how = {"cost_usd": "0.02", "provider": "runway", "model": "gen4_image_turbo", **more}
        return PictureRendered(video_id=self.id, picture=media, **how)

    async def frame(self, number: int, attempt: int = 1, **more: Any) -> PictureRendered:
        key = first_frame_key(self.id, number, attempt)
        return await self.picture(key, purpose="first_frame", scene_number=number, **more)

    async def reference(self) -> PictureRendered:
        how = {"purpose": "reference", "cast_name": ANA, "model": "gen4_image", "cost_usd": "0.05"}
        return await self.picture(reference_key(self.id, 1, 1), **how)

    async def with_frames(self) -> None:
        """Go on until the first frames of the first two scenes await their review."""
        await self.happen(created(self.id))
        assert (await self.api.post(f"{self.path}/approve", json={})).status_code == 202
        await self.happen(await self.reference(), await self.frame(1), await self.frame(2))
        await self.happen(charge(self.id, None, "reference", "0.05", "gen4_image"))
        await self.happen(*(charge(self.id, n, "first_frame", "0.02", "gen4_image_turbo") for n in (1, 2)))
        await self.happen(FramesRendered(video_id=self.id))
        await published(self.gateway.database)


def charge(video_id: Any, number: int | None, purpose: Any, usd: str, model: str) -> SceneCharged:
    return SceneCharged(
        video_id=video_id, scene_number=number, attempt_id=uuid4(), revision=1, owner="anonymous", provider="runway",
        day="2026-11-28", state="settled", held_usd="0", booked_usd=usd, purpose=purpose, model=model,
    )  # fmt: skip


@pytest.fixture
async def film(api: httpx.AsyncClient, gateway: Gateway, happen: Any, tmp_path: Path) -> Film:
    video = (await api.post(VIDEOS, json={"prompt": "a fox", "review": True, "quality": "premium"})).json()
    return Film(api, gateway, happen, tmp_path, video["videoId"])


async def test_pictures_are_shown_as_they_are_made(film: Film) -> None:
    await film.happen(created(film.id))
    await film.api.post(f"{film.path}/approve", json={})
    await film.happen(await film.reference(), await film.frame(2))
    video = await film.shown()
    assert (video["status"], video["currentStep"], video["awaitingReview"]) == ("processing", "scenes", False)
    ana, stall = video["cast"]
    assert (ana["name"], ana["look"], ana["referenceUsd"], ana["referenceModel"]) == (
        ANA,
        "a red scarf",
        "0.05",
        "gen4_image",
    )
    assert (stall["kind"], stall["referenceUrl"]) == ("place", None)
    assert [one["firstFrameUrl"] is not None for one in video["scenes"]] == [False, True, False]
    assert (video["scenes"][1]["firstFrameUsd"], video["scenes"][1]["firstFrameModel"]) == (
        "0.02",
        "gen4_image_turbo",
    )
    assert video["models"] == ["runway/gen4_image", "runway/gen4_image_turbo"]
    for link, key in (
        (ana["referenceUrl"], reference_key(film.id, 1, 1)),
        (video["scenes"][1]["firstFrameUrl"], first_frame_key(film.id, 2, 1)),
    ):
        redirected = await film.api.get(link, follow_redirects=True)
        assert (redirected.status_code, redirected.content) == (200, key.encode())
    for missing in ("scenes/1/frame", "scenes/9/frame", "cast/nobody/picture"):
        assert (await film.api.get(f"{film.path}/{missing}")).status_code == 404


async def test_first_frames_are_reviewed_before_clips_are_paid(film: Film) -> None:
    await film.with_frames()
    video = await film.shown()
    assert (video["status"], video["currentStep"], video["awaitingReview"]) == ("processing", "frames", True)
    assert (video["links"]["approve"], video["links"]["approveFrames"]) == (None, f"{film.path}/frames/approve")
    assert (video["etaSeconds"], video["costUsd"]) == (None, "0.0900")
    assert float(video["remainingCostUsd"]) == pytest.approx(float(video["estimatedCostUsd"]) - 0.09)
    approved = await film.api.post(f"{film.path}/frames/approve")
    assert approved.status_code == 202, approved.text
    assert (approved.json()["currentStep"], approved.json()["awaitingReview"]) == ("scenes", False)
    assert approved.json()["links"]["approveFrames"] is None
    [event] = await emitted(film.gateway, FramesApproved)
    assert (event.video_id, event.by) == (film.id, "anonymous")
    assert (await film.api.post(f"{film.path}/frames/approve", json={})).status_code == 409


async def test_a_rejected_frame_is_made_again_and_all_await_their_approval_again(film: Film) -> None:
    await film.with_frames()
    before = await film.shown()
    answer = await film.api.post(f"{film.path}/scenes/2/frame", json={"description": "Ana at the window, by night"})
    assert answer.status_code == 202, answer.text
    video = answer.json()
    assert (video["currentStep"], video["awaitingReview"]) == ("scenes", False)
    assert [one["firstFrameUrl"] is not None for one in video["scenes"]] == [True, False, False]
    assert float(video["estimatedCostUsd"]) == pytest.approx(float(before["estimatedCostUsd"]) + 0.02)
    [event] = await emitted(film.gateway, FrameRejected)
    assert (event.scene_number, event.description, event.image) == (2, "Ana at the window, by night", None)
    for path in ("scenes/1/frame", "frames/approve"):
        assert (await film.api.post(f"{film.path}/{path}", json={"description": "d"})).status_code == 409
    await film.happen(await film.frame(2, attempt=2), FramesRendered(video_id=film.id))
    video = await film.shown()
    assert (video["currentStep"], video["scenes"][1]["firstFrameUrl"] is not None) == ("frames", True)
    shown = await film.api.get(video["scenes"][1]["firstFrameUrl"], follow_redirects=True)
    assert shown.content == first_frame_key(film.id, 2, 2).encode()
    assert (await film.api.post(f"{film.path}/frames/approve", json={})).status_code == 202


async def test_a_frame_can_be_replaced_by_an_upload(film: Film) -> None:
    await film.with_frames()
    before = await film.shown()
    image = await sent(film.api)
    answer = await film.api.post(f"{film.path}/scenes/1/frame", json={"image": image})
    assert (answer.status_code, answer.json()["estimatedCostUsd"]) == (202, before["estimatedCostUsd"])
    [event] = await emitted(film.gateway, FrameRejected)
    assert (event.description, event.image.key) == (None, f"uploads/{image}.jpg")


@pytest.mark.parametrize(
    ("number", "body", "status"),
    [
        (1, {}, 422),
        (1, {"description": "d", "image": str(uuid4())}, 422),
        (1, {"description": " "}, 422),
        (1, {"description": "d" * 901}, 422),
        (1, {"image": str(uuid4())}, 422),
        (1, {"image": {"key": "videos/x/film.mp4"}}, 422),
        (4, {"description": "d"}, 404),
        (0, {"description": "d"}, 404),
    ],
)
async def test_a_wrong_rejection_changes_nothing(film: Film, number: int, body: dict[str, Any], status: int) -> None:
    await film.with_frames()
    answer = await film.api.post(f"{film.path}/scenes/{number}/frame", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert (await film.shown())["currentStep"] == "frames"
    assert await published(film.gateway.database) == []


async def test_frames_are_approved_once(film: Film) -> None:
    await film.with_frames()
    answers = await asyncio.gather(*(film.api.post(f"{film.path}/frames/approve", json={}) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 7
    assert len(await emitted(film.gateway, FramesApproved)) == 1


async def test_frames_can_be_reviewed_by_trpc(film: Film) -> None:
    async def call(name: str, **given: Any) -> httpx.Response:
        body = {"json": {"videoId": str(film.id), **given}}
        return await film.api.post(f"/api/trpc/video.{name}", json=body)

    await film.happen(created(film.id))
    assert (await call("approveFrames")).status_code == 409
    assert (await call("approve")).status_code == 200
    await film.happen(FramesRendered(video_id=film.id))
    assert (await call("rejectFrame", sceneNumber=1)).status_code == 400
    assert (await call("rejectFrame", sceneNumber=1, description="by night")).status_code == 200
    await film.happen(FramesRendered(video_id=film.id))
    assert (await call("approveFrames")).status_code == 200
    assert (await film.shown())["currentStep"] == "scenes"
    kinds = [type(event) for event in await published(film.gateway.database)]
    assert kinds == [VideoRequested, StoryboardApproved, FrameRejected, FramesApproved]


async def test_pictures_survive_what_happens_to_their_scenes(film: Film) -> None:
    await film.with_frames()
    await film.api.post(f"{film.path}/frames/approve", json={})
    await film.happen(
        SceneStarted(video_id=film.id, scene_number=1, provider="runway", eta_seconds=9),
        VideoFailed(video_id=film.id, stage="scene-render", kind="k", reason="r"),
        VideoResumed(video_id=film.id),
    )
    assert [one["firstFrameUrl"] is not None for one in (await film.shown())["scenes"]] == [True, True, False]


async def test_live_events_tell_of_pictures_and_of_the_review(film: Film) -> None:
    await film.with_frames()
    told = [(one.type, one.data) for one in await film.gateway.event_log.events_after(film.id, 0)]
    names = [name for name, _ in told]
    assert names[-4:] == ["video_picture_rendered"] * 3 + ["video_frames_rendered"]
    reference, frame = told[-4][1], told[-3][1]
    assert (reference["castName"], reference["sceneNumber"]) == (ANA, None)
    assert reference["pictureUrl"] == (await film.shown())["cast"][0]["referenceUrl"]
    assert (frame["castName"], frame["pictureUrl"]) == (None, f"{film.path}/scenes/1/frame")


async def test_charges_and_the_receipt_say_what_was_paid_for(film: Film, film_of: Any) -> None:
    await film.with_frames()
    await film.api.post(f"{film.path}/frames/approve", json={})
    clips = [one for one in await film_of(str(film.id)) if isinstance(one, SceneRendered)]
    *_, composed = await film_of(str(film.id))
    third = clips[1].model_copy(update={"scene_number": 3})
    models = ("gen4_turbo", "gen4.5", "gen4_turbo")
    rendered = [one.model_copy(update={"model": model}) for one, model in zip([*clips, third], models, strict=True)]
    await film.happen(*(charge(film.id, n, "clip", "0.50", model) for n, model in enumerate(models, 1)))
    await film.happen(*rendered, composed)
    charges = (await film.api.get("/api/v1/charges", params={"videoId": str(film.id)})).json()["charges"]
    assert sorted((one["sceneNumber"], one["purpose"], one["model"]) for one in charges)[:3] == [
        (0, "reference", "gen4_image"),
        (1, "clip", "gen4_turbo"),
        (1, "first_frame", "gen4_image_turbo"),
    ]
    receipt = (await film.api.get(f"{film.path}/receipt")).json()
    used = ["runway/gen4.5", "runway/gen4_image", "runway/gen4_image_turbo", "runway/gen4_turbo"]
    assert (receipt["quality"], receipt["models"]) == ("premium", used)
    assert sum(float(one["bookedUsd"]) for one in receipt["items"]) == float(receipt["bookedUsd"]) == 1.59
    assert receipt["items"][0] == {
        "purpose": "reference", "sceneNumber": None, "provider": "runway", "model": "gen4_image", "attempts": 1,
        "bookedUsd": "0.0500", "heldUsd": "0.0000",
    }  # fmt: skip
    second = receipt["scenes"][1]
    assert (second["model"], second["firstFrameModel"], second["bookedUsd"]) == (
        "gen4.5",
        "gen4_image_turbo",
        "0.5200",
    )


# --- the storyboard goes round


async def test_the_cast_and_its_media_survive_an_edit(film: Film) -> None:
    own, foreign = (
        MediaReference(key=key, content_type="image/jpeg", size=1, sha256="0" * 64)
        for key in (f"uploads/{uuid4()}.jpg", f"videos/{film.id}/face.jpg")
    )
    details = [ShotDetails(cast=(ANA,), image=own), ShotDetails(key_moment=True), ShotDetails()]
    cast = [CastMember(name=ANA, look="a red scarf", image=foreign)]
    await film.happen(created(film.id, details=details, cast=cast))
    storyboard = (await film.api.get(f"{film.path}/storyboard")).json()
    assert storyboard["scenes"][0]["image"] == Path(own.key).stem
    assert "face.jpg" not in str(storyboard)
    new = await sent(film.api)
    storyboard["scenes"][1]["image"] = new
    storyboard["scenes"][2]["action"] = "another action"
    stranger = {**storyboard, "cast": [{**storyboard["cast"][0], "image": str(uuid4())}]}
    refused = await film.api.post(f"{film.path}/approve", json={"storyboard": stranger})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "storyboard.cast.0.image")
    assert (await film.api.post(f"{film.path}/animatic", json={"storyboard": storyboard})).status_code == 202
    *_, drawn = await emitted(film.gateway, VideoRequested)
    assert (drawn.storyboard.scenes[0].image, drawn.storyboard.cast[0].image, drawn.quality) == (own, None, "draft")
    approved = await film.api.post(f"{film.path}/approve", json={"storyboard": storyboard})
    assert approved.status_code == 202, approved.text
    [event] = await emitted(film.gateway, StoryboardApproved)
    first, second, _ = event.storyboard.scenes
    assert (first.image, first.cast, second.key_moment) == (own, (ANA,), True)
    assert (second.image.key, event.storyboard.cast[0].image) == (f"uploads/{new}.jpg", foreign)
    again = (await film.api.get(f"{film.path}/storyboard")).json()
    assert {name: again[name] for name in ("scenes", "cast")} == {name: storyboard[name] for name in ("scenes", "cast")}


async def test_a_request_on_the_broker_brings_its_media_itself(
    api: httpx.AsyncClient, gateway: Gateway, happen: Any
) -> None:
    video_id = uuid4()
    face = MediaReference(key=f"videos/{video_id}/face.jpg", content_type="image/jpeg", size=1, sha256="0" * 64)
    references = (CastReference(name=ANA, image=face),)
    request = VideoRequested(video_id=video_id, prompt="a fox", quality="premium", references=references)
    await happen(request)
    video = (await api.get(f"{VIDEOS}/{request.video_id}")).json()
    assert (video["quality"], float(video["estimatedCostUsd"]) > 1) == ("premium", True)


# --- tiers


async def test_a_draft_is_free_and_drawn(api: httpx.AsyncClient, gateway: Gateway) -> None:
    video = (await api.post(VIDEOS, json={"prompt": "a fox", "quality": "draft"})).json()
    assert (video["quality"], float(video["estimatedCostUsd"])) == ("draft", 0)
    [event] = await emitted(gateway, VideoRequested)
    assert (event.quality, event.providers) == ("draft", ("animatic",))


async def test_an_estimate_shows_all_tiers(api: httpx.AsyncClient) -> None:
    quotes = {}
    for quality in ("draft", "standard", "premium"):
        body = {"prompt": "a fox", "sceneCount": 3, "duration": 30, "quality": quality}
        quote = (await api.post("/api/v1/estimates", json=body)).json()
        tiers = {tier["quality"]: float(tier["estimateUsd"]) for tier in quote["tiers"]}
        assert (quote["quality"], float(quote["estimateUsd"])) == (quality, tiers[quality])
        quotes[quality] = (quote["provider"], tiers)
    assert [provider for provider, _ in quotes.values()] == ["animatic", "runway", "runway"]
    [tiers] = {tuple(tiers.items()) for _, tiers in quotes.values()}
    assert dict(tiers)["draft"] == 0
    assert 0.5 <= dict(tiers)["standard"] <= 2 < dict(tiers)["premium"]
    video = (await api.post(VIDEOS, json={"prompt": "a fox", "quality": "premium"})).json()
    assert float(video["estimatedCostUsd"]) == dict(tiers)["premium"]
    [runway] = (await api.get("/api/v1/providers")).json()["providers"]
    assert {tier: float(usd) for tier, usd in runway["filmUsd"].items()} == dict(tiers)
    assert (runway["models"]["premium"], runway["models"]["picture"]) == ("runway/gen4.5", "runway/gen4_image")


@pytest.mark.parametrize(("quality", "expected"), [("draft", 1.66), ("standard", 1.66), ("premium", 2.36)])
async def test_a_charge_is_compared_with_the_price_of_its_tier(
    api: httpx.AsyncClient, gateway: Gateway, happen: Any, quality: str, expected: float
) -> None:
    video_id = (await api.post(VIDEOS, json={"prompt": "a fox", "quality": quality})).json()["videoId"]
    with pytest.raises(AssertionError, match="charge_implausible"):
        await happen(charge(video_id, 1, "clip", f"{10 * expected + 0.01:.2f}", "gen4_turbo"))
    await happen(charge(video_id, None, "reference", f"{10 * expected:.2f}", "gen4_image"))
    shown = (await api.get(f"{VIDEOS}/{video_id}")).json()
    assert float(shown["costUsd"]) == pytest.approx(10 * expected)
