"""An Avro schema: checked, its names resolved, and as the reader of bytes gets it.

What becomes of the values is in mapping.py. fastavro parses schemas and reads bytes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

Node = Any
"""A schema or a part of one: a name, a mapping, or a list of branches."""

_NAMED = ("record", "error", "enum", "fixed")
_KEPT = 64
"""Schemas that are kept parsed."""
_MOST_CHARACTERS = 1 << 20


class SchemaRefused(ValueError):
    """A text is not a schema, or is one that values cannot be read by safely."""


class Mismatch(ValueError):
    """A value has no place in the reader's schema."""


@dataclass(frozen=True)
class AvroSchema:
    """One schema.

    Attributes:
        text: As it was given; two with the same text are one.
        root: Its parsed form; named types are written out where they first stand.
        names: Full name → its definition.
        wire: What fastavro reads bytes by (_Wire); the same bytes.
        is_recursive: A type holds itself.
        is_empty: A value takes no bytes.
    """

    text: str
    root: Node
    names: dict[str, Node]
    wire: Node
    is_recursive: bool
    is_empty: bool

    def __hash__(self) -> int:
        return hash(self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AvroSchema) and self.text == other.text

    def resolve(self, node: Node) -> Node:
        """A name's definition; anything else as it is."""
        return self.names.get(node, node) if isinstance(node, str) else node

    @property
    def fingerprint(self) -> bytes:
        """The 8 bytes that name it in a single object."""
        from fastavro.schema import fingerprint, to_parsing_canonical_form

        text = fingerprint(to_parsing_canonical_form(orjson.loads(self.text)), "CRC-64-AVRO")
        return bytes.fromhex(text)

    @property
    def read(self) -> Callable[[Any, Node], Any]:
        """Reads one value from a file of bytes.

        fastavro's compiled reader takes C stack for each level, so bytes that nest deep in a type
        which holds itself would end the process (fastavro 1.13.1): its Python reader raises RecursionError.
        """
        if self.is_recursive:
            from fastavro._read_py import schemaless_reader
        else:
            from fastavro import schemaless_reader
        found: Callable[[Any, Node], Any] = schemaless_reader
        return found


def type_of(node: Node) -> str:
    """The type's word; `union` for branches."""
    if isinstance(node, list):
        return "union"
    return str(node["type"]) if isinstance(node, dict) else node


@lru_cache(maxsize=_KEPT)
def parse(text: str) -> AvroSchema:
    """Parse a schema.

    Raises:
        SchemaRefused: Says what is wrong with it.
    """
    from fastavro.schema import parse_schema

    if len(text) > _MOST_CHARACTERS:
        raise SchemaRefused(f"it has {len(text)} characters, the most are {_MOST_CHARACTERS}")
    try:
        document = orjson.loads(text)
        root = parse_schema(document)
        names = {node["name"]: node for node in _definitions(root)}
        shape = _Shape(names)
        shape.check(root)
        wire = parse_schema(_Wire(names).of(root))
    except SchemaRefused:
        raise
    except RecursionError:
        raise SchemaRefused("it nests too deep") from None
    except Exception as error:  # fastavro raises many kinds, KeyError among them
        raise SchemaRefused(f"{type(error).__name__}: {error}") from None
    return AvroSchema(text, root, names, wire, shape.recursive, shape.is_empty(root))


def _parts(node: Node) -> Iterator[Node]:
    """What a type is made of."""
    kind = type_of(node)
    if kind == "union":
        yield from node
    elif kind in ("record", "error"):
        yield from (field["type"] for field in node["fields"])
    elif kind == "array":
        yield node["items"]
    elif kind == "map":
        yield node["values"]


def _definitions(node: Node) -> Iterator[Node]:
    if isinstance(node, dict) and node["type"] in _NAMED:
        yield node
    for part in _parts(node):
        yield from _definitions(part)


class _Shape:
    """Whether types hold themselves, and whether values of them may take no bytes."""

    def __init__(self, names: dict[str, Node]) -> None:
        self.recursive = False
        self._names = names
        self._inside: list[str] = []
        self._seen: set[str] = set()

    def check(self, node: Node) -> None:
        """Walk through a type.

        Raises:
            SchemaRefused: Some bytes would never end: an array of what takes no bytes.
        """
        node = self._names.get(node, node) if isinstance(node, str) else node
        name = node.get("name") if isinstance(node, dict) else None
        if name in self._inside:
            self.recursive = True
        if name in self._seen:
            return
        if name:
            self._seen.add(name)
            self._inside.append(name)
        if type_of(node) == "array" and self.is_empty(node["items"]):
            raise SchemaRefused("an array of values that take no bytes may have any length")
        if type_of(node) == "union" and any(isinstance(branch, list) for branch in node):
            raise SchemaRefused("a union stands in a union")
        for part in _parts(node):
            self.check(part)
        if name:
            self._inside.pop()

    def is_empty(self, node: Node, inside: tuple[str, ...] = ()) -> bool:
        """Whether a value takes no bytes."""
        node = self._names.get(node, node) if isinstance(node, str) else node
        kind = type_of(node)
        if kind in ("record", "error"):
            if node["name"] in inside:
                return True  # only through itself: no value ends
            within = (*inside, node["name"])
            return all(self.is_empty(field["type"], within) for field in node["fields"])
        return kind == "null" or (kind == "fixed" and node["size"] == 0)


class _Wire:
    """The same bytes as plainer types: no logical types, enums as their numbers, branches as records.

    So what is read has a Python type that a fault in the bytes cannot change, and says which branch it was.
    """

    def __init__(self, names: dict[str, Node]) -> None:
        self._names = names
        self._written: dict[str, str] = {}

    def of(self, node: Node) -> Node:
        """The wire form of a type."""
        kind = type_of(node)
        if kind in self._names:
            node = self._names[kind]
            kind = type_of(node)
        name = str(node.get("name", "")) if isinstance(node, dict) else ""
        if kind == "union":
            return self._union(node)
        if kind == "enum":
            return "int"
        if name in self._written:
            return self._written[name]
        if kind == "fixed":
            return {"type": "fixed", "name": self._name(name), "size": node["size"]}
        if kind in ("record", "error"):
            made = {"type": "record", "name": self._name(name)}
            fields = [{"name": field["name"], "type": self.of(field["type"])} for field in node["fields"]]
            return made | {"fields": fields}
        if kind == "array":
            return {"type": "array", "items": self.of(node["items"])}
        if kind == "map":
            return {"type": "map", "values": self.of(node["values"])}
        return kind

    def _union(self, branches: list[Node]) -> Node:
        """Of several branches each is a record of one field, which is named for its number."""
        if len(without_null(branches)) < 2:
            return [self.of(branch) for branch in branches]
        return [
            "null" if type_of(branch) == "null" else self._numbered(number, branch)
            for number, branch in enumerate(branches)
        ]

    def _numbered(self, number: int, branch: Node) -> Node:
        name = self._name(f"#{len(self._written)}")
        return {"type": "record", "name": name, "fields": [{"name": f"_{number}", "type": self.of(branch)}]}

    def _name(self, name: str) -> str:
        """A name without a namespace: one that stands in another's record would be taken to be of that."""
        self._written[name] = f"t{len(self._written)}"
        return self._written[name]


def without_null(branches: Sequence[Node]) -> list[Node]:
    """The branches of a union that are values."""
    return [branch for branch in branches if type_of(branch) != "null"]
