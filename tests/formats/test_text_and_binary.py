"""Text as it is, and bytes that are nothing to read."""

import gzip
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.formats.reading import read


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_a_string(text: str) -> None:
    sent = text.encode()
    assert read("text", sent) == text.removeprefix("\ufeff").rstrip("\0")


@pytest.mark.parametrize(
    ("options", "value", "expected"),
    [
        ({"lines": True}, b"one\r\n\ntwo \x0bthree\n", ["one", "two \x0bthree"]),
        ({"encoding": "iso-8859-1"}, b"\xe9", "é"),
        ({}, gzip.compress(b"packed", mtime=0), None),
    ],
)
def test_what_is_declared_is_read(options: Any, value: bytes, expected: Any) -> None:
    assert read({"text": options}, value) == (expected or "packed")


@given(st.binary(max_size=40))
def test_bytes_are_counted_and_named_by_their_digest(value: bytes) -> None:
    assert read("binary", value) == {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}


def test_what_is_said_to_be_packed_is_described_unpacked() -> None:
    packed = gzip.compress(b"abc", mtime=0)
    assert read("binary", packed)["bytes"] == len(packed)
    assert read("binary", packed, headers='{"content-encoding": "gzip"}')["bytes"] == 3
