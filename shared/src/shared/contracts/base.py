"""The base of every value on the wire."""

from typing import Literal

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

AspectRatio = Literal["16:9", "9:16", "1:1"]


class Contract(BaseModel):
    """A value on the wire: frozen, with camelCase names. Unknown fields are ignored, so that versions can be mixed."""

    model_config = ConfigDict(
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        extra="ignore",
        allow_inf_nan=False,
    )
