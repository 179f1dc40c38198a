"""Procedures: functions with a typed input and output, under dotted names."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, Literal, TypeVar, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from gateway.trpc import issues
from gateway.trpc.superjson import UNDEFINED, defined

Kind = Literal["query", "mutation", "subscription"]

C = TypeVar("C")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Call(Generic[C]):
    """One call: the context of its request, its place in the batch, and the headers."""

    context: C
    index: int
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Tracked(Generic[T]):
    """An event of a subscription. A client that reconnects sends the last `id` as `lastEventId` of its input."""

    id: str
    data: T


@dataclass(frozen=True)
class Procedure(Generic[C]):
    """A procedure. `input` is None if it takes none; `optional`: it can be omitted.

    `output` is None for any output, which is encoded as it is.
    """

    name: str
    kind: Kind
    function: Callable[..., Any]
    input: TypeAdapter[Any] | None
    output: TypeAdapter[Any] | None
    optional: bool

    def call(self, call: Call[C], value: object) -> Any:  # noqa: ANN401 - an awaitable, or an iterator of `Tracked`
        """Call the procedure. Raises `TRPCError` if `value` is not a valid input."""
        if self.input is None or (value is UNDEFINED and self.optional):
            return self.function(call)
        try:
            return self.function(call, self.input.validate_python(self._given(value)))
        except ValidationError as error:
            # Errors of the function itself are raised when its result is awaited.
            raise issues.refused(error, self.input_schema) from None

    def _given(self, value: object) -> object:
        takes_anything = self.input is not None and self.input.core_schema["type"] == "any"
        return value if takes_anything or value is UNDEFINED else defined(value)

    def write(self, value: object) -> object:
        """Dump an output by its wire names; dates stay dates."""
        return value if self.output is None else self.output.dump_python(value, by_alias=True)

    @cached_property
    def input_schema(self) -> dict[str, Any]:
        """Return the JSON schema of the input."""
        return self.input.json_schema() if self.input is not None else {}


class Router(Generic[C]):
    """Procedures by name."""

    def __init__(self) -> None:
        self.procedures: dict[str, Procedure[C]] = {}

    def query(self, name: str) -> Callable[[F], F]:
        """Register `async def (call[, input]) -> output` as a query: it changes nothing."""
        return self._register(name, "query")

    def mutation(self, name: str) -> Callable[[F], F]:
        """Register `async def (call[, input]) -> output` as a mutation."""
        return self._register(name, "mutation")

    def subscription(self, name: str) -> Callable[[F], F]:
        """Register an `async def (call[, input]) -> AsyncIterator[Tracked[output]]` that yields."""
        return self._register(name, "subscription")

    def _register(self, name: str, kind: Kind) -> Callable[[F], F]:
        def register(function: F) -> F:
            hints = get_type_hints(function, include_extras=True)
            parameters = list(inspect.signature(function).parameters.values())[1:]
            output = hints["return"]
            if kind == "subscription":
                (tracked,) = get_args(output)
                (output,) = get_args(tracked)
            self.procedures[name] = Procedure(
                name,
                kind,
                function,
                TypeAdapter(hints[parameters[0].name]) if parameters else None,
                TypeAdapter(output) if output not in (Any, object) else None,
                optional=bool(parameters) and parameters[0].default is not inspect.Parameter.empty,
            )
            return function

        return register
