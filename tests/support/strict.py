"""OpenAI's rules for strict JSON schemas: what it would refuse, in its own words."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_TYPES = frozenset({"string", "number", "boolean", "integer", "object", "array", "null"})
_KNOWN = frozenset(
    {"type", "description", "title", "enum", "const", "anyOf", "$ref", "$defs", "definitions", "properties",
     "required", "additionalProperties", "items", "pattern", "format", "multipleOf", "maximum", "minimum",
     "exclusiveMaximum", "exclusiveMinimum", "minItems", "maxItems"}
)  # fmt: skip
_MOST_PROPERTIES = 5000
_DEEPEST = 10
_MOST_CHARACTERS = 120_000
_MOST_CHOICES = 1000
_LONG_ENUM = 250
_LONG_ENUM_CHARACTERS = 15_000

Path = tuple[str, ...]


def fault(form: Any) -> str | None:
    """Why OpenAI would refuse the ``json_schema`` of a response format; None where it would not."""
    if not isinstance(form, Mapping) or not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", str(form.get("name", ""))):
        return (
            "Invalid 'response_format.json_schema.name': string does not match pattern. Expected a string "
            "that matches the pattern '^[a-zA-Z0-9_-]+$'."
        )
    found = next(_faults(form.get("schema")), None) if form.get("strict") else None
    return found and f"Invalid schema for response_format {form['name']!r}: {found}"


def _faults(schema: Any) -> Iterator[str]:
    if not isinstance(schema, Mapping) or schema.get("type") != "object":
        told = schema.get("type") if isinstance(schema, Mapping) else None
        yield f"""schema must be a JSON Schema of 'type: "object"', got 'type: "{told}"'."""
        return
    if "anyOf" in schema:
        yield "In context=(), 'anyOf' is not permitted."
    yield from _nested(schema, (), 0)
    yield from _sizes(schema)


def _nested(schema: Any, path: Path, depth: int) -> Iterator[str]:
    """The faults of a schema and of all that lies in it."""
    if not isinstance(schema, Mapping):
        yield f"In context={path}, schema must be an object."
        return
    if depth > _DEEPEST:
        yield f"Invalid schema: {depth} levels of nesting exceeds limit of {_DEEPEST}."
        return
    yield from _keywords(schema, path)
    kinds = schema.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "object" in kinds:
        yield from _object(schema, path)
    if "array" in kinds and "items" not in schema:
        yield f"In context={path}, array schema missing items."
    deeper = depth + 1 if {"object", "array"} & set(kinds) else depth
    for step, inner in _inner(schema):
        yield from _nested(inner, (*path, *step), deeper)


def _inner(schema: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    for holder in ("properties", "$defs", "definitions"):
        for name, inner in dict(schema.get(holder, {})).items():
            yield (holder, name), inner
    if "items" in schema:
        yield ("items",), schema["items"]
    for at, inner in enumerate(schema.get("anyOf", ())):
        yield ("anyOf", str(at)), inner


def _keywords(schema: Mapping[str, Any], path: Path) -> Iterator[str]:
    for keyword in schema:
        if keyword not in _KNOWN:
            yield f"In context={path}, '{keyword}' is not permitted."
    if "$ref" in schema:
        if len(schema) > 1:
            others = sorted(schema.keys() - {"$ref"})
            yield f"In context={path}, $ref cannot have keywords {set(others)}."
        return
    if not schema.keys() & {"type", "anyOf", "enum", "const"}:
        yield f"In context={path}, schema must have a 'type' key."
    kinds = schema.get("type", ())
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        if kind not in _TYPES:
            yield f"In context={path}, '{kind}' is not a valid type."
    if "enum" in schema:
        yield from _choices(schema["enum"], path)
    yield from _alternatives(schema.get("anyOf", ()))


def _choices(values: Any, path: Path) -> Iterator[str]:
    if not isinstance(values, list) or not values:
        yield f"In context={path}, 'enum' must be a non-empty array."
    elif len(values) != len({repr(value) for value in values}):
        yield f"In context={path}, 'enum' has duplicate items."
    elif len(values) > _LONG_ENUM and sum(len(str(value)) for value in values) > _LONG_ENUM_CHARACTERS:
        yield f"Enum at {path} is too large: its string length exceeds limit of {_LONG_ENUM_CHARACTERS}."


def _alternatives(schemas: Any) -> Iterator[str]:
    firsts = [
        next(iter(schema["properties"]), None)
        for schema in schemas
        if isinstance(schema, Mapping) and schema.get("properties")
    ]
    if len(firsts) != len(set(firsts)):
        yield "Objects provided via 'anyOf' must not share identical first keys."


def _object(schema: Mapping[str, Any], path: Path) -> Iterator[str]:
    if schema.get("additionalProperties") is not False:
        yield f"In context={path}, 'additionalProperties' is required to be supplied and to be false."
    properties, required = schema.get("properties", {}), schema.get("required")
    listed = required if isinstance(required, list) else []
    missing = next((name for name in properties if name not in listed), None)
    if missing is not None or not isinstance(required, list):
        yield (
            f"In context={path}, 'required' is required to be supplied and to be an array including every "
            f"key in properties. Missing '{missing}'."
        )
    extra = next((name for name in listed if name not in properties), None)
    if extra is not None:
        yield f"In context={path}, 'required' is invalid. Extra required key '{extra}' supplied."


def _sizes(schema: Mapping[str, Any]) -> Iterator[str]:
    """The limits on a whole schema."""
    names: list[str] = []
    choices: list[str] = []
    todo: list[Any] = [schema]
    while todo:
        item = todo.pop()
        if not isinstance(item, Mapping):
            continue
        names += [*item.get("properties", {}), *item.get("$defs", {})]
        choices += [str(value) for value in item.get("enum", ())]
        todo += [inner for _, inner in _inner(item)]
    if len(names) > _MOST_PROPERTIES:
        yield f"{len(names)} properties exceeds limit of {_MOST_PROPERTIES}."
    if len(choices) > _MOST_CHOICES:
        yield f"{len(choices)} enum values exceeds limit of {_MOST_CHOICES}."
    length = sum(map(len, (*names, *choices)))
    if length > _MOST_CHARACTERS:
        yield f"The total string length {length} exceeds limit of {_MOST_CHARACTERS}."
