"""What is wrong with the settings of providers is said in one line when the service starts."""

from pathlib import Path

import pytest

from scene_render.providers.callbacks import Callbacks
from scene_render.providers.provider_registry import paid_providers
from scene_render.settings import DEFAULT_URLS, Settings
from shared.settings import read

REQUIRED = {"DATABASE_URL": "sqlite://", "STORAGE_URL": "file:///nowhere"}
PAID = {"VIDEO_API_PROVIDER": "luma-agents", "VIDEO_API_KEY": "luma-api-x"}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Read no `.env` file."""
    monkeypatch.chdir(tmp_path)
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)


def complaint(monkeypatch: pytest.MonkeyPatch, **values: str) -> str:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        read(Settings)
    return str(ended.value)


@pytest.mark.parametrize("provider", list(DEFAULT_URLS))
def test_every_paid_provider_needs_a_key(monkeypatch: pytest.MonkeyPatch, provider: str) -> None:
    said = complaint(monkeypatch, VIDEO_PROVIDERS=provider)
    assert said == (f"{provider} needs a key: set VIDEO_API_KEY or {provider.upper().replace('-', '_')}_API_KEY")


def test_an_unknown_model_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    said = complaint(monkeypatch, **PAID, VIDEO_MODELS='{"luma-agents": {"standard": "ray-9"}}')
    assert said.startswith(
        "The catalogue has no model ray-9 of luma-agents; add it to MODEL_CATALOGUE (known: ray-3.2/"
    )
    assert "\n" not in said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[luma-agents.uses]\nmiddle = 'uni-1'", "luma-agents: unknown use middle"),
        ("[[luma-agents.models]]\nid = 'ray-4'\nkind = 'clip'", "luma-agents/ray-4: "),
        ("[luma-agents", "catalogue.toml: "),
    ],
)
def test_a_wrong_catalogue_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "catalogue.toml"
    path.write_text(text)
    said = complaint(monkeypatch, **PAID, MODEL_CATALOGUE=str(path))
    assert says in said
    assert "\n" not in said


def test_a_simulated_provider_needs_its_own_url(monkeypatch: pytest.MonkeyPatch) -> None:
    said = complaint(monkeypatch, **PAID, PROVIDERS_SIMULATED="true")
    assert said == "PROVIDERS_SIMULATED is true, but luma-agents is the real one: set LUMA_AGENTS_API_URL"


def test_every_provider_with_a_key_is_there_even_if_it_gets_no_orders_and_has_no_models(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in DEFAULT_URLS:
        monkeypatch.setenv(f"{name.upper().replace('-', '_')}_API_KEY", "luma-api-x")
    monkeypatch.setenv("VIDEO_MODELS", '{"fal": {"standard": "gone"}}')
    providers = {one.name: one for one in paid_providers(read(Settings), Callbacks("", b""))}
    assert providers.keys() == DEFAULT_URLS.keys()
    assert providers["fal"].models is None
    assert providers["pika"].models is not None
    assert providers["pika"].models.standard.id == "v2.2/720p"
