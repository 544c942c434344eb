"""A JSON Schema of streams.yml, for editors: made from the models that validate it.

What a schema cannot see (that a role names a field, that a stream stands twice) load_streams reports.
"""

import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from ingestion.connectors.registry import connectors
from ingestion.declare.fields import STAGING_COLUMNS, FieldSpec, name_schema, type_schema
from ingestion.declare.origins import ORIGINS
from ingestion.declare.sequence import SequenceSpec
from ingestion.declare.stream import DEFAULT_FORMAT, RESERVED_NAMES, CastErrorLimits, Stream
from ingestion.declare.times import TIME_TYPES
from ingestion.formats.registry import find_format, formats

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def streams_schema() -> dict[str, Any]:
    """The schema of a whole file, with every installed kind of source and format."""
    field = schema_of(FieldSpec)
    field.pop("required", None)  # the path is the name where none is given
    field["oneOf"] = [
        {"required": ["type"], "not": _any_of(ORIGINS)},
        *({"required": [each], "not": _any_of({"path", *ORIGINS} - {each})} for each in ORIGINS),
    ]
    field["dependentSchemas"] = {"broker_time": {"properties": {"type": {"enum": list(TIME_TYPES)}}}}
    stream = schema_of(Stream)
    properties = stream["properties"]
    del properties["name"]
    stream["required"].remove("name")
    kinds = [schema_of(each.spec) for each in connectors()]
    properties["source"] = {"description": "Where events come from.", "anyOf": kinds}
    for name in ("format", "key"):
        properties[name] = _format_schema(properties[name]["description"])
    properties["format"]["default"] = str(DEFAULT_FORMAT)
    properties["fields"] |= {
        "propertyNames": name_schema(without=STAGING_COLUMNS),
        "additionalProperties": {"anyOf": [type_schema(), field]},
    }
    properties["cast_errors"] = schema_of(CastErrorLimits)
    properties["sequence"] = schema_of(SequenceSpec)
    properties["sequence"]["examples"] = [{"per": "device_id", "field": "n"}]
    properties["fields"].pop("patternProperties")  # says the same, less precisely
    return {
        "$schema": DRAFT,
        "title": "streams.yml",
        "description": "The streams of a Millrace project: a name each, and what is read.",
        "type": ["object", "null"],
        "propertyNames": name_schema(without=RESERVED_NAMES),
        "additionalProperties": stream,
    }


def _format_schema(description: str) -> dict[str, Any]:
    """The schema of `format`: a word, or one format with its options."""
    options = {name: find_format(name).options for name in formats()}
    said = {name: schema_of(model) for name, model in options.items() if model.model_fields}
    mapping = {"type": "object", "properties": said, "additionalProperties": False,
               "minProperties": 1, "maxProperties": 1}  # fmt: skip
    return {"description": description, "anyOf": [{"enum": list(options)}, mapping]}


def _any_of(keys: Iterable[str]) -> dict[str, Any]:
    return {"anyOf": [{"required": [key]} for key in sorted(keys)]}


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """A model's schema with the descriptions of its docstring and without generated titles."""
    schema = _inlined(model.model_json_schema())
    schema["description"] = (model.__doc__ or "").strip().partition("\n")[0]
    described = _attributes(model)
    for name, part in schema["properties"].items():
        part.pop("title", None)
        if name in described:
            part["description"] = described[name]
    schema.pop("title", None)
    return schema


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema whose own definitions stand where they are used: it will be a part of another."""
    definitions = schema.pop("$defs", {})

    def inline(part: Any) -> Any:
        if isinstance(part, dict):
            if "$ref" in part:
                return inline(definitions[part["$ref"].rpartition("/")[2]])
            return {key: inline(value) for key, value in part.items()}
        return [inline(each) for each in part] if isinstance(part, list) else part

    found: dict[str, Any] = inline(schema)
    return found


def _attributes(model: type[BaseModel]) -> dict[str, str]:
    """What a docstring says under `Attributes:`."""
    text = (model.__doc__ or "").partition("Attributes:\n")[2]
    found = re.findall(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", text, re.MULTILINE)
    return {name: " ".join(prose.split()) for name, prose in found}
