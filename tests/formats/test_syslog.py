"""Syslog: the examples of RFC 5424, section 6.5, and a law over whatever a sender may write."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.formats.reading import read

_SD = (
    b'[exampleSDID@32473 iut="3" eventSource="Application" eventID="1011"]'
    b'[examplePriority@32473 class="high"]'
)
_PARAMETERS = {"iut": "3", "eventSource": "Application", "eventID": "1011"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            b"<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \xef\xbb\xbf'su root' failed",
            {
                "facility": 4, "severity": 2, "version": 1, "time": "2003-10-11T22:14:15.003Z",
                "host_name": "mymachine.example.com", "app_name": "su", "process_id": None,
                "message_id": "ID47", "data": None, "message": "'su root' failed",
            },
        ),
        (
            b"<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time.",
            {
                "facility": 20, "severity": 5, "version": 1, "time": "2003-08-24T05:14:15.000003-07:00",
                "host_name": "192.0.2.1", "app_name": "myproc", "process_id": "8710",
                "message_id": None, "data": None, "message": "%% It's time.",
            },
        ),
        (
            b"<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 " + _SD,
            {
                "facility": 20, "severity": 5, "version": 1, "time": "2003-10-11T22:14:15.003Z",
                "host_name": "mymachine.example.com", "app_name": "evntslog", "process_id": None,
                "message_id": "ID47", "message": None,
                "data": {"exampleSDID@32473": _PARAMETERS, "examplePriority@32473": {"class": "high"}},
            },
        ),
    ],
)  # fmt: skip
def test_the_standard_s_examples(value: bytes, expected: Any) -> None:
    assert read("syslog", value) == expected
    assert read("syslog", b"%d " % len(value) + value) == expected


def test_a_name_that_stands_twice_has_both_values() -> None:
    value = b'<0>1 - - - - - [origin ip="192.0.2.1" ip="192.0.2.129"] x'
    assert read("syslog", value)["data"] == {"origin": {"ip": ["192.0.2.1", "192.0.2.129"]}}


_name = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters='="]'), min_size=1, max_size=9
)
_value = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)


@settings(deadline=None)
@given(
    st.dictionaries(_name, st.dictionaries(_name, _value, max_size=3), max_size=3),
    st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff"), max_size=20),
)
def test_what_was_written_is_read(data: dict[str, dict[str, str]], message: str | None) -> None:
    written = ""
    for name, values in data.items():
        written += "".join(
            [f"[{name}", *(f' {key}="{_escaped(value)}"' for key, value in values.items()), "]"]
        )
    value = f"<7>1 - - - - - {written or '-'}{'' if message is None else f' {message}'}".encode()
    found = read("syslog", value)
    assert (found["data"] or {}, found["message"]) == (data, message)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (b"<34>Oct 11 22:14:15 mymachine su: 'su root' failed", "does not begin with"),
        (b"<192>1 - - - - - -", "its priority is 192, the largest is 191"),
        (b"<034>1 - - - - - -", "does not begin with"),
        (b"<34>1 2003-10-11T22:14:15.0000035Z a b c d -", "does not begin with"),
        (b"<1>1 - - - - - [a b]", "its structured data is not well-formed at byte 15"),
        (b'<1>1 - - - - - [a b="]"]', "not well-formed"),
        (b'<1>1 - - - - - [a b="1"][a b="2"]', "not well-formed"),
        (b'<1>1 - - - - - [a b="1"]x', "not well-formed"),
        (b"<1>1 - - - - - -x", "not well-formed"),
        (b"99 <1>1 - - - - - -", "its octet count is 99, 16 bytes follow"),
        (b"<1>1 - - - - - - \xff", "not_utf8"),
    ],
)
def test_what_is_none_is_refused_with_the_reason(value: bytes, sentence: str) -> None:
    with pytest.raises(ValueError, match=r"not_syslog|not_utf8") as refused:
        read("syslog", value)
    assert sentence in str(refused.value)
