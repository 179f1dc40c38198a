"""The settings are documented, and docker-compose.yml passes each to the services that read it."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import scene_render.settings
from embedded.documents import SETTINGS, settings

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / ".env.example").read_text()
COMPOSE = (ROOT / "docker-compose.yml").read_text()

OPTIONS = {service: {name.upper() for name in settings.model_fields} for service, settings in SETTINGS.items()}
OF_THE_CONTAINERS = {"BROKER_URL", "DATABASE_URL", "STORAGE_URL", "AUTH_NONE_ANYWHERE", "PROVENANCE_FOLDER"}
OF_THE_IMAGES = {
    "HOST",
    "PORT",
    "HEALTH_HOST",
    "HEALTH_PORT",
    "CALLBACK_HOST",
    "CALLBACK_PORT",
    "FFMPEG_BINARY",
    "WORK_FOLDER",
    "MEDIA_SECRET",
}


def in_example() -> dict[str, str]:
    return dict(re.findall(r"^#([A-Z][A-Z0-9_]+)=(.*)$", EXAMPLE, re.MULTILINE))


def test_every_setting_says_what_it_means_and_what_it_can_be() -> None:
    for setting in settings():
        assert setting.description, setting.variable
        assert setting.example or not setting.is_required, setting.variable


def test_the_values_of_the_example_are_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in in_example():
        monkeypatch.delenv(name, raising=False)
    assert set(in_example()) >= set().union(*OPTIONS.values())
    example = tmp_path / "example"
    example.write_text("".join(f"{name}={value}\n" for name, value in in_example().items()))
    needed = {"database_url": "sqlite://", "storage_url": "file:///"}

    def values(service: str, file: Path | None) -> dict[str, Any]:
        settings = SETTINGS[service](_env_file=file, **needed)
        values: dict[str, Any] = settings.model_dump()
        if service == "scene-render":
            # An empty value means the provider's own address.
            values |= {f"{name}_api_url": settings.api_url(name) for name in scene_render.settings.DEFAULT_URLS}
        return values

    for service in SETTINGS:
        assert values(service, example) == values(service, None)


@pytest.mark.parametrize("service", SETTINGS)
def test_compose_passes_the_settings_of_each_service(service: str) -> None:
    environment: dict[str, str] = yaml.safe_load(COMPOSE)["services"][service]["environment"]
    given = {name for name, value in environment.items() if value.startswith(f"${{{name}:-")}
    assert given == OPTIONS[service] - OF_THE_CONTAINERS - OF_THE_IMAGES
