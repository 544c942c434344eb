"""Flat messages of Protocol Buffers are said by one call, which says what the general way says."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestion.formats.canonical import MOST_LEVELS
from ingestion.formats.port import Refusal
from ingestion.formats.protobuf.compiled import compiled
from ingestion.formats.protobuf.descriptors import message_class
from ingestion.formats.protobuf.flat import flat
from ingestion.formats.protobuf.format import _read_delimited, _read_one, _Saying

_PROTO = """
syntax = "proto3";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
enum State { UNKNOWN = 0; RUNNING = 1; }
message Flat {
  string id = 1;
  int64 count = 2;
  uint64 total = 3;
  double celsius = 4;
  float power = 5;
  bool ok = 6;
  bytes frame = 7;
  State state = 8;
  optional string note = 9;
  optional double limit = 10;
  oneof kind { string text = 11; int32 number = 12; }
}
message One { int32 n = 1; }
message None { }
message Nested { Flat flat = 1; }
message Many { repeated int32 n = 1; }
message At { google.protobuf.Timestamp at = 1; }
"""
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
_FLAT = st.fixed_dictionaries(
    {},
    optional={
        "id": _TEXT, "count": st.integers(-(2**63), 2**63 - 1), "total": st.integers(0, 2**64 - 1),
        "celsius": st.floats(), "power": st.floats(width=32), "ok": st.booleans(),
        "frame": st.binary(max_size=5), "state": st.sampled_from([0, 1, 7]), "note": _TEXT,
        "limit": st.floats(), "text": _TEXT,
    },
)  # fmt: skip


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("flat")
    (folder / "flat.proto").write_text(_PROTO)
    descriptors = compiled(folder / "flat.proto", project=folder)
    return lambda name: message_class(descriptors, name)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_FLAT)
def test_it_says_what_the_general_way_says(messages: Any, fields: dict[str, Any]) -> None:
    message = messages("Flat")(**fields)
    say = flat(message.DESCRIPTOR)
    assert say is not None
    assert list(say(message).items()) == list(_Saying(1 << 20).message(message, MOST_LEVELS).items())


def test_a_single_field_is_said(messages: Any) -> None:
    say = flat(messages("One").DESCRIPTOR)
    assert say is not None
    assert say(messages("One")(n=7)) == {"n": 7}


@pytest.mark.parametrize("name", ["None", "Nested", "Many", "At"])
def test_other_messages_are_left_to_the_general_way(messages: Any, name: str) -> None:
    assert flat(messages(name).DESCRIPTOR) is None


@pytest.mark.parametrize("name", ["Timestamp", "Int64Value", "StringValue"])
def test_google_s_own_have_their_own_json(messages: Any, name: str) -> None:
    pool = messages("At").DESCRIPTOR.file.pool
    assert flat(pool.FindMessageTypeByName(f"google.protobuf.{name}")) is None


def test_a_few_bytes_that_mean_many_names_are_refused(messages: Any) -> None:
    one = _read_one(b"", None, of_type=messages("Flat"), max_bytes=50)
    assert isinstance(one, Refusal)
    assert one.reason == "unpacks_too_large"
    many = _read_delimited(b"\x00" * 100, None, of_type=messages("Flat"), max_bytes=500)
    assert isinstance(many, Refusal)
    assert many.reason == "unpacks_too_large"
