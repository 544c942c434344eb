"""Protocol Buffers: compared with Google's own JSON mapping, on random messages, and hostile bytes."""

import json
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from google.protobuf import descriptor_pb2, json_format
from google.transit import gtfs_realtime_pb2
from grpc_tools import protoc
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.clock import utc_now
from ingestion.formats.decode import decoder
from ingestion.formats.port import Surroundings
from ingestion.formats.protobuf.descriptors import message_class
from ingestion.formats.registry import choose_format
from ingestion.log.envelope import SOURCE_SCHEMA
from tests.repository import REPOSITORY

HERE = Path(__file__).parent
GTFS = REPOSITORY.parent / "shared" / "data" / "gtfs-realtime"
Read = Callable[..., Any]
_APART = descriptor_pb2.FileDescriptorSet(
    file=[descriptor_pb2.FileDescriptorProto(name="a.proto", dependency=["other.proto"])]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project's folder with the compiled schemas."""
    found = tmp_path_factory.mktemp("protobuf")
    for name, options in (("plant.desc", ["--include_imports"]), ("alone.desc", [])):
        folders = [f"-I{HERE}", f"-I{Path(protoc.__file__).with_name('_proto')}"]
        arguments = [*folders, f"--descriptor_set_out={found / name}", *options, str(HERE / "plant.proto")]
        assert protoc.main(["protoc", *arguments]) == 0
    return found


@pytest.fixture(scope="module")
def read(folder: Path) -> Read:
    """Values → what JSON says, or the refusal; `options` besides the file and the message."""

    def reading(value: bytes, *, max_bytes: int = 1 << 20, **options: Any) -> Any:
        declared = {"protobuf": {"file": "plant.desc", "message": "plant.v1.Reading"} | options}
        return decoded(declared, value, folder, max_bytes=max_bytes)

    return reading


def decoded(declared: Any, value: bytes, folder: Path, *, max_bytes: int = 1 << 20) -> Any:
    row = {"source_partition": "log-0", "position": 0, "event_key": None, "value": value, "headers": None}
    events = pa.Table.from_pylist([row | {"event_time": None}], schema=SOURCE_SCHEMA)
    found = decoder(choose_format(declared, str(folder)))(
        events, stream="s", batch_id=1, ingested_at=utc_now(), max_bytes=max_bytes
    )
    if found.rejects.num_rows:
        (reject,) = found.rejects.to_pylist()
        return f"{reject['reason']}: {reject['detail']}"
    assert found.events["payload_raw"].to_pylist() == [value]
    return json.loads(found.events["payload"][0].as_py())


@pytest.fixture(scope="module")
def reading_class(folder: Path) -> Any:
    return message_class((folder / "plant.desc").read_bytes(), "plant.v1.Reading")


_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
_int32, _int64 = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
_float = st.floats(width=32)
_place: st.SearchStrategy[Any] = st.recursive(
    st.fixed_dictionaries({}, optional={"line": _text, "slot": _int32}),
    lambda inner: st.fixed_dictionaries({}, optional={"line": _text, "slot": _int32, "within": inner}),
    max_leaves=3,
)
_readings = st.fixed_dictionaries(
    {},
    optional={
        "id": _text, "counter": _int64, "total": st.integers(0, 2**64 - 1), "celsius": st.floats(),
        "power": _float, "ok": st.booleans(), "frame": st.binary(max_size=5), "place": _place,
        "state": st.sampled_from([0, 1, 7]),
        "samples": st.lists(_int32, max_size=3), "places": st.lists(_place, max_size=2),
        "limits": st.dictionaries(_text, st.floats(), max_size=2),
        "names": st.dictionaries(_int64, _text, max_size=2), "level": _int32, "text": _text,
    },
)  # fmt: skip


@settings(deadline=None)
@given(_readings, st.none() | st.integers(-62135596800, 253402300799), st.none() | _int64)
def test_any_message_is_what_the_reference_says(
    read: Read, reading_class: Any, fields: Any, seconds: int | None, maybe: int | None
) -> None:
    message = reading_class(**fields)
    if seconds is not None:
        message.measured_at.seconds = seconds
        message.measured_at.nanos = 123456789
        message.took.FromMilliseconds(1500)
        message.more.update({"a": [1, "x", None, {"b": True}]})
    if maybe is not None:
        message.maybe.value = maybe
    expected = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    assert same(read(message.SerializeToString()), expected)


def same(found: Any, expected: Any) -> bool:
    """Equal, where Google says 64-bit integers as text and floats as short as they come back."""
    if isinstance(found, dict):
        return isinstance(expected, dict) and found.keys() == expected.keys() and all(
            same(found[key], expected[key]) for key in found
        )  # fmt: skip
    if isinstance(found, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(found, int) and isinstance(expected, str):
        return str(found) == expected
    if isinstance(found, float) and isinstance(expected, int | float) and found != expected:
        single = struct.unpack("f", struct.pack("f", expected))[0]
        return math.copysign(1, found) == math.copysign(1, expected) and found == single
    return bool(found == expected)


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_a_refusal(read: Read, value: bytes) -> None:
    found = read(value)
    assert isinstance(found, dict) or found.startswith(("not_protobuf: it ", "not_unpacked: "))


def test_messages_behind_their_lengths_are_an_array(read: Read, reading_class: Any) -> None:
    one = reading_class(id="a").SerializeToString()
    two = reading_class(id="b" * 200).SerializeToString()
    value = bytes([len(one)]) + one + bytes([len(two) & 0x7F | 0x80, len(two) >> 7]) + two
    assert [each["id"] for each in read(value, delimited=True)] == ["a", "b" * 200]
    assert read(b"", delimited=True) == []
    for wrong in (value[:-1], b"\xff" * 6, b"\x05"):
        assert "has no whole length before it, or ends too early" in read(wrong, delimited=True)


def test_a_time_that_is_none_and_an_unknown_type_are_said_as_they_are(read: Read, reading_class: Any) -> None:
    message = reading_class(id="a")
    message.measured_at.seconds = 2**62
    assert read(message.SerializeToString())["measured_at"] == {"seconds": 2**62, "nanos": 0}
    message.more.fields["x"].Clear()
    assert read(message.SerializeToString())["id"] == "a"


def test_a_few_bytes_that_mean_many_names_are_refused(read: Read, reading_class: Any) -> None:
    value = reading_class(places=[{}] * 5000).SerializeToString()
    assert len(value) == 10_000
    assert read(value, max_bytes=20_000).startswith("unpacks_too_large")
    assert len(read(value)["places"]) == 5000


def test_what_a_stream_may_leave_out_comes_from_the_message(folder: Path) -> None:
    chosen = choose_format({"protobuf": {"file": "plant.desc", "message": "plant.v1.Reading"}}, str(folder))
    types = {field.path: field.type for field in chosen.options.fields(Surroundings(max_bytes=0))}
    assert types == {
        "id": "varchar", "counter": "bigint", "total": "decimal(20,0)", "celsius": "double",
        "power": "double", "ok": "boolean", "frame": "varchar", "state": "varchar", "place": "json",
        "samples": "json", "places": "json", "limits": "json", "names": "json",
        "measured_at": "timestamp", "took": "varchar",
        "more": "json", "maybe": "bigint", "level": "integer", "text": "varchar", "code": "integer",
    }  # fmt: skip


def test_google_s_own_files_need_not_be_in_the_set(folder: Path) -> None:
    declared = {"protobuf": {"file": "alone.desc", "message": "plant.v1.Place"}}
    assert decoded(declared, b"\n\x011", folder) == {"line": "1", "slot": 0}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"file": "none.desc"},
            "cannot be read (No such file or directory); 'file' is a path from the project's",
        ),
        ({"file": "orders.proto"}, "orders.proto cannot be read (No such file or directory)"),
        ({"file": "text.desc"}, "it is not a descriptor set"),
        ({"file": "empty.desc"}, "it holds no descriptors"),
        ({"file": "plant.desc"}, "it has 2 messages: name one, as in 'message: plant.v1.Place'"),
        ({"file": "plant.desc", "message": "plant.v1.Readin"}, "it has no message 'plant.v1.Readin', only"),
        ({"file": "apart.desc"}, "it imports other.proto, so write it with --include_imports"),
    ],
)
def test_what_cannot_be_used_is_said_where_it_is_declared(folder: Path, options: Any, sentence: str) -> None:
    (folder / "text.desc").write_text("syntax")
    (folder / "empty.desc").write_bytes(b"")
    (folder / "apart.desc").write_bytes(_APART.SerializeToString())
    with pytest.raises(ValueError, match="validation error") as refused:
        choose_format({"protobuf": options}, str(folder))
    assert sentence in str(refused.value)


@pytest.mark.skipif(not GTFS.is_dir(), reason="the feeds lie beside the project where they are at hand")
@pytest.mark.parametrize("name", ["vehicle_position.pb", "vehicle_position_occupancy.pb"])
def test_a_real_feed_has_every_value_of_the_reference(tmp_path: Path, name: str) -> None:
    described = descriptor_pb2.FileDescriptorSet()
    gtfs_realtime_pb2.DESCRIPTOR.CopyToProto(described.file.add())
    (tmp_path / "gtfs.desc").write_bytes(described.SerializeToString())
    value = (GTFS / name).read_bytes()
    declared = {"protobuf": {"file": "gtfs.desc", "message": "transit_realtime.FeedMessage"}}
    expected = json_format.MessageToDict(
        gtfs_realtime_pb2.FeedMessage.FromString(value),
        preserving_proto_field_name=True, always_print_fields_with_no_presence=True,
    )  # fmt: skip
    found = decoded(declared, value, tmp_path)
    assert found["entity"]
    assert same(found, expected)
