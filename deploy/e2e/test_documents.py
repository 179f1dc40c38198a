"""README, `.env.example` and docker-compose.yml say of the options and the events what is so."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import composer.handlers
import composer.settings
import gateway.handlers
import gateway.settings
import scene_render.handlers
import scene_render.settings
import storyboard.handlers
import storyboard.settings
from shared.contracts.events import EVENTS, OPERATOR, PRODUCER

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()
COMPOSE = (ROOT / "docker-compose.yml").read_text()

SETTINGS: dict[str, type[Any]] = {
    "storyboard": storyboard.settings.Settings,
    "scene-render": scene_render.settings.Settings,
    "composer": composer.settings.Settings,
    "gateway": gateway.settings.Settings,
}
OPTIONS = {service: {name.upper() for name in settings.model_fields} for service, settings in SETTINGS.items()}
ALL_OPTIONS = set().union(*OPTIONS.values())
STORIES = (storyboard.handlers.story, scene_render.handlers.story, composer.handlers.story, gateway.handlers.story)

OF_THE_CONTAINERS = {"BROKER_URL", "DATABASE_URL", "STORAGE_URL", "AUTH_NONE_ANYWHERE"}
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
OF_BOTO3 = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


def table(head: str) -> list[list[str]]:
    """The rows of the README's table that begins with this column."""
    rows = README.partition(f"\n| {head} |")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def names(text: str) -> list[str]:
    """What stands in backticks."""
    return re.findall("`([^`]+)`", text)


def in_compose() -> dict[str, str]:
    """The variables that docker-compose.yml takes from the environment or `.env`, and their defaults, if any."""
    optional = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", COMPOSE))
    return optional | dict.fromkeys(re.findall(r"\$\{(\w+):\?", COMPOSE), "")


def in_example() -> dict[str, str]:
    return dict(re.findall(r"^#([A-Z][A-Z0-9_]+)=(.*)$", EXAMPLE, re.MULTILINE))


def test_readme_lists_every_option_and_no_other() -> None:
    listed = [name for row in table("variable") for name in names(row[0])]
    assert sorted(listed) == sorted(ALL_OPTIONS | OF_BOTO3)


def test_the_example_lists_every_option_and_no_other() -> None:
    assert set(in_example()) == ALL_OPTIONS | set(in_compose())


def test_the_values_of_the_example_are_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in in_example():
        monkeypatch.delenv(name, raising=False)
    example = tmp_path / "example"
    example.write_text("".join(f"{name}={value}\n" for name, value in in_example().items()))
    needed = {"database_url": "sqlite://", "storage_url": "file:///"}

    def values(service: str, file: Path | None) -> dict[str, Any]:
        settings = SETTINGS[service](_env_file=file, **needed)
        told: dict[str, Any] = settings.model_dump()
        if service == "scene-render":
            # Empty stands for the provider's own address.
            told |= {f"{name}_api_url": settings.api_url(name) for name in scene_render.settings.DEFAULT_URLS}
        return told

    for service in SETTINGS:
        assert values(service, example) == values(service, None)

    defaults = in_compose()
    of_compose = {name: value for name, value in in_example().items() if name not in ALL_OPTIONS}
    assert of_compose == {name: defaults[name] for name in of_compose}


@pytest.mark.parametrize("service", SETTINGS)
def test_compose_hands_on_what_its_service_reads(service: str) -> None:
    environment: dict[str, str] = yaml.safe_load(COMPOSE)["services"][service]["environment"]
    given = {name for name, value in environment.items() if value.startswith(f"${{{name}:-")}
    assert given == OPTIONS[service] - OF_THE_CONTAINERS - OF_THE_IMAGES


def test_readme_says_who_publishes_each_event() -> None:
    named = {"any other service": PRODUCER, "an operator (`make redrive`)": OPERATOR}
    told = {
        name: {named.get(one, one) for one in row[1].split(", ")} for row in table("event") for name in names(row[0])
    }
    assert told == {event.name: set(event.publishers) for event in EVENTS}


def test_readme_says_who_hears_each_event() -> None:
    heard = {
        event.name: {s.service for s in STORIES for one in s.subscriptions if one.event is event} for event in EVENTS
    }
    told = {name: set(row[2].split(", ")) - {"the factory"} for row in table("event") for name in names(row[0])}
    assert told == heard
