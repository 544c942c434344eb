"""What a sample shows of envelopes: which one is round the payloads, and what is inside.

What an envelope is: docs/envelopes.md. Staging opens them with SQL; here it is enough to see the fields.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ingestion.declare.envelopes import EnvelopeName, envelope_of
from ingestion.declare.sources import Seen
from orchestration.scaffold.propose import Proposed
from orchestration.scaffold.roles import Role

_LEAST_SHARE = 0.9
_OPS = frozenset("crudtm")
_NEEDED = ("specversion", "id", "source", "type")
_CONNECT, _TIMES = "org.apache.kafka.connect.data.", "io.debezium.time."
_MEANT = {
    f"{_CONNECT}Date": "date",
    f"{_CONNECT}Timestamp": "timestamp",
    **{f"{_TIMES}{name}": "date" for name in ("Date", "IsoDate")},
    **{
        f"{_TIMES}{name}": "timestamp"
        for name in ("Timestamp", "MicroTimestamp", "NanoTimestamp", "IsoTimestamp", "ZonedTimestamp")
    },
}


@dataclass(frozen=True)
class Opened:
    """What is inside the envelopes of a sample.

    Attributes:
        envelope: The envelope; None where there is none.
        rows: For each message, which of the sample's it is.
        payloads: JSON texts of what is inside.
        key: The names that the keys of changes hold.
        types: Path → the type that a schema gives it.
        notes: What the sample does not show.
    """

    envelope: EnvelopeName | None
    rows: tuple[int, ...]
    payloads: tuple[str, ...]
    key: tuple[str, ...] = ()
    types: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def typed(self, fields: Sequence[Proposed]) -> list[Proposed]:
        """Fields with the types that the schema gives."""
        return [
            replace(
                each, type=self.types[each.path], reason=f"{self.types[each.path]} in the schema", unit=None
            )
            if each.path in self.types
            else each
            for each in fields
        ]

    def event_time(self) -> Role | None:
        """The envelope's own time; None without an envelope."""
        envelope = envelope_of(self.envelope)
        return Role((), f"{envelope.event_time} of the envelope") if envelope else None

    def business_id(self, fields: Sequence[Proposed]) -> Role | None:
        """What the envelope says of identity; None without an envelope."""
        envelope = envelope_of(self.envelope)
        if envelope is None:
            return None
        if envelope.business_id:
            return Role((), f"{' and '.join(envelope.business_id)} of the envelope")
        names = tuple(each.name for part in self.key for each in fields if each.path == part)
        if not names:
            return Role((), "the messages have no key that names the row, so every change counts")
        return Role(names, f"the key of each message; a change also has its {' and '.join(envelope.also)}")


def open_sample(seen: Sequence[Seen]) -> Opened:
    """Look for an envelope round the payloads of a sample.

    Args:
        seen: Messages that have a payload.
    """
    documents = [json.loads(str(each.payload)) for each in seen]
    for found in (_changes(seen, documents), _cloudevents(seen, documents)):
        if found.payloads and len(set(found.rows)) >= _LEAST_SHARE * len(seen):
            return found
    return unopened(seen)


def unopened(seen: Sequence[Seen]) -> Opened:
    """A sample whose payloads have nothing round them.

    Args:
        seen: Messages that have a payload.
    """
    return Opened(None, tuple(range(len(seen))), tuple(str(each.payload) for each in seen))


def _changes(seen: Sequence[Seen], documents: Sequence[Any]) -> Opened:
    rows, inside, keys = list[int](), list[str](), list[tuple[str, ...]]()
    types: dict[str, str] = {}
    for at, (message, document) in enumerate(zip(seen, documents, strict=True)):
        change = _without_schema(document)
        if not isinstance(change, dict) or change.get("op") not in _OPS or "source" not in change:
            continue
        row = change.get("after") or change.get("before")
        if isinstance(row, str):
            row = _parsed(row)  # MongoDB sends the row as text
        if isinstance(row, dict):
            rows.append(at)
            inside.append(json.dumps(row, ensure_ascii=False))
            key = _without_schema(_parsed(message.key))
            keys.append(tuple(key) if isinstance(key, dict) else ())
            types |= _types_of(document)
    names = keys[0] if keys and set(keys) == {keys[0]} else ()
    notes = () if types or not rows else (
        "the changes have no schema: of decimals as base64 say 'encoding: base64', of times their 'unit'",
    )  # fmt: skip
    return Opened("debezium", tuple(rows), tuple(inside), names, types, notes)


def _cloudevents(seen: Sequence[Seen], documents: Sequence[Any]) -> Opened:
    rows, inside = list[int](), list[str]()
    for at, (message, document) in enumerate(zip(seen, documents, strict=True)):
        headers = _parsed(message.message.headers)
        names = (
            {pair[0] for pair in headers.get("user_properties", [])} if isinstance(headers, dict) else set()
        )
        names |= {name[3:] for name in headers or () if name.startswith(("ce_", "ce-"))}
        events = document if isinstance(document, list) else [document]
        if names.issuperset(_NEEDED):
            rows.append(at)
            inside.append(str(message.payload))
        elif events and all(isinstance(each, dict) and each.keys() >= set(_NEEDED) for each in events):
            rows += [at] * len(events)
            inside += [json.dumps(each.get("data", {}), ensure_ascii=False) for each in events]
    return Opened("cloudevents", tuple(rows), tuple(inside))


def _types_of(document: Any) -> dict[str, str]:
    """What the schema of a change says of the row's columns."""
    if not isinstance(document, dict) or "payload" not in document:
        return {}
    parts = (document.get("schema") or {}).get("fields", [])
    columns: list[dict[str, Any]] = next(
        (part.get("fields", []) for part in parts if part.get("field") == "after"), []
    )
    types = {}
    for column in columns:
        kind, said = column.get("name", ""), column.get("parameters", {})
        if kind in _MEANT:
            types[column["field"]] = _MEANT[kind]
        elif kind == f"{_CONNECT}Decimal":
            width = min(38, int(said.get("connect.decimal.precision", 38)))
            types[column["field"]] = f"decimal({width},{min(width, max(0, int(said.get('scale', 0))))})"
    return types


def _without_schema(document: Any) -> Any:
    wrapped = isinstance(document, dict) and document.keys() >= {"schema", "payload"}
    return document["payload"] if wrapped else document


def _parsed(text: str | None) -> Any:
    try:
        return json.loads(text or "null")
    except ValueError:
        return None
