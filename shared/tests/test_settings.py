"""A wrong or missing setting is reported in one line with its name and an example, and without secrets."""

from pathlib import Path
from typing import Any

import pytest
from pydantic_settings import BaseSettings

from shared.settings import MediaSettings, RenderSettings, read

GOOD = {"DATABASE_URL": "mysql+asyncmy://u:secret@db/s", "STORAGE_URL": "file:///media"}
EXAMPLE = "Example: DATABASE_URL=mysql+asyncmy://user:password@localhost:3306/schema"
PORT = "Input should be a valid integer, unable to parse string as an integer. It is 'eighty'."
LEVEL = "Input should be 'DEBUG', 'INFO', 'WARNING', 'ERROR' or 'CRITICAL'. It is 'LOUD'."
BROKER = "It must be an address that begins with amqp:// or amqps://."
STORAGE = "It must begin with s3://bucket or file:///folder. It is '/media'."


class Lists(BaseSettings):
    origins: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("settings", "wrong", "line"),
    [
        (MediaSettings, {"DATABASE_URL": None}, f"DATABASE_URL: it is missing. {EXAMPLE}"),
        (
            MediaSettings,
            {"DATABASE_URL": "postgres://u:secret@db/s"},
            f"DATABASE_URL: It must be an address that begins with mysql+asyncmy://. {EXAMPLE}",
        ),
        (
            MediaSettings,
            {"BROKER_URL": "http://u:secret@rabbit"},
            f"BROKER_URL: {BROKER} Example: BROKER_URL=amqp://guest:guest@localhost:5672/",
        ),
        (
            MediaSettings,
            {"STORAGE_URL": "/media"},
            f"STORAGE_URL: {STORAGE} Example: STORAGE_URL=s3://bucket?endpoint=http://localhost:8333",
        ),
        (
            MediaSettings,
            {"HEALTH_PORT": "eighty"},
            f"HEALTH_PORT: {PORT} Example: HEALTH_PORT=8081",
        ),
        (
            MediaSettings,
            {"LOG_LEVEL": "loud"},
            f"LOG_LEVEL: {LEVEL} Example: LOG_LEVEL=INFO",
        ),
        (Lists, {"ORIGINS": "https://a.example"}, 'ORIGINS: this is not JSON. Example: ORIGINS=["..."]'),
        (RenderSettings, {"VIDEO_PRICES": "{"}, "VIDEO_PRICES: this is not JSON. Example: VIDEO_PRICES={}"),
    ],
)
def test_a_wrong_setting_is_reported_in_one_line(
    settings: Any, wrong: dict[str, str | None], line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in (GOOD | wrong).items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as caught:
        read(settings)
    assert caught.value.code == line
    assert "secret" not in line
