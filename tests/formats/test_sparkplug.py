"""Sparkplug B: what each message becomes, and that names and types come from births and from nothing else."""

import gzip
import math
import struct
import tracemalloc
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.clock import utc_now
from ingestion.connectors.messages import Message
from ingestion.declare.sources import read_messages
from ingestion.formats.decode import Decoded, decoder
from ingestion.formats.likeness import Sample
from ingestion.formats.recognise import recognise
from ingestion.formats.registry import choose_format
from ingestion.formats.sparkplug import births
from ingestion.log.envelope import SOURCE_SCHEMA
from ingestion.settings import load_settings
from orchestration.cli.reading import Reader
from tests.formats import edge_node as made
from tests.formats.edge_node import EdgeNode, metric, number, part, payload

Sent = Sequence[tuple[str, bytes | None]]
MOMENT = datetime(2026, 3, 1, tzinfo=UTC)


def decode(
    sent: Sent, states: dict[str, str] | None = None, *, first: int = 0, max_bytes: int = 1 << 20,
    declared: Any = "sparkplug", at: datetime = MOMENT,
) -> Decoded:  # fmt: skip
    rows = [
        {
            "source_partition": "spool-0", "position": first + row, "event_key": topic.encode(),
            "value": value, "headers": None, "event_time": at,
        }
        for row, (topic, value) in enumerate(sent)
    ]  # fmt: skip
    return decoder(choose_format(declared))(
        pa.Table.from_pylist(rows, schema=SOURCE_SCHEMA),
        stream="s", batch_id=1, ingested_at=utc_now(), max_bytes=max_bytes, states=states or {},
    )  # fmt: skip


def events(decoded: Decoded) -> list[Any]:
    return [None if text is None else orjson.loads(text) for text in decoded.events["payload"].to_pylist()]


def names(decoded: Decoded) -> list[list[str | None]]:
    return [[each["name"] for each in event["metrics"]] for event in events(decoded)]


def one(*metrics: bytes, **options: Any) -> Any:
    (event,) = events(decode([("spBv1.0/plant/NBIRTH/edge", payload(*metrics, **options))]))
    return event


def said(kind: str, value: Any, datatype: int | None) -> Any:
    return one(metric("m", kind, value, datatype=datatype))["metrics"][0]["value"]


def test_a_message_is_one_event_with_its_metrics() -> None:
    properties = part(9, part(1, "Quality") + part(2, number(1, 3) + number(3, 192)))
    sent = payload(
        metric("bdSeq", "long", 7, datatype=made.UINT64),
        metric("Temp", "double", 20.25, alias=5, datatype=made.DOUBLE, at=9, more=number(5, 1) + properties),
        metric("Off", alias=6, datatype=made.BOOLEAN, more=number(7, 1)),
        seq=0, at=1_700_000_000_000,
    )  # fmt: skip
    plain = {
        "alias": None,
        "timestamp": None,
        "is_historical": False,
        "is_transient": False,
        "is_null": False,
    }
    assert events(decode([("spBv1.0/plant/NBIRTH/edge", sent)])) == [
        {
            "type": "NBIRTH", "group": "plant", "node": "edge", "device": None,
            "timestamp": 1_700_000_000_000, "seq": 0, "bd_seq": 7, "unresolved": 0,
            "metrics": [
                plain | {"name": "bdSeq", "datatype": "UInt64", "value": 7},
                plain | {
                    "name": "Temp", "alias": 5, "datatype": "Double", "timestamp": 9, "value": 20.25,
                    "is_historical": True, "properties": {"Quality": {"type": "Int32", "value": 192}},
                },
                plain | {"name": "Off", "alias": 6, "datatype": "Boolean", "value": None, "is_null": True},
            ],
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "value", "datatype", "expected"),
    [
        ("int", -1, made.INT8, -1),
        ("int", 0xFF, made.INT8, -1),
        ("int", 300, made.INT8, 300),
        ("int", -(2**31), made.INT32, -(2**31)),
        ("long", -1, made.INT64, -1),
        ("long", -(2**63), made.INT64, -(2**63)),
        ("long", 2**64 - 1, made.UINT64, 2**64 - 1),
        ("long", 2**32 - 1, made.UINT32, 2**32 - 1),
        ("long", -5, made.INT32, -5),
        ("long", 1_700_000_000_123, made.DATETIME, 1_700_000_000_123),
        ("float", 0.1, made.FLOAT, struct.unpack("<f", struct.pack("<f", 0.1))[0]),
        ("float", math.nan, made.FLOAT, "NaN"),
        ("double", -math.inf, made.DOUBLE, "-Infinity"),
        ("double", 5e-324, made.DOUBLE, 5e-324),
        ("boolean", True, made.BOOLEAN, True),
        ("string", "größer", made.STRING, "größer"),
        ("bytes", b"\0\xff", made.BYTES, "AP8="),
        # Arrays of Sparkplug 3 are packed into bytes: the standard's own examples of booleans and texts.
        ("bytes", b"\x0c\0\0\0\x34\xd0", 32, [c == "t" for c in "fftt ftff ttft".replace(" ", "")]),
        ("bytes", b"ABC\0hello\0", 33, ["ABC", "hello"]),
        ("bytes", struct.pack("<hh", -30_000, 30_000), 23, [-30_000, 30_000]),
        ("bytes", struct.pack("<ff", 1.5, math.inf), 30, [1.5, "Infinity"]),
        ("bytes", b"\1\2\3", 24, "AQID"),
        ("bytes", b"abc", 99, "YWJj"),
    ],
)
def test_values_are_exact(kind: str, value: Any, datatype: int, expected: Any) -> None:
    assert said(kind, value, datatype) == expected


def test_data_sets_and_templates_are_json() -> None:
    element = {"int": 1, "long": 2, "float": 3, "double": 4, "boolean": 5, "string": 6}
    cells = [part(1, made.value("int", -2, element)), part(1, made.value("string", "on", element))]
    rows = part(4, b"".join(cells))
    data_set = number(1, 2) + part(2, "n") + part(2, "state") + number(3, 1) + number(3, 12) + rows
    assert said("dataset", data_set, made.DATASET) == {
        "columns": ["n", "state"], "types": ["Int8", "String"], "rows": [[-2, "on"]],
    }  # fmt: skip
    parameter = part(1, "size") + number(2, 3) + number(3, 0xFFFFFFFF)
    template = (
        part(1, "v1")
        + part(2, metric("rpm", "int", 9, datatype=made.INT32))
        + part(3, parameter)
        + part(4, "Motor")
    )
    found = said("template", template, made.TEMPLATE)
    assert (found["version"], found["template_ref"], found["is_definition"]) == ("v1", "Motor", False)
    assert found["parameters"] == [{"name": "size", "type": "Int32", "value": -1}]
    assert [(each["name"], each["value"]) for each in found["metrics"]] == [("rpm", 9)]


def test_births_name_and_type_what_has_an_alias_only() -> None:
    node = EdgeNode(bd_seq=3)
    sent = [*node.birth(), node.data(-5), node.measured(21.5)]
    *_, data, measured = events(decode(sent))
    assert (data["type"], data["seq"], data["bd_seq"], data["unresolved"]) == ("NDATA", 2, 3, 0)
    assert [(m["name"], m["datatype"], m["value"]) for m in data["metrics"]] == [("Load", "Int8", -5)]
    assert [(m["name"], m["datatype"], m["value"]) for m in measured["metrics"]] == [("Temp", "Float", 21.5)]
    assert (measured["device"], measured["bd_seq"]) == ("pump", 3)


def test_what_no_birth_names_lands_without_a_name_and_is_counted() -> None:
    node = EdgeNode()
    (event,) = events(decode([node.data(-5)]))
    assert (event["unresolved"], event["bd_seq"]) == (1, None)
    (found,) = event["metrics"]
    assert (found["name"], found["datatype"], found["alias"], found["value"]) == (None, None, 1, 2**32 - 5)


def test_a_name_without_a_type_has_it_from_the_birth() -> None:
    node = EdgeNode()
    by_name = ("spBv1.0/plant/NDATA/edge", payload(metric("Load", "int", -1)))
    first, *_, last = events(decode([by_name, *node.birth(), by_name]))
    assert (first["unresolved"], first["metrics"][0]["value"]) == (1, 2**32 - 1)
    assert (last["unresolved"], last["metrics"][0]["value"]) == (0, -1)


def test_a_death_ends_what_its_own_session_said_and_no_other() -> None:
    node = EdgeNode(bd_seq=1)
    stale = EdgeNode(bd_seq=0).death()
    sent = [*node.birth(), stale, node.data(1), node.death(), node.data(2), node.measured(3)]
    assert names(decode(sent))[3:] == [["Load"], ["bdSeq"], [None], [None]]
    gone = [*node.birth(), ("spBv1.0/plant/DDEATH/edge/pump", payload(seq=3)), node.data(1), node.measured(2)]
    assert names(decode(gone))[3:] == [["Load"], [None]]


def test_a_node_s_birth_ends_what_its_devices_said() -> None:
    node = EdgeNode()
    first = list(node.birth())
    again = EdgeNode(bd_seq=1, aliases=(2, 1))
    born, device = again.birth()
    assert names(decode([*first, born, node.measured(1), again.data(2), device, again.measured(3)]))[3:] == [
        [None], ["Load"], ["Temp"], ["Temp"],
    ]  # fmt: skip


@pytest.mark.parametrize("lost", [b"\xff", None, b"x" * 3000, part(2, part(1, b"\xff\xfe"))], ids=str)
def test_a_birth_that_cannot_be_read_ends_what_the_one_before_it_said(lost: bytes | None) -> None:
    node = EdgeNode()
    decoded = decode([*node.birth(), ("spBv1.0/plant/NBIRTH/edge", lost), node.data(1)], max_bytes=2000)
    assert events(decoded)[-1]["metrics"][0]["name"] is None
    assert decoded.rejects.num_rows == (lost is not None)


def test_packed_births_are_read_in_their_order() -> None:
    node = EdgeNode()
    packed = [(topic, gzip.compress(value)) for topic, value in node.birth()]
    assert names(decode([*packed, node.data(1)]))[-1] == ["Load"]


def test_topics_that_are_not_sparkplug_s_are_refused() -> None:
    wrong = ["plant/edge", "spBv1.0/plant/NDATA", "spBv1.0/plant/DDATA/edge", "spBv1.0/plant/XDATA/edge", ""]
    decoded = decode([(topic, payload()) for topic in wrong] + [(wrong[0], None)])
    assert decoded.rejects["reason"].to_pylist() == ["not_sparkplug"] * len(wrong)
    assert decoded.rejects["detail"][0].as_py() == "'plant/edge' is not a topic of Sparkplug B, spBv1.0/…"
    assert events(decoded) == [None], "a tombstone stays one"


def test_states_of_hosts_of_either_edition() -> None:
    sent = [
        ("spBv1.0/STATE/scada", b'{"online": true, "timestamp": 5}'), ("STATE/scada", b"OFFLINE"),
        ("spBv1.0/STATE/scada", b"up"),
    ]  # fmt: skip
    decoded = decode(sent)
    found = [
        (event["host"], event["online"], event["timestamp"], event["metrics"]) for event in events(decoded)
    ]
    assert found == [("scada", True, 5, []), ("scada", False, None, [])]
    assert decoded.rejects.num_rows == 1


def test_a_small_message_cannot_become_a_large_text() -> None:
    node = EdgeNode()
    born = payload(metric("n" * 1000, "int", 1, alias=1, datatype=3))
    many = payload(*[metric(None, "int", 1, alias=1)] * 100)
    sent = [(node.topic("NBIRTH"), born), (node.topic("NDATA"), many)]
    decoded = decode(sent, max_bytes=20_000)
    assert decoded.rejects["reason"].to_pylist() == ["unpacks_too_large"]
    # JSON writes six characters for each of these.
    written = [(node.topic("NBIRTH"), payload(metric("m", "string", "\1" * 300, datatype=made.STRING)))]
    assert decode(written, max_bytes=1_500).rejects["reason"].to_pylist() == ["unpacks_too_large"]


def test_nor_take_much_memory_before_it_is_refused() -> None:
    many = payload(*[metric()] * 200_000)
    tracemalloc.start()
    decoded = decode([("spBv1.0/plant/NDATA/edge", many)])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert decoded.rejects["reason"].to_pylist() == ["unpacks_too_large"]
    assert peak < 40 << 20


def test_births_without_aliases_give_types_in_later_batches_too() -> None:
    node = EdgeNode()
    twice = [
        metric("Load", "int", 1, alias=4, datatype=made.INT8),
        metric("Load", "int", 1, datatype=made.INT32),
    ]
    born = payload(metric("Off", "int", 1, datatype=made.INT8), *twice)
    states = dict(decode([(node.topic("NBIRTH"), born)]).states)
    data = payload(metric("Off", "int", -1), metric("Load", "int", -2), metric(None, "int", -3, alias=4))
    (event,) = events(decode([(node.topic("NDATA"), data)], states))
    assert [(m["name"], m["datatype"], m["value"]) for m in event["metrics"]] == [
        ("Off", "Int8", -1), ("Load", "Int32", -2), ("Load", "Int8", -3),
    ]  # fmt: skip


_message = st.sampled_from(["birth", "data", "measured", "death", "lost", "swap"])


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(_message, max_size=12), cuts=st.sets(st.integers(0, 20), max_size=4))
def test_however_events_are_cut_into_batches_they_decode_the_same(steps: list[str], cuts: set[int]) -> None:
    node = EdgeNode()
    for step in steps:
        match step:
            case "birth":
                node.bd_seq += 1
                list(node.birth())
            case "data":
                node.data(3)
            case "measured":
                node.measured(4)
            case "death":
                node.death()
            case "lost":
                node.sent.append((node.topic("DBIRTH", "pump"), b"\xff"))
            case "swap":
                node.aliases = (node.aliases[1], node.aliases[0])
    asks = {"sparkplug": {"rebirth": True}}
    whole = decode(node.sent, declared=asks)
    texts, states, requests = [], dict[str, str](), []
    edges = sorted({0, *cuts, len(node.sent)})
    for begin, end in pairwise(edges):
        decoded = decode(node.sent[begin:end], states, first=begin, declared=asks)
        states |= decoded.states
        texts += decoded.events["payload"].to_pylist()
        requests += decoded.requests
    assert texts == whole.events["payload"].to_pylist()
    assert (states, requests) == (whole.states, list(whole.requests))


def test_what_does_not_change_births_changes_no_state() -> None:
    node = EdgeNode()
    states = dict(decode(list(node.birth())).states)
    assert decode([node.data(1), node.measured(2)], states).states == {}


def test_births_of_strangers_do_not_grow_without_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(births, "MOST_METRICS", 20)
    known = [EdgeNode(name=f"edge{n}") for n in range(50)]
    again = [*known, known[-5]]
    states = decode([each for node in again for each in node.birth()]).states
    kept = orjson.loads(states["spool-0"])["nodes"]
    assert 1 < len(kept) <= 8
    assert [node[1] for node in kept[-2:]] == ["edge49", "edge45"], (
        "the oldest birth went, not the first node"
    )


def test_a_rebirth_is_asked_for_if_declared_and_once_in_a_while() -> None:
    node, asks = EdgeNode(), {"sparkplug": {"rebirth": True}}
    assert decode([node.data(1)]).requests == (), "a reader that publishes commands is a risk: not by default"
    first = decode([node.data(1), node.measured(2)], declared=asks)
    ((destination, command),) = first.requests
    assert destination == "spBv1.0/plant/NCMD/edge"
    (event,) = events(decode([(destination, command)]))
    (asked,) = event["metrics"]
    assert (asked["name"], asked["datatype"], asked["value"]) == ("Node Control/Rebirth", "Boolean", True)
    assert event["timestamp"] == int(MOMENT.timestamp() * 1000)
    states = dict(first.states)
    soon = decode([node.data(1)], states, declared=asks, at=MOMENT + timedelta(seconds=59))
    assert (soon.requests, soon.states) == ((), {})
    assert decode([node.data(1)], states, declared=asks, at=MOMENT + timedelta(seconds=60)).requests
    # A node whose births never name what it sends is not asked at every message either.
    strange = [*node.birth(), (node.topic("NDATA"), payload(metric(None, "int", 1, alias=99)))]
    assert decode(strange, states, declared=asks).requests == ()
    assert decode([*node.birth(), node.data(1)], declared=asks).requests == ()


def test_it_is_recognised_by_topic_and_payload() -> None:
    node = EdgeNode()
    sent = [*node.birth(), node.data(1)]
    found = recognise([Sample(value, None, topic.encode()) for topic, value in sent])
    assert found is not None
    assert (found.name, found.likeness.confidence) == ("sparkplug", 1.0)
    assert found.sentence == "topics of Sparkplug B (spBv1.0/…) and its payloads in 3 of 3 messages"
    elsewhere = recognise([Sample(value, None, b"plant/edge") for _, value in sent])
    assert elsewhere is not None
    assert elsewhere.name == "protobuf"


_topics = st.sampled_from([EdgeNode().topic(kind) for kind in ("NBIRTH", "NDATA", "NDEATH", "NCMD")])


@settings(max_examples=100, deadline=None)
@given(sent=st.lists(st.tuples(_topics, st.none() | st.binary(max_size=40)), max_size=6))
def test_any_bytes_end_in_exactly_one_place(sent: list[tuple[str, bytes | None]]) -> None:
    decoded = decode(sent, max_bytes=600)
    landed, refused = decoded.events["position"].to_pylist(), decoded.rejects["position"].to_pylist()
    assert sorted([*landed, *refused]) == list(range(len(sent)))
    for position, text in zip(landed, decoded.events["payload"].to_pylist(), strict=True):
        assert (text is None) == (sent[position][1] is None)
        assert text is None or len(text.encode()) <= 600


_metrics = st.lists(st.binary(max_size=12).map(lambda value: part(2, value)), max_size=4).map(b"".join)


@settings(max_examples=100, deadline=None)
@given(sent=st.lists(st.tuples(_topics, _metrics), max_size=6))
def test_any_metrics_end_in_exactly_one_place_and_their_state_is_read_again(
    sent: list[tuple[str, bytes]],
) -> None:
    decoded = decode(sent)
    assert decoded.events.num_rows + decoded.rejects.num_rows == len(sent)
    for text in decoded.states.values():
        assert births.Births(text).text == text


def test_who_looks_at_a_source_sees_the_names_of_the_births_that_it_has_shown(tmp_path: Path) -> None:
    node = EdgeNode()
    sent = [node.data(1), *node.birth(), node.measured(2)]
    shown = [Message("", None, topic.encode(), value, None, MOMENT) for topic, value in sent]
    seen = [orjson.loads(each.payload or "") for each in read_messages(shown, "sparkplug", max_bytes=1 << 20)]
    assert [[each["name"] for each in event["metrics"]] for event in seen] == [
        [None], ["bdSeq", "Load"], ["Temp"], ["Temp"],
    ]  # fmt: skip
    reading = Reader(None, load_settings(data_dir=tmp_path))
    assert [orjson.loads(reading.read(each).payload or "{}")["unresolved"] for each in shown] == [1, 0, 0, 0]
