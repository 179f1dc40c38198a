"""Write the documents that are generated from the code: the events, the settings, and the example of a `.env` file."""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

import composer.settings
import gateway.settings
import scene_render.settings
import storyboard.settings
from embedded.asyncapi import CONSUMED_BY
from shared.contracts.events import EVENTS, Event

SETTINGS: Mapping[str, type[BaseSettings]] = {
    "storyboard": storyboard.settings.Settings,
    "scene-render": scene_render.settings.Settings,
    "composer": composer.settings.Settings,
    "gateway": gateway.settings.Settings,
}
COMPOSE = "docker-compose.yml"
EVENTS_PAGE = "shared/docs/events.md"
CONFIGURATION_PAGE = "shared/docs/configuration.md"
EXAMPLE = ".env.example"

COMPOSE_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


@dataclass(frozen=True)
class Setting:
    """One environment variable: what it means, its default as it is written in a `.env` file, who reads it."""

    variable: str
    description: str
    default: str
    example: str
    is_required: bool
    services: tuple[str, ...]


def settings() -> list[Setting]:
    """Return every variable that a service reads, in the order of the classes that define them."""
    readers: dict[str, list[str]] = {}
    fields: dict[str, FieldInfo] = {}
    for service, of_service in SETTINGS.items():
        for name, field in of_service.model_fields.items():
            readers.setdefault(name, []).append(service)
            fields[name] = field
    return [
        Setting(
            variable=name.upper(),
            description=str(field.description or ""),
            default=_written(field.default),
            example=_written(field.examples[0]) if field.examples else "",
            is_required=field.is_required(),
            services=tuple(readers[name]),
        )
        for name, field in fields.items()
    ]


def compose_variables(compose: str) -> dict[str, str]:
    """Return the variables that docker-compose.yml alone reads, with their defaults."""
    known = {setting.variable for setting in settings()}
    found: dict[str, str] = {}
    for name, kind, rest in COMPOSE_VARIABLE.findall(compose):
        if name not in known:
            found[name] = rest if kind == "-" else found.get(name, "")
    return found


def _written(value: Any) -> str:  # noqa: ANN401 - the default of any field
    """Return a value the way a `.env` file holds it."""
    if value is None or value is PydanticUndefined:
        return ""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return json.dumps(value, separators=(",", ":")) if value else ""
    if isinstance(value, Mapping):
        return json.dumps(value)
    if isinstance(value, Decimal | float):
        return f"{value:f}".rstrip("0").rstrip(".") if "." in f"{value:f}" else f"{value:f}"
    return str(value)


def _groups() -> Iterator[tuple[str, list[Setting]]]:
    """Yield the settings by who reads them, those of most services first."""
    by_readers: dict[tuple[str, ...], list[Setting]] = {}
    for setting in settings():
        by_readers.setdefault(setting.services, []).append(setting)
    for services in sorted(by_readers, key=lambda services: (-len(services), services)):
        title = "All services" if len(services) == len(SETTINGS) else _listed(services)
        yield title, by_readers[services]


def _listed(services: tuple[str, ...]) -> str:
    *first, last = services
    return f"{', '.join(first)} and {last}" if first else last


def configuration_page(compose: str) -> str:
    """Return the page about the settings."""
    lines = [
        "# Configuration",
        "",
        "Generated from the settings classes by `make docs`.",
        "",
        "Each service reads the environment, or a `.env` file in its working directory. `.env.example` lists the same",
        "variables, ready to copy. `make demo` and `make run` need none of them.",
        "S3 credentials are `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, from the environment or `~/.aws`.",
    ]
    for title, group in _groups():
        lines += ["", f"## {title}", "", "| variable | meaning | default |", "|---|---|---|"]
        lines += [
            f"| `{one.variable}` | {_cell(one.description)} | {_cell(_default_cell(one))} |"
            for one in sorted(group, key=lambda setting: not setting.is_required)
        ]
    lines += ["", "## docker compose", "", "| variable | default |", "|---|---|"]
    lines += [
        f"| `{name}` | {f'`{default}`' if default else 'required'} |"
        for name, default in compose_variables(compose).items()
    ]
    return "\n".join(lines) + "\n"


def _default_cell(setting: Setting) -> str:
    if setting.is_required:
        return f"required, e.g. `{setting.example}`"
    return f"`{setting.default}`" if setting.default else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def env_example(compose: str) -> str:
    """Return the example of a `.env` file: every variable, commented out, with its default."""
    lines = [
        "# Generated from the settings classes by `make docs`. Copy to .env and set what you need.",
        "# Each value is the default, or an example where a variable has none.",
    ]
    for title, group in _groups():
        lines += ["", f"# --- {title}"]
        for one in group:
            lines += [f"# {one.description}", f"#{one.variable}={one.example if one.is_required else one.default}"]
    lines += ["", "# --- docker compose"]
    lines += [f"#{name}={default}" for name, default in compose_variables(compose).items()]
    return "\n".join(lines) + "\n"


def events_page() -> str:
    """Return the page about the events."""
    lines = [
        "# Events",
        "",
        "Generated from `shared/contracts/events.py` by `make docs`. The JSON schemas are in",
        "[`asyncapi.json`](../asyncapi.json).",
        "",
        "Events travel on the topic exchange `video`; the routing key is the event's name. Every event has `videoId`",
        "and `version`; the table lists its other fields.",
        "",
        "| event | what happened | fields | published by | consumed by |",
        "|---|---|---|---|---|",
    ]
    lines += [_event_row(event) for event in EVENTS]
    return "\n".join(lines) + "\n"


def _event_row(event: type[Event]) -> str:
    sentence = " ".join((event.__doc__ or "").split("\n\n")[0].split())
    common = set(Event.model_fields)
    fields = ", ".join(
        f"`{field.serialization_alias or field.alias or name}`"
        for name, field in event.model_fields.items()
        if name not in common
    )
    consumed_by = ", ".join(service for service, names in CONSUMED_BY.items() if event.name in names)
    kept = "" if event.stored else " (not stored)"
    published_by = ", ".join(event.publishers)
    return f"| `{event.name}`{kept} | {_cell(sentence)} | {fields} | {published_by} | {consumed_by} |"


def documents(root: Path) -> dict[Path, str]:
    """Return every generated document by its path."""
    compose = (root / COMPOSE).read_text()
    return {
        root / EVENTS_PAGE: events_page(),
        root / CONFIGURATION_PAGE: configuration_page(compose),
        root / EXAMPLE: env_example(compose),
    }


def main() -> None:
    """Write the documents of the given folder, or with `--check` fail where one is stale."""
    root = Path(sys.argv[-1])
    for path, text in documents(root).items():
        if "--check" not in sys.argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            sys.exit(f"{path} is stale: run `make docs`.")


if __name__ == "__main__":
    main()
