"""Separated values, compared with what Python's csv module writes."""

import csv
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.formats.registry import choose_format
from tests.formats.reading import read

_cell = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\ufeff"), max_size=8)
_tables = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(_cell, min_size=width, max_size=width), min_size=1, max_size=4)
)


def written(rows: list[list[str]], delimiter: str) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows(rows)
    return text.getvalue().encode()


@pytest.mark.parametrize(("name", "delimiter"), [("csv", ","), ("tsv", "\t"), ("csv", ";")])
@settings(max_examples=60, deadline=None)
@given(rows=_tables)
def test_every_text_comes_back_as_it_was_written(name: str, delimiter: str, rows: list[list[str]]) -> None:
    options = {"lines": True, "no_value": "\x01none", "delimiter": "tab" if delimiter == "\t" else delimiter}
    assert read({name: options}, written(rows, delimiter)) == rows


@pytest.mark.parametrize(
    ("options", "value", "expected"),
    [
        ({}, b"7,kitchen,21.50", ["7", "kitchen", "21.50"]),
        ({}, b"7,,", ["7", None, None]),
        ({"no_value": "NA"}, b"NA,,x\r\n", [None, "", "x"]),
        ({"columns": ["a", "b"]}, b'1,"x, ""y""\nz"\n', {"a": "1", "b": 'x, "y"\nz'}),
        ({"columns": ["a"], "lines": True}, b"1\n\n2\n", [{"a": "1"}, {"a": "2"}]),
        ({"header": True}, b"t,v\n1,2\n3,4", [{"t": "1", "v": "2"}, {"t": "3", "v": "4"}]),
        ({"delimiter": ";", "quote": "'"}, b"'a;b';1,5", ["a;b", "1,5"]),
        ({"encoding": "windows-1252"}, "grün,1".encode("cp1252"), ["grün", "1"]),
        ({}, "é,1".encode("utf-16"), ["é", "1"]),
    ],
)
def test_what_is_declared_is_read(options: Any, value: bytes, expected: Any) -> None:
    assert read({"csv": options}, value) == expected


def test_a_tab_separates_tsv() -> None:
    assert read("tsv", b"a,b\t1") == ["a,b", "1"]


@pytest.mark.parametrize(
    ("options", "value", "sentence"),
    [
        ({}, b"1\n2\n", "2 records in one message, which 'lines: true' would allow"),
        ({"columns": ["a", "b"]}, b"1,2,3", "record 1 has 3 values, the columns are 2"),
        ({"header": True}, b"a,a\n1,2", "the header has a name twice: a, a"),
        ({"header": True}, b"a,b\n", "no record after the header"),
        ({}, b"\n", "no record"),
        ({}, b'"open', "line 1: unexpected end of data"),
        ({}, b'"a"b,1', "line 1: ',' expected after"),
        ({}, b"\xff,1", "not_utf8"),
    ],
)
def test_what_is_no_record_is_refused_with_the_reason(options: Any, value: bytes, sentence: str) -> None:
    with pytest.raises(ValueError, match=r"not_csv|empty|not_utf8") as refused:
        read({"csv": options}, value)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"columns": ["a", "b", "a"]}, "'columns' has 'a' twice"),
        ({"columns": ["a"], "header": True}, "declare one of them"),
        ({"quote": ";", "delimiter": ";"}, "the same character"),
        ({"delimiter": ", "}, "delimiter"),
    ],
)
def test_options_that_contradict_are_refused_where_they_are_declared(options: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match="validation error") as refused:
        choose_format({"csv": options})
    assert sentence in str(refused.value)


def test_a_long_value_is_read_whatever_another_user_of_the_library_allows() -> None:
    before = csv.field_size_limit(10)
    try:
        assert read("csv", b"x" * 300_000 + b",1") == ["x" * 300_000, "1"]
        assert csv.field_size_limit() == 10
    finally:
        csv.field_size_limit(before)
