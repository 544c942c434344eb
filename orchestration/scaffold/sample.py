"""What real payloads hold: the paths in them, and how many values staging can read as each type.

Which type is proposed is propose.py's.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from ingestion.declare.paths import json_path, write_path
from orchestration.dbt.casts import typed_value

TRIED = ("bigint", "decimal(38,0)", "double", "timestamp", "date", "boolean")
_MOST_LEVELS = 8
_MOST_KEYS = 30
"""An object with more keys, most of which are seldom there, is a map and not a record."""


@dataclass
class Leaf:
    """One path and what is at it.

    Attributes:
        path: Keys from the payload's root.
        kinds: JSON type → how many values have it; null and what is missing are not counted.
        readable: Type → how many values staging reads as it.
        texts: The values as text, per message; None where there is none.
        is_map: It is an object whose keys are data.
    """

    path: tuple[str, ...]
    kinds: Counter[str] = field(default_factory=Counter)
    readable: dict[str, int] = field(default_factory=dict)
    texts: tuple[str | None, ...] = ()
    is_map: bool = False

    @property
    def dotted(self) -> str:
        """As streams.yml writes a path."""
        return write_path(self.path)

    @property
    def present(self) -> int:
        """How many messages have a value."""
        return self.kinds.total()


def leaves_of(payloads: Sequence[str]) -> tuple[list[Leaf], list[str]]:
    """The paths of some payloads, in the order in which they first appear.

    Args:
        payloads: JSON texts.

    Returns:
        The paths that a field can have, and a sentence for each that it cannot.
    """
    documents = [json.loads(text) for text in payloads]
    nodes: dict[tuple[str, ...], Counter[str]] = {}
    for document in documents:
        for path, kind in _walk(document, ()):
            nodes.setdefault(path, Counter())[kind] += 1
    leaves: list[Leaf] = []
    notes: list[str] = []
    closed: list[tuple[str, ...]] = []
    for path, kinds in nodes.items():
        if any(path[: len(parent)] == parent for parent in closed):
            continue
        values = Counter({kind: count for kind, count in kinds.items() if kind != "null"})
        is_map = _is_map(path, nodes)
        if set(values) == {"object"} and not is_map and any(path == each[:-1] for each in nodes if each):
            continue  # its own keys are fields
        elif not path and "object" in values:
            others = len(payloads) - values["object"]
            notes.append(f"{others} of {len(payloads)} payloads are not objects")
        else:
            closed.append(path)
            if values:
                leaves.append(Leaf(path, values, is_map=is_map))
            else:
                notes.append(f"'{write_path(path)}' is null in every message: left out")
    _read(leaves, payloads)
    return leaves, notes


def _walk(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    yield path, _kind(value)
    if isinstance(value, dict) and len(path) < _MOST_LEVELS:
        for key, inner in value.items():
            yield from _walk(inner, (*path, key))


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    names = {int: "whole", float: "number", str: "text", list: "array", dict: "object"}
    return names[type(value)]


def _is_map(path: tuple[str, ...], nodes: dict[tuple[str, ...], Counter[str]]) -> bool:
    below = [kinds for other, kinds in nodes.items() if len(other) == len(path) + 1 and other[:-1] == path]
    often = sum(kinds.total() * 2 > nodes[path].total() for kinds in below)
    return bool(path) and len(below) > _MOST_KEYS and often * 2 < len(below)


def _read(leaves: Sequence[Leaf], payloads: Sequence[str]) -> None:
    """Let DuckDB take the values out as staging does, and count what each type can hold."""
    with duckdb.connect(":memory:") as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(
            "create temp table sample as select unnest(?::varchar []) as payload, "
            "generate_subscripts(?::varchar [], 1) as number",
            [list(payloads), list(payloads)],
        )
        for leaf in leaves:
            path = json_path(leaf.path)
            counts = ", ".join(f"count({typed_value('text', each)})" for each in TRIED)
            texts = "select number, json_extract_string(payload, [?])[1] as text from sample"
            row = connection.execute(f"select {counts} from ({texts})", [path]).fetchone() or ()
            leaf.readable = dict(zip(TRIED, row, strict=True))
            found = connection.execute(f"select text from ({texts}) order by number", [path]).fetchall()
            leaf.texts = tuple(text for (text,) in found)
