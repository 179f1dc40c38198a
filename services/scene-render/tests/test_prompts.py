"""The prompts of clips and pictures, as the providers' guides advise."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scene_render.providers import fal, luma_agents, prompt_builder, runway
from scene_render.providers.base import Picture, PictureOrder, Reference, Shot
from shared.catalogue.models import Model, models_of
from shared.contracts.events import SceneRequested
from shared.contracts.story import CastMember

Scene = Callable[..., SceneRequested]
MARA = CastMember(name="Mara", look="A woman of thirty with short red hair and a green raincoat")
TOM = CastMember(name="Tom", look="A tall old man with a white beard.")
HARBOUR = CastMember(name="The harbour", kind="place", look="A small stone harbour with blue boats.")
CAMERA = "Wide establishing shot, full environment visible."
SHOT = "Mara runs along the quay. Muted colours, soft morning light."


@pytest.fixture
def picture(tmp_path: Path) -> Picture:
    path = tmp_path / "picture.jpg"
    path.write_bytes(b"\xff\xd8\xff a picture")
    return Picture(path, "image/jpeg", None)


def model(provider: str, model_id: str) -> Model:
    return models_of(provider).model(model_id)


def ordered(scene: Scene, provider: str, model_id: str, *, references: tuple[Reference, ...] = ()) -> PictureOrder:
    request = scene(shot_prompt=SHOT, cast=(MARA, TOM))
    return PictureOrder(request, model(provider, model_id), "16:9", references)


def test_a_clip_from_text_describes_the_looks_of_its_cast(scene: Scene) -> None:
    shot = Shot(scene(shot_prompt=SHOT, cast=(MARA, TOM)), 5, model=model("runway", "gen4.5"))
    assert prompt_builder.clip_prompt(shot) == (
        f"{CAMERA} {SHOT} Mara: A woman of thirty with short red hair and a green raincoat. "
        "Tom: A tall old man with a white beard."
    )


def test_a_clip_from_a_first_frame_repeats_no_looks(scene: Scene, picture: Picture) -> None:
    shot = Shot(scene(shot_prompt=SHOT, cast=(MARA, TOM)), 5, picture, model("runway", "gen4_turbo"))
    assert prompt_builder.clip_prompt(shot) == f"{CAMERA} {SHOT}"


@pytest.mark.parametrize(("clip_sound", "says"), [("keep", True), ("lower", True), ("drop", False)])
def test_a_clip_with_sound_asks_for_ambience_only(scene: Scene, clip_sound: str, says: bool) -> None:
    request = scene(shot_prompt=SHOT, clip_sound=clip_sound)
    for provider, model_id in (("runway", "grok_imagine_1_5_lite"), ("fal", "ltx-2.3-fast")):
        prompt = prompt_builder.clip_prompt(Shot(request, 6, model=model(provider, model_id)))
        assert prompt.endswith("Sound: the natural ambience of the scene.") == says
    assert "Sound" not in prompt_builder.clip_prompt(Shot(request, 5, model=model("fal", "kling-3-pro")))


def test_runway_names_references_by_their_tags(scene: Scene, picture: Picture) -> None:
    order = ordered(scene, "runway", "gen4_image_turbo", references=(Reference(MARA, picture),))
    _, body = runway.request_of(order, "an-attempt")
    assert body["prompt_text"] == (
        f"{CAMERA} Mara is @Mara. {SHOT} Tom: A tall old man with a white beard."
    )  # fmt: skip
    assert [reference["tag"] for reference in body["reference_images"]] == ["Mara"]


def test_fal_and_luma_agents_name_references_by_their_numbers(scene: Scene, picture: Picture) -> None:
    references = (Reference(MARA, picture), Reference(TOM, picture), Reference(HARBOUR, picture))
    expected = (
        f"{CAMERA} Mara is the character in image 1. Tom is the character in image 2. "
        f"The harbour is the place in image 3. {SHOT}"
    )
    _, at_fal = fal.request_of(ordered(scene, "fal", "seedream-4", references=references), "an-attempt")
    at_luma = luma_agents.request_of(ordered(scene, "luma-agents", "uni-1", references=references))
    assert at_fal["prompt"] == at_luma["prompt"] == expected


def test_without_words_for_references_the_prompt_names_none(scene: Scene, picture: Picture) -> None:
    order = ordered(scene, "luma", "photon-1", references=(Reference(MARA, picture), Reference(TOM, picture)))
    assert prompt_builder.picture_prompt(order, lambda _: "") == f"{CAMERA} {SHOT}"


def test_a_first_frame_without_references_describes_the_looks(scene: Scene) -> None:
    order = ordered(scene, "runway", "gen4_image")
    prompt = prompt_builder.picture_prompt(order, lambda _: "")
    assert prompt.startswith(f"{CAMERA} {SHOT} Mara: A woman of thirty")
    assert prompt.endswith("Tom: A tall old man with a white beard.")


PORTRAIT_OF_MARA = (
    "Full shot at eye level, the whole figure from head to feet. "
    "A woman of thirty with short red hair and a green raincoat. "
    "Standing upright, facing the camera, alone in front of a plain light grey background, soft even light. "
    "Watercolour."
)
PICTURE_OF_THE_HARBOUR = (
    "Wide establishing shot, full environment visible. A small stone harbour with blue boats. "
    "Deserted and quiet, soft even light. Watercolour."
)


@pytest.mark.parametrize(("member", "expected"), [(MARA, PORTRAIT_OF_MARA), (HARBOUR, PICTURE_OF_THE_HARBOUR)])
def test_the_reference_picture_of_a_cast_member(member: CastMember, expected: str) -> None:
    order = PictureOrder(member, model("runway", "gen4_image"), "9:16", style="Place: a harbour. Watercolour")
    assert prompt_builder.picture_prompt(order, lambda _: "") == expected


def test_our_own_words_contain_no_negation_and_no_words_about_text(scene: Scene, picture: Picture) -> None:
    orders = [PictureOrder(member, model("fal", "seedream-4"), "1:1") for member in (MARA, HARBOUR)]
    words = " ".join(prompt_builder.picture_prompt(order, lambda _: "") for order in orders)
    words += " ".join((*prompt_builder.PHRASES.values(), prompt_builder.SOUND))
    forbidden = {"no", "not", "without", "never", "text", "caption", "subtitles", "watermark", "logo"}
    assert not forbidden & set(words.lower().replace(",", " ").replace(".", " ").split())


@pytest.mark.parametrize("provider", ["runway", "luma", "luma-agents", "pika", "fal"])
def test_a_prompt_is_cut_between_words_and_keeps_its_camera_and_its_looks(scene: Scene, provider: str) -> None:
    cast = tuple(CastMember(name=f"N{number}", look="🦊 look " * 30) for number in range(6))
    for one in models_of(provider).models:
        request = scene(shot_prompt="🦊 rubah " * 2000, cast=cast)
        order: Any = Shot(request, 5, model=one) if one.kind == "clip" else PictureOrder(request, one, "16:9")
        prompt = (
            prompt_builder.clip_prompt(order)
            if isinstance(order, Shot)
            else prompt_builder.picture_prompt(order, lambda _: "")
        )
        assert one.longest_prompt - 30 < len(prompt.encode("utf-16-le")) // 2 <= one.longest_prompt
        assert prompt.startswith(CAMERA)
        assert "N0: 🦊 look" in prompt


@pytest.mark.parametrize(
    ("names", "tags"),
    [
        (["Mara"], ["Mara"]),
        (["Jo", "猫", "7 of Nine"], ["cast_Jo", "cast", "cast_7_of_Nine"]),
        (["Mara!", "mára", "MARA"], ["Mara", "mara_2", "MARA_3"]),
        (["The old man from the harbour", "The old man from the hill"], ["The_old_man_from", "The_old_man_fr_2"]),
        (["Grace O'Malley"], ["Grace_O_Malley"]),
    ],
)
def test_tags_are_valid_and_different(picture: Picture, names: list[str], tags: list[str]) -> None:
    references = [Reference(CastMember(name=name), picture) for name in names]
    assert list(runway.tags_of(references)) == tags
