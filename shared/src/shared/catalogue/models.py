"""The catalogue of models: one file per provider in `providers/`, with the date and source of each price."""

import functools
import tomllib
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared.catalogue.tariff import Tariff
from shared.contracts.base import AspectRatio

PROVIDERS = ("runway", "luma", "luma-agents", "pika", "fal")
"""The providers with a file."""
MAX_REFERENCES = 3
"""The most reference pictures of one first frame: what the provider with the least takes."""

Purpose = Literal["standard", "premium", "text", "picture", "referenced_picture"]
"""What a model of a provider is used for; see `ProviderModels`."""
Override = Decimal | Mapping[int, Decimal]
"""USD per second of the known lengths, or USD by length in seconds."""


class CatalogueWrong(ValueError):
    """A catalogue file cannot be used."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place = place
        self.reason = reason


class PriceUnknown(Exception):
    """There is no such model in the catalogue."""

    def __init__(self, provider: str, model: str, known: tuple[str, ...]) -> None:
        super().__init__(
            f"The catalogue has no model {model} of {provider}; add it to MODEL_CATALOGUE (known: {', '.join(known)})"
        )
        self.provider = provider
        self.model = model


class Model(BaseModel):
    """A model that can be ordered, at one resolution. Prices are in USD, lengths in seconds.

    `id` is unique within its provider. `name` is the name on the wire: at fal, the path of its application.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: str
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._/-]{1,100}$")]
    kind: Literal["clip", "picture"]
    name: str
    source: str
    """Where the price and the fields were found."""
    as_of: date
    from_text: str | None = None
    """The endpoint that needs no first frame. None: the model always needs one."""
    from_picture: str | None = None
    """The endpoint that takes a first frame, or of a picture model, references."""
    resolution: str | None = None
    seconds: tuple[Annotated[int, Field(gt=0, le=60)], ...] = ()
    """The lengths that can be ordered."""
    seconds_as: Literal["integer", "string", "suffixed"] = "integer"
    """How the length is written: 5, "5" or "5s"."""
    usd_per_second: Annotated[Decimal, Field(ge=0)] | None = None
    usd_by_seconds: dict[int, Decimal] = {}
    """The price of one clip by its length, where it is not proportional."""
    usd: Annotated[Decimal, Field(ge=0)] | None = None
    """The price of one picture."""
    usd_per_reference: Annotated[Decimal, Field(ge=0)] = Decimal(0)
    """What each picture in the order costs in addition."""
    ratios: dict[AspectRatio, str] = {}
    """How each aspect ratio is written. One that is missing is cropped from 16:9."""
    picture_ratios: dict[AspectRatio, str] | None = None
    """The same with a first frame, where that differs. Empty: the clip follows the picture."""
    picture_field: str = "image_url"
    """The name of the field with the first frame, for a model of fal."""
    references: Annotated[int, Field(ge=0, le=14)] = 0
    """The most reference pictures it takes."""
    needs_references: bool = False
    sound: Literal["never", "always", "by request"] = "never"
    sound_field: str | None = None
    """Sent with whether sound is wanted, so that a model that is never to make sound makes none."""
    seed: bool = False
    negative_prompt: bool = False
    longest_prompt: Annotated[int, Field(gt=0)] = 1000
    """In UTF-16 code units."""

    @model_validator(mode="after")
    def _priced(self) -> "Model":
        if self.kind == "picture":
            if self.usd is None:
                raise ValueError("a picture needs `usd`")
        elif not self.usd_by_seconds and (self.usd_per_second is None or not self.seconds):
            raise ValueError("a clip needs `seconds` and `usd_per_second`, or `usd_by_seconds`")
        if self.from_text is None and self.from_picture is None:
            raise ValueError("it needs `from_text`, `from_picture`, or both")
        return self

    @property
    def key(self) -> str:
        """The name in settings, rows and receipts: `provider/id`."""
        return f"{self.provider}/{self.id}"

    @property
    def needs_first_frame(self) -> bool:
        """Whether its clips always start with a given picture."""
        return self.kind == "clip" and self.from_text is None

    @property
    def tariff(self) -> Tariff:
        """The lengths and prices of its clips, without the price of a first frame in the order."""
        if self.usd_by_seconds:
            return Tariff(self.usd_by_seconds)
        return Tariff.per_second(self.usd_per_second or Decimal(0), self.seconds)

    def clip_usd(self, seconds: int, *, first_frame: bool) -> Decimal:
        """Return the price of one clip."""
        return self.tariff.price(seconds) + (self.usd_per_reference if first_frame else 0)

    def picture_usd(self, references: int) -> Decimal:
        """Return the price of one picture made from so many references."""
        return (self.usd or Decimal(0)) + references * self.usd_per_reference

    def ratio(self, aspect: AspectRatio, *, with_picture: bool) -> str | None:
        """Return how the aspect ratio is written; None: it must not be sent, because the clip follows the picture."""
        ratios = self.picture_ratios if with_picture and self.picture_ratios is not None else self.ratios
        return ratios.get(aspect) or ratios.get("16:9")

    def overridden(self, price: Override) -> "Model":
        """Return the model with another price."""
        if isinstance(price, Mapping):
            return self.model_copy(update={"usd_by_seconds": dict(price), "usd_per_second": None})
        lengths = {seconds: price * seconds for seconds in self.tariff.usd}
        return self.model_copy(update={"usd_by_seconds": lengths, "usd_per_second": None})


class ProviderModels(BaseModel):
    """The models of one provider, and what each is used for.

    `standard` and `premium` render clips. `text` renders those that start from no picture, if that is cheaper than a
    first frame and `standard`. `picture` makes pictures from text, `referenced_picture` from text and references.
    """

    model_config = ConfigDict(frozen=True)

    provider: str
    models: tuple[Model, ...]
    standard: Model
    premium: Model
    text: Model | None = None
    picture: Model | None = None
    referenced_picture: Model | None = None

    @property
    def used(self) -> dict[Purpose, Model]:
        """The model for each purpose that has one."""
        chosen = {purpose: getattr(self, purpose) for purpose in get_args(Purpose)}
        return {purpose: model for purpose, model in chosen.items() if model is not None}

    def model(self, model_id: str) -> Model:
        """Return a model by its id or key. Raises `PriceUnknown`."""
        wanted = model_id.removeprefix(f"{self.provider}/")
        for model in self.models:
            if model.id == wanted:
                return model
        raise PriceUnknown(self.provider, model_id, tuple(model.id for model in self.models))


def key_of(provider: str, model: str | None) -> str:
    """Return the key of a model by its id or key; the provider's name, if the model is not known."""
    return f"{provider}/{model.removeprefix(f'{provider}/')}" if model and model != provider else provider


@functools.cache
def builtin() -> Mapping[str, dict[str, Any]]:
    """Return the files of this package by provider."""
    folder = resources.files(__package__) / "providers"
    files = [entry for entry in folder.iterdir() if entry.name.endswith(".toml")]
    return {
        file.name.removesuffix(".toml"): _read(file.read_text("utf-8"), file.name) for file in sorted(files, key=str)
    }


def read_file(path: Path) -> Mapping[str, dict[str, Any]]:
    """Read an operator's file: a table per provider, in the form of the built-in files. Raises `CatalogueWrong`."""
    try:
        return _read(path.read_text("utf-8"), str(path))
    except OSError as error:
        raise CatalogueWrong(str(path), f"it cannot be read: {error}") from error


def models_of(
    provider: str,
    *,
    additions: Mapping[str, dict[str, Any]] | None = None,
    uses: Mapping[str, str] | None = None,
    prices: Mapping[str, Override] | None = None,
) -> ProviderModels:
    """Return the models of a provider.

    `additions`: rows that replace those with the same id, and uses that replace others, as `read_file` returns them.
    `uses`: model ids by purpose. `prices`: overridden prices by `provider/id`.

    Raises:
        CatalogueWrong: a row is invalid or a use is unknown.
        PriceUnknown: a use names a model that is not in the catalogue.
    """
    rows: dict[str, Model] = {}
    chosen: dict[str, str] = {}
    for table in (builtin().get(provider, {}), (additions or {}).get(provider, {})):
        common = {"provider": provider, "as_of": table.get("as_of")}
        for row in table.get("models", ()):
            try:
                model = Model.model_validate({**common, **row})
            except ValidationError as error:
                fault = error.errors()[0]
                raise CatalogueWrong(f"{provider}/{row.get('id')}", f"{fault['loc']}: {fault['msg']}") from error
            rows[model.id] = model
        chosen |= table.get("uses", {})
    chosen |= uses or {}
    for key, price in (prices or {}).items():
        name, _, model_id = key.partition("/")
        if name == provider and model_id in rows:
            rows[model_id] = rows[model_id].overridden(price)
    if unknown := chosen.keys() - ProviderModels.model_fields.keys():
        raise CatalogueWrong(provider, f"unknown use {', '.join(sorted(unknown))}")

    def used(purpose: Purpose) -> Model | None:
        model_id = chosen.get(purpose)
        if not model_id:
            return None
        if model_id not in rows:
            raise PriceUnknown(provider, model_id, tuple(rows))
        return rows[model_id]

    standard = used("standard")
    if standard is None:
        raise CatalogueWrong(provider, "no model is named for `standard`")
    return ProviderModels(
        provider=provider,
        models=tuple(rows.values()),
        standard=standard,
        premium=used("premium") or standard,
        text=used("text"),
        picture=used("picture"),
        referenced_picture=used("referenced_picture"),
    )


def _read(text: str, place: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise CatalogueWrong(place, str(error)) from error
