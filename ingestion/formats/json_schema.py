"""JSON Schemas in files of the project: the fields that one declares, and what of a value violates it.

Validated by jsonschema-rs, without a network: https://json-schema.org/draft/2020-12/json-schema-core.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import orjson
from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationInfo, model_validator

from ingestion.formats.port import FOLDER, SchemaField

LIBRARY, EXTRA = "jsonschema_rs", "jsonschema"
_KEPT = 64
_MOST_NAMED = 3
_MOST_COUNTED = 100
_MOST_STEPS = 20
"""Of references from one place to the next; a schema may refer to itself."""
_LONGEST_MESSAGE = 120
_LARGEST_BIGINT = 2**63 - 1
_MOST_SCALE = 18
_TIMES = {"date-time": "timestamp", "date": "date"}
_PLAIN = {"integer": "bigint", "number": "double", "boolean": "boolean", "object": "json", "array": "json"}


class JsonSchemaFile(BaseModel):
    """A JSON Schema in a file of the project.

    Attributes:
        file: Its path, from the project's folder. Other files to which it refers are beside it or below.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    _text: str = PrivateAttr()
    _place: str = PrivateAttr()

    @model_validator(mode="after")
    def _read(self, info: ValidationInfo) -> "JsonSchemaFile":
        path = (Path((info.context or {}).get(FOLDER, "")) / Path(self.file).expanduser()).resolve()
        try:
            self._text, self._place = path.read_text(encoding="utf-8"), str(path)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ValueError(
                f"the schema {path} cannot be read ({reason}); 'file' is a path from the project's folder"
            ) from None
        try:
            document = orjson.loads(self._text)
        except orjson.JSONDecodeError as error:
            raise ValueError(f"{path} is not JSON: {error}") from None
        if not isinstance(document, dict):
            raise ValueError(f"{path} is not a JSON Schema: it is not an object")
        return self

    def check(self) -> None:
        """Make sure that values can be validated.

        Raises:
            ValueError: It is not a schema, or refers to what is not there.
        """
        try:
            _validator(self._text, self._place)
        except Exception as error:  # jsonschema_rs raises ValidationError, ReferencingError, ValueError
            message = str(error).splitlines()[0]
            raise ValueError(f"{self._place} cannot be validated by: {message}") from None

    def holds(self, value: Any) -> bool:
        """Whether a value keeps to it."""
        kept: bool = _validator(self._text, self._place).is_valid(value)
        return kept

    def violation(self, value: Any) -> str:
        """Where a value violates it, and how; empty where it keeps to it."""
        found = list(islice(_validator(self._text, self._place).iter_errors(value), _MOST_COUNTED))
        parts = [f"{_place(error.instance_path)}: {_short(error.message)}" for error in found[:_MOST_NAMED]]
        more = len(found) - len(parts)
        return "; ".join(parts) + (f"; {more} more" if more > 0 else "")

    def fields(self) -> tuple[SchemaField, ...]:
        """One for each property; of an array's elements where the schema is of an array."""
        return fields_of(self._text)


def fields_of(text: str) -> tuple[SchemaField, ...]:
    """The fields that a schema declares.

    Args:
        text: A JSON document that is an object; anything else declares none.
    """
    return fields_within(text, ()) or ()


def fields_within(text: str, steps: Sequence[str]) -> tuple[SchemaField, ...] | None:
    """The fields of an object inside; arrays on the way stand for their items.

    Args:
        text: A JSON document.
        steps: The keys that lead there.

    Returns:
        Nothing where a described object has no such key; None where nothing describes what is there.
    """
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(document, dict):
        return None
    properties = _properties(_item(document, document), document)
    for step in steps:
        if not properties:
            return None
        if step not in properties:
            return ()
        properties = _properties(_item(properties[step], document), document)
    if not properties:
        return None
    return tuple(
        SchemaField(name, _type(each, document), _doc(each, document)) for name, each in properties.items()
    )


def _item(node: Any, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a value is if it is not null, or each of its items."""
    found = _or_null(node, document)
    for _ in range(_MOST_STEPS):
        if _types(found, document) - {"null"} != {"array"}:
            break
        found = _or_null(found.get("items"), document)
    return found


@lru_cache(maxsize=_KEPT)
def _validator(text: str, place: str) -> Any:
    import jsonschema_rs

    path = Path(place)
    return jsonschema_rs.validator_for(
        orjson.loads(text), base_uri=path.as_uri(), retriever=lambda uri: _beside(uri, path.parent)
    )


def _beside(uri: str, folder: Path) -> Any:
    """A schema to which another one refers; nothing is fetched."""
    parts = urlsplit(uri)
    path = Path(unquote(parts.path)).resolve()
    if parts.scheme != "file" or not path.is_relative_to(folder):
        raise ValueError(f"{uri} is not beside the schema, and nothing is fetched")
    return orjson.loads(path.read_bytes())


def _resolved(node: Any, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a part of a schema refers to within its document; nothing where that is elsewhere."""
    for _ in range(_MOST_STEPS):
        if not isinstance(node, dict):
            return {}
        reference = node.get("$ref")
        if not isinstance(reference, str):
            return node
        if not reference.startswith("#"):
            return {}
        node = document
        for step in unquote(reference[1:]).split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            node = node.get(step) if isinstance(node, dict) else None
    return {}


def _properties(node: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The properties of an object, with those of `allOf`."""
    found: dict[str, Any] = {}
    for part in _branches(node, "allOf", document):
        found |= _properties(part, document)
    own = node.get("properties")
    return found | own if isinstance(own, dict) else found


def _branches(node: Mapping[str, Any], word: str, document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    parts = node.get(word)
    yield from (_resolved(part, document) for part in parts) if isinstance(parts, list) else ()


def _types(node: Mapping[str, Any], document: Mapping[str, Any], steps: int = _MOST_STEPS) -> set[str]:
    """The JSON types that a value may have; empty where the schema does not say."""
    said = node.get("type")
    if said is not None:
        return {said} if isinstance(said, str) else set(said)
    if "enum" in node or "const" in node:
        return {_type_name(each) for each in node.get("enum", [node.get("const")])}
    found = set[str]()
    for word in ("anyOf", "oneOf", "allOf") if steps else ():
        for part in _branches(node, word, document):
            found |= _types(part, document, steps - 1)
    return found


def _type_name(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _type(node: Any, document: Mapping[str, Any]) -> str:
    """The type of staging that holds every value."""
    node = _or_null(node, document)
    types = _types(node, document) - {"null"}
    if types == {"string"}:
        return _TIMES.get(str(node.get("format")), "varchar")
    if types == {"integer"} and _number(node.get("maximum")) > _LARGEST_BIGINT:
        return "decimal(38,0)"
    if types and types <= {"integer", "number"} and (scale := _scale(node.get("multipleOf"))):
        return f"decimal(38,{scale})"
    if types == {"integer", "number"}:
        return "double"
    if len(types) == 1:
        return _PLAIN.get(next(iter(types)), "varchar")
    return "json" if not types or types & {"object", "array"} else "varchar"


def _or_null(node: Any, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a node is where it may also be null, if that is all that its branches say."""
    node = _resolved(node, document)
    branches = [part for word in ("anyOf", "oneOf") for part in _branches(node, word, document)]
    real = [part for part in branches if _types(part, document) != {"null"}]
    return real[0] if "type" not in node and len(real) == 1 else node


def _number(value: Any) -> float:
    return value if isinstance(value, int | float) else 0


def _scale(multiple: Any) -> int:
    """The digits after the point that a `multipleOf` such as 0.01 allows; 0 for any other one."""
    scales = (scale for scale in range(1, _MOST_SCALE + 1) if float(f"1e-{scale}") == _number(multiple))
    return next(scales, 0)


def _doc(node: Any, document: Mapping[str, Any]) -> str:
    own = node if isinstance(node, dict) else {}
    said = own.get("description") or _or_null(node, document).get("description") or own.get("title") or ""
    return " ".join(str(said).split())


def _place(path: Sequence[str | int]) -> str:
    """A place in a value, as streams.yml writes paths."""
    found = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")
    return f"at {found}" if found else "the payload"


def _short(message: str) -> str:
    return message if len(message) <= _LONGEST_MESSAGE else f"{message[:_LONGEST_MESSAGE]} …"
