"""The catalogue of models: clip lengths, prices, and which models a shot is ordered from."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.catalogue.models import PROVIDERS, CatalogueWrong, Model, PriceUnknown, models_of, read_file
from shared.catalogue.shot_orders import ShotNeeds, estimate_request, estimate_story, order_shot
from shared.catalogue.tariff import STANDS_STILL_SECONDS
from shared.contracts.story import CastMember, ShotScene, Storyboard

CLIPS = {model.key: model for name in PROVIDERS for model in models_of(name).models if model.kind == "clip"}
USD = Decimal


@settings(deadline=None)
@given(st.integers(12, 60 * 24), st.sampled_from(sorted(CLIPS)))
def test_the_clips_of_a_scene_are_as_long_as_it_or_freeze_at_the_end(frames: int, key: str) -> None:
    tariff, seconds = CLIPS[key].tariff, frames / 24
    parts = tariff.split(seconds)
    assert set(parts) <= set(tariff.usd)
    assert sum(parts) >= seconds - STANDS_STILL_SECONDS - 1e-6
    assert tariff.cost(seconds) == sum(tariff.usd[part] for part in parts)
    if len(parts) > 1:
        # They are ordered one after the other: what is left costs no more than was promised.
        assert tariff.cost(seconds - parts[0]) <= tariff.cost(seconds) - tariff.usd[parts[0]]


@pytest.mark.parametrize(
    ("key", "seconds", "parts"),
    [
        ("runway/gen4.5", 5, (5,)), ("runway/gen4.5", 6.5, (7,)), ("runway/gen4.5", 10.75, (10,)),
        ("runway/gen4.5", 13, (7, 6)), ("runway/gen4.5", 60, (10,) * 6),
        ("luma/ray-2/720p", 5, (5,)), ("luma/ray-2/720p", 6, (9,)), ("luma/ray-2/720p", 10.75, (5, 5)),
        ("luma/ray-2/720p", 13, (9, 5)), ("luma/ray-2/720p", 17, (9, 9)),
        ("pika/v2.2/720p", 4, (5,)), ("pika/v2.2/720p", 8, (10,)), ("pika/v2.2/720p", 15, (10, 5)),
    ],
)  # fmt: skip
def test_a_scene_is_split_into_cheap_few_and_short_clips(key: str, seconds: float, parts: tuple[int, ...]) -> None:
    assert CLIPS[key].tariff.split(seconds) == parts


def story(*, cast: tuple[str, ...] = ("Mara", "Tom"), lengths: tuple[int, ...] = (10, 10, 10)) -> Storyboard:
    scenes = tuple(
        ShotScene(
            scene_number=number,
            description="d",
            camera_angle="wide",
            duration=seconds,
            action="a",
            transition="dissolve" if number < len(lengths) else "cut",
            cast=cast,
            key_moment=number == 2,
        )
        for number, seconds in enumerate(lengths, 1)
    )
    return Storyboard(
        title="t",
        niche="n",
        overall_prompt="p",
        total_duration=sum(lengths),
        scenes=scenes,
        cast=tuple(CastMember(name=name, look="tall, in a red coat") for name in cast),
    )


@pytest.mark.parametrize("provider", PROVIDERS)
@settings(deadline=None)
@given(data=st.data())
def test_a_standard_film_of_30_seconds_fits_the_owners_price_everywhere(provider: str, data: st.DataObject) -> None:
    first = data.draw(st.integers(5, 15))
    second = data.draw(st.integers(5, min(15, 25 - first)))
    cast = data.draw(st.sampled_from([(), ("Mara",), ("Mara", "Tom")]))
    models = models_of(provider)
    usd = estimate_story(models, "standard", story(cast=cast, lengths=(first, second, 30 - first - second)))
    assert USD("0.50") <= usd <= USD("2.00")
    assert estimate_story(models, "draft", story()) == 0
    assert estimate_request(models, "standard", 30, 3) <= USD("2.00")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_premium_spends_the_good_model_on_key_moments_only(provider: str) -> None:
    models = models_of(provider)
    ordinary = ShotNeeds("premium", key_moment=False, references=1)
    assert order_shot(models, ordinary, 10).clip is order_shot(models, ShotNeeds(references=1), 10).clip
    assert order_shot(models, ShotNeeds("premium", key_moment=True, references=1), 10).clip is models.premium
    assert order_shot(models, ShotNeeds("premium", key_moment=True), 10).clip is models.premium
    assert estimate_story(models, "premium", story()) > estimate_story(models, "standard", story())


def test_a_shot_with_people_starts_from_a_picture_of_them_and_one_without_from_text() -> None:
    runway = models_of("runway")
    with_people = order_shot(runway, ShotNeeds(references=5), 10)
    assert (with_people.clip.id, with_people.picture and with_people.picture.id) == ("gen4_turbo", "gen4_image_turbo")
    assert with_people.references == 3
    without = order_shot(runway, ShotNeeds(), 10)
    assert (without.clip.id, without.picture) == ("grok_imagine_1_5_lite", None)
    own = order_shot(runway, ShotNeeds(own_picture=True), 10)
    assert (own.clip.id, own.picture) == ("gen4_turbo", None)


def test_a_scene_with_its_own_clip_costs_nothing() -> None:
    board = story(cast=())
    image = {"key": "uploads/a.mp4", "content_type": "video/mp4", "size": 1, "sha256": "0" * 64}
    scenes = [scene.model_copy(update={"clip": image}) for scene in board.scenes]
    assert estimate_story(models_of("runway"), "standard", board.model_copy(update={"scenes": tuple(scenes)})) == 0


def test_an_operator_adds_models_prices_and_uses(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text("""
        [pika]
        as_of = 2026-12-01
        [pika.uses]
        standard = "v3"
        [[pika.models]]
        id = "v3"
        kind = "clip"
        name = "fal-ai/pika/v3"
        from_text = "text-to-video"
        seconds = [4, 8]
        usd_per_second = 0.01
        source = "the contract"
    """)
    models = models_of("pika", additions=read_file(file), prices={"pika/v3": USD("0.02")})
    assert (models.standard.id, models.standard.tariff.usd) == ("v3", {4: USD("0.08"), 8: USD("0.16")})
    assert models_of("runway", uses={"standard": "gen4.5"}).standard.id == "gen4.5"
    with pytest.raises(PriceUnknown, match="MODEL_CATALOGUE"):
        models_of("runway", uses={"standard": "gen3a_turbo"})
    with pytest.raises(CatalogueWrong, match="unknown use best"):
        models_of("runway", uses={"best": "gen4.5"})
    file.write_text("[pika\n")
    with pytest.raises(CatalogueWrong, match=r"models\.toml"):
        read_file(file)


@pytest.mark.parametrize("model", [m for name in PROVIDERS for m in models_of(name).models], ids=lambda m: m.key)
def test_every_row_says_where_it_comes_from(model: Model) -> None:
    assert model.source
    assert model.as_of.year == 2026
    assert model.ratio("1:1", with_picture=False)
