"""Prints the catalogue of models: what each costs, and what a film costs at each provider. For `make prices`."""

import itertools
import sys
from decimal import Decimal
from typing import get_args

from rich.console import Console
from rich.table import Table

from shared.catalogue.models import CatalogueWrong, Model, PriceUnknown, ProviderModels
from shared.catalogue.shot_orders import estimate_request
from shared.contracts.story import Quality
from shared.settings import ProviderName, RenderSettings, read

FILM_SECONDS, FILM_SCENES = 30, 3
WIDTH = 300
"""Columns: nothing is cut, and a narrow terminal wraps."""
TIERS: tuple[Quality, ...] = ("draft", "standard", "premium")


def main() -> None:
    """Print all models, then the price of a film at each provider."""
    console = Console(width=WIDTH)
    settings = read(RenderSettings)
    try:
        providers = [models for name in get_args(ProviderName) if (models := settings.models_of(name)) is not None]
    except (CatalogueWrong, PriceUnknown) as error:
        sys.exit(str(error))
    for models in providers:
        console.print(models.provider, style="bold")
        console.print(_models_table(models), "")
    console.print(
        f"A film of {FILM_SECONDS} s in {FILM_SCENES} scenes with two characters, in USD, without its storyboard",
        style="bold",
        highlight=False,
    )
    console.print(_films_table(providers))


def _models_table(models: ProviderModels) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("model", "used for", "USD", "lengths (s)", "prices as of", "source"):
        table.add_column(title, no_wrap=True)
    for model in models.models:
        uses = ", ".join(purpose for purpose, used in models.used.items() if used == model)
        lengths = _ranges(sorted(model.tariff.usd)) if model.kind == "clip" else ""
        table.add_row(model.id, uses, price_of(model), lengths, model.as_of.isoformat(), model.source)
    return table


def _films_table(providers: list[ProviderModels]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("provider")
    for tier in TIERS:
        table.add_column(tier, justify="right")
    for models in providers:
        prices = (estimate_request(models, tier, FILM_SECONDS, FILM_SCENES) for tier in TIERS)
        table.add_row(models.provider, *(f"{usd:.2f}" for usd in prices))
    return table


def price_of(model: Model) -> str:
    """Return the price of a model in words."""
    if model.kind == "picture":
        price = f"{_plain(model.usd or Decimal(0))} each"
    elif model.usd_per_second is not None and not model.usd_by_seconds:
        price = f"{_plain(model.usd_per_second)} per second"
    else:
        price = ", ".join(f"{seconds} s: {_plain(usd)}" for seconds, usd in sorted(model.usd_by_seconds.items()))
    if model.usd_per_reference:
        price += f", + {_plain(model.usd_per_reference)} for each picture in the order"
    return price


def _plain(usd: Decimal) -> str:
    """Return an amount with at least two decimals, and no zeros after them."""
    return f"{usd:.2f}" if usd == round(usd, 2) else f"{usd.normalize():f}"


def _ranges(lengths: list[int]) -> str:
    """Return lengths in short: `2-10`, `5, 10`."""
    found = []
    for _, group in itertools.groupby(enumerate(lengths), lambda pair: pair[1] - pair[0]):
        run = [length for _, length in group]
        found += [f"{run[0]}-{run[-1]}"] if len(run) > 2 else [str(length) for length in run]
    return ", ".join(found)


if __name__ == "__main__":
    main()
