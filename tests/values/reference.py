"""The table of docs/values.md that sets payloads beside what each format's reference library reads.

Every value is compared; the rows are those of the page. Avro's and GTFS's own files lie beside the project.
"""

import io
import json
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import fastavro
import pyarrow as pa
from google.protobuf import descriptor_pb2, json_format
from google.transit import gtfs_realtime_pb2

from ingestion.clock import utc_now
from ingestion.formats.canonical import base64_text
from ingestion.formats.decode import decoder
from ingestion.formats.registry import choose_format
from ingestion.log.envelope import SOURCE_SCHEMA
from tests.formats import edge_node as made
from tests.formats.avro_bytes import encode
from tests.formats.documents import B2MML, RSS
from tests.repository import REPOSITORY

SHARED = REPOSITORY.parent / "shared" / "data"
NEEDED = (SHARED / "avro" / "interop.avsc", SHARED / "gtfs-realtime" / "vehicle_position.pb")
TITLE = "## Beside the reference libraries"
_HEAD = f"""
{TITLE}

What a format's own library reads of a message, and what the payload says; of Sparkplug B what the tests'
own edge node wrote, field by field from the standard's numbers. A test compares every value of these
messages; where a field stands several times, the table has the first. Bytes are base64 in a payload.

"""
_COLUMNS = "| read by | value | it reads | payload |\n|---|---|---|---|\n"
_INTEROP: dict[str, Any] = {
    "intField": -12, "longField": 2**62, "stringField": "é", "boolField": True, "floatField": 0.1,
    "doubleField": -1e300, "bytesField": b"\x00\xff", "nullField": None, "arrayField": [5.0, -0.5],
    "mapField": {"a": {"label": "l"}}, "unionField": 12.0, "enumField": "C", "fixedField": bytes(range(16)),
    "recordField": {"label": "x", "children": [{"label": "y", "children": []}]},
}  # fmt: skip
_BORN: tuple[tuple[str, str, Any, int, Any], ...] = (
    ("Int8", "int", -7, made.INT8, -7),
    ("Int32", "int", -(2**31), made.INT32, -(2**31)),
    ("Int64", "long", -(2**63), made.INT64, -(2**63)),
    ("UInt32", "int", 2**32 - 1, made.UINT32, 2**32 - 1),
    ("UInt64", "long", 2**64 - 1, made.UINT64, 2**64 - 1),
    ("Float", "float", 20.5, made.FLOAT, 20.5),
    ("Double", "double", 0.1, made.DOUBLE, 0.1),
    ("Boolean", "boolean", True, made.BOOLEAN, True),
    ("String", "string", "on", made.STRING, "on"),
    ("DateTime", "long", 1_772_353_800_123, made.DATETIME, 1_772_353_800_123),
    ("Bytes", "bytes", b"\x00\xff", made.BYTES, "AP8="),
)
"""Metrics of a birth: type, field, what the edge node wrote, the type's number, what the payload says."""

Leaf = tuple[str, Any, Any]
"""Where a value is, what the reference library reads there, and the payload."""


def section(page: str) -> str:
    """The section as Markdown.

    Args:
        page: The page as it is: where the files are not at hand, its section is taken as it stands.

    Raises:
        AssertionError: A payload is not what the reference library reads.
    """
    if not all(path.is_file() for path in NEEDED):
        return "\n" + page[page.index(TITLE) :]
    parts: tuple[tuple[str, Callable[[], Iterator[Leaf]]], ...] = (
        ("fastavro, Avro's interop schema", _interop),
        ("fastavro, Avro's single object", _single_object),
        ("gtfs-realtime-bindings, a feed of vehicles", _gtfs),
        ("the edge node that wrote it, Sparkplug B", _sparkplug),
        ("xml.etree, RSS 2.0", lambda: _xml(RSS)),
        ("xml.etree, B2MML", lambda: _xml(B2MML)),
    )
    rows = [_row(name, *leaf) for name, leaves in parts for leaf in leaves()]
    return _HEAD + _COLUMNS + "\n".join(rows) + "\n"


def _interop() -> Iterator[Leaf]:
    schema = json.loads(NEEDED[0].read_text())
    sent = encode(schema, _INTEROP)
    yield from _avro(schema, sent, sent, {"avro": {"schema": {"file": "interop.avsc"}}})


def _single_object() -> Iterator[Leaf]:
    schema = json.loads((SHARED / "avro" / "single_object_message.avsc").read_text())
    sent = (SHARED / "avro" / "single_object_message.bin").read_bytes()
    declared = {"avro": {"schema": {"file": "single_object_message.avsc"}}}
    yield from _avro(schema, sent, sent[10:], declared)


def _avro(schema: Any, sent: bytes, bare: bytes, declared: Any) -> Iterator[Leaf]:
    read = fastavro.schemaless_reader(io.BytesIO(bare), fastavro.parse_schema(schema), None)
    yield from _both(read, _payload(declared, sent, SHARED / "avro"))


def _gtfs() -> Iterator[Leaf]:
    sent = NEEDED[1].read_bytes()
    described = descriptor_pb2.FileDescriptorSet()
    gtfs_realtime_pb2.DESCRIPTOR.CopyToProto(described.file.add())
    read = json_format.MessageToDict(
        gtfs_realtime_pb2.FeedMessage.FromString(sent), preserving_proto_field_name=True
    )
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "gtfs.desc").write_bytes(described.SerializeToString())
        declared = {"protobuf": {"file": "gtfs.desc", "message": "transit_realtime.FeedMessage"}}
        yield from _both(read, _payload(declared, sent, folder))


def _sparkplug() -> Iterator[Leaf]:
    """Names and types of data come from the birth before it."""
    born = [made.metric(name, kind, said, alias=number, datatype=number)
            for name, kind, said, number, _ in _BORN]  # fmt: skip
    data = [made.metric(None, kind, said, alias=number) for _, kind, said, number, _ in _BORN]
    topic = "spBv1.0/plant/{}/edge"
    sent = [(topic.format("NBIRTH"), made.payload(*born, seq=0)),
            (topic.format("NDATA"), made.payload(*data, seq=1))]  # fmt: skip
    for event in _payloads("sparkplug", sent):
        assert event["unresolved"] == 0
        for (name, _, wrote, _, expected), metric in zip(_BORN, event["metrics"], strict=True):
            assert (metric["name"], metric["datatype"], metric["value"]) == (name, name, expected)
            yield f"{event['type']}, {name}", wrote, metric["value"]


def _xml(document: bytes) -> Iterator[Leaf]:
    """Attributes and texts by their places; names without namespaces."""
    root = ElementTree.fromstring(document)
    payload = _payload({"xml": {"namespaces": "strip"}}, document)
    found = dict(_leaves(payload[_local(root.tag)]))
    read = dict(_texts(root, ""))
    assert read == {place: said for place, said in found.items() if said is not None}
    yield from _first((place, said, found[place]) for place, said in read.items())


def _texts(element: ElementTree.Element, place: str) -> Iterator[tuple[str, str]]:
    for name, said in element.attrib.items():
        yield f"{place}.@{_local(name)}".lstrip("."), said
    names = [_local(child.tag) for child in element]
    if not names and element.text:
        yield (f"{place}.#text".lstrip(".") if element.attrib else place), element.text
    seen = dict[str, int]()
    for child, name in zip(element, names, strict=True):
        at = seen[name] = seen.get(name, -1) + 1
        yield from _texts(child, f"{place}.{name}".lstrip(".") + (f"[{at}]" if names.count(name) > 1 else ""))


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _payload(declared: Any, sent: bytes, folder: Path | str = "") -> Any:
    (payload,) = _payloads(declared, [("", sent)], folder)
    return payload


def _payloads(declared: Any, sent: list[tuple[str, bytes]], folder: Path | str = "") -> list[Any]:
    rows = [
        {"source_partition": "log-0", "position": at, "event_key": key.encode(), "value": value,
         "headers": None, "event_time": None}
        for at, (key, value) in enumerate(sent)
    ]  # fmt: skip
    decoded = decoder(choose_format(declared, str(folder)))(
        pa.Table.from_pylist(rows, schema=SOURCE_SCHEMA),
        stream="s", batch_id=1, ingested_at=utc_now(), max_bytes=1 << 22,
    )  # fmt: skip
    assert decoded.rejects["detail"].to_pylist() == []
    return [json.loads(text) for text in decoded.events["payload"].to_pylist()]


def _both(read: Any, payload: Any) -> Iterator[Leaf]:
    """Each value of either, which are equal."""
    theirs, ours = dict(_leaves(read)), dict(_leaves(payload))
    lacking = theirs.keys() - ours.keys()
    assert not lacking, lacking
    for place, said in theirs.items():
        assert _is_same(said, ours[place]), (place, said, ours[place])
    more = {place: said for place, said in ours.items() if place not in theirs}
    assert not any(more.values()), f"fields without presence show their zero: {more}"
    yield from _first((place, said, ours[place]) for place, said in theirs.items())


def _first(leaves: Iterator[Leaf]) -> Iterator[Leaf]:
    """Of what stands several times, the first; and of that as many values as people read."""
    seen = set[str]()
    for place, said, ours in leaves:
        if all(index in ("0", "") for index in _indices(place)) and place not in seen:
            seen.add(place)
            yield place, said, ours


def _indices(place: str) -> list[str]:
    return [part.partition("]")[0] for part in place.split("[")[1:]]


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from _leaves(each, f"{place}.{key}".lstrip("."))
    elif isinstance(value, list) and value:
        for at, each in enumerate(value):
            yield from _leaves(each, f"{place}[{at}]")
    else:
        yield place, value


def _is_same(theirs: Any, ours: Any) -> bool:
    if isinstance(theirs, bytes):
        return bool(ours == base64_text(theirs))
    if isinstance(theirs, str) and isinstance(ours, int):
        return theirs == str(ours)
    if isinstance(theirs, float) and theirs != ours:
        return bool(struct.pack("f", theirs) == struct.pack("f", ours))
    return bool(theirs == ours)


def _row(name: str, place: str, said: Any, ours: Any) -> str:
    shown = repr(said) if isinstance(said, bytes) else json.dumps(said, ensure_ascii=False)
    cells = (f"`{each}`".replace("|", "\\|") for each in (place, shown, json.dumps(ours, ensure_ascii=False)))
    return f"| {name} | {' | '.join(cells)} |"
