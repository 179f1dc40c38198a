"""Generates TypeScript: types from JSON schemas, and the `AppRouter` of a router's clients."""

import json
import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, TypeAdapter

from gateway.trpc.router import Procedure, Router

PLAIN_TYPES = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
NAME = re.compile(r"[A-Za-z_$][\w$]*")

Schema = dict[str, Any]

ROOT = """\
export interface ErrorShape {
  /** For people; for an invalid input, its issues as JSON. */
  message: string;
  code: TRPC_ERROR_CODE_NUMBER;
  data: {
    code: TRPC_ERROR_CODE_KEY;
    httpStatus: number;
    path?: string;
    /** What is wrong with the input; null for other errors. */
    zodError: { formErrors: string[]; fieldErrors: Record<string, string[] | undefined> } | null;
    /** Identifies the request in the log of the server. */
    requestId: string;
  };
}

interface Root {
  ctx: object;
  meta: object;
  errorShape: ErrorShape;
  transformer: true;
}"""

# Every supported version of @trpc/server exports these names; later ones have better names, too.
IMPORTS = """\
import type {
  BuiltRouter,
  MutationProcedure,
  QueryProcedure,
  SubscriptionProcedure,
  TRPC_ERROR_CODE_KEY,
  TRPC_ERROR_CODE_NUMBER,
} from '@trpc/server/unstable-core-do-not-import';"""


class Types:
    """Named types, collected while they are referenced."""

    def __init__(self, date: str = "Date") -> None:
        self.date = date
        self.named: dict[str, str] = {}

    def of(self, schema: Schema) -> str:
        """Return the type of a schema, and collect the types that it names."""
        for name, inner in schema.get("$defs", {}).items():
            self._name(name, inner)
        if schema.get("type") == "object" and "properties" in schema and "title" in schema:
            self._name(schema["title"], schema)
            return str(schema["title"])
        return self._type(schema)

    def model(self, model: type[BaseModel]) -> str:
        """Return the type of a model as it is serialized."""
        return self.of(model.model_json_schema(mode="serialization"))

    def _name(self, name: str, schema: Schema) -> None:
        text = f"{_comment(schema)}export interface {name} {self._object(schema)}"
        if "properties" not in schema:
            text = f"{_comment(schema)}export type {name} = {self._type(schema)};"
        if self.named.setdefault(name, text) != text:
            raise ValueError(f"two types are called {name}")

    def _type(self, schema: Schema) -> str:
        if "tsType" in schema:
            return str(schema["tsType"])
        if "$ref" in schema:
            return str(schema["$ref"].rsplit("/", 1)[-1])
        if "const" in schema:
            return json.dumps(schema["const"])
        if "enum" in schema:
            return " | ".join(json.dumps(value) for value in schema["enum"])
        if "anyOf" in schema:
            return " | ".join(dict.fromkeys(self._type(part) for part in schema["anyOf"]))
        kind = schema.get("type")
        if kind == "string" and schema.get("format") == "date-time":
            return self.date
        if kind == "array":
            item = self._type(schema.get("items", {}))
            return f"({item})[]" if "|" in item else f"{item}[]"
        if kind == "object":
            return self._object(schema)
        return PLAIN_TYPES.get(str(kind), "unknown")

    def _object(self, schema: Schema) -> str:
        properties = schema.get("properties")
        if properties is None:
            more = schema.get("additionalProperties", True)
            return f"Record<string, {self._type(more) if isinstance(more, dict) else 'unknown'}>"
        required = set(schema.get("required", ()))
        lines = (
            _indented(f"{_comment(inner)}{_key(name)}{'' if name in required else '?'}: {self._type(inner)};")
            for name, inner in properties.items()
        )
        return "{\n" + "\n".join(lines) + "\n}"


def router_types(router: Router[Any], types: Types) -> str:
    """Return the type `AppRouter`, and collect the types that it names."""
    tree: dict[str, Any] = {}
    for name, procedure in router.procedures.items():
        *way, last = name.split(".")
        here = tree
        for part in way:
            here = here.setdefault(part, {})
        here[last] = _procedure(procedure, types)
    return f"export type AppRouter = BuiltRouter<Root, {_tree(tree)}>;"


def _procedure(procedure: Procedure[Any], types: Types) -> str:
    given = "void"
    if procedure.input is not None:
        given = types.of(_without_null(procedure.input_schema) if procedure.optional else procedure.input_schema)
        given += " | undefined | void" if procedure.optional else ""
    adapter: TypeAdapter[Any] | None = procedure.output
    answered = types.of(adapter.json_schema(mode="serialization")) if adapter is not None else "unknown"
    if procedure.kind == "subscription":
        answered = f"AsyncIterable<{{ id: string; data: {answered} }}, void, unknown>"
    doc = (procedure.function.__doc__ or "").strip().replace("\n", " ")
    kind = f"{procedure.kind.capitalize()}Procedure"
    return f"/** {doc} */\n@: {kind}<{{ meta: object; input: {given}; output: {answered} }}>;"


def _without_null(schema: Schema) -> Schema:
    """Return the schema without null: TypeScript clients omit an optional input."""
    [only] = [part for part in schema["anyOf"] if part.get("type") != "null"]
    return {"$defs": schema.get("$defs", {}), **only}


def _tree(tree: dict[str, Any]) -> str:
    lines = []
    for name, item in tree.items():
        lines.append(_indented(f"{name}: {_tree(item)};" if isinstance(item, dict) else item.replace("@", name, 1)))
    return "{\n" + "\n".join(lines) + "\n}"


def _key(name: str) -> str:
    return name if NAME.fullmatch(name) else json.dumps(name)


def _comment(schema: Schema) -> str:
    text = re.sub(r"\s+", " ", schema.get("description", "")).strip().replace("*/", "* /")
    return f"/** {text} */\n" if text else ""


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" if line else line for line in text.split("\n"))


def paragraphs(parts: Iterable[str]) -> str:
    """Join the parts of a file."""
    return "\n\n".join(parts) + "\n"
