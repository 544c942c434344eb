"""Line protocol: the examples of its reference, and a law over whatever a sender may write."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.formats.reading import read, text_of


def point(measurement: str, tags: Any, fields: Any, time: int | None = None) -> Any:
    return {"measurement": measurement, "tags": tags, "fields": fields, "time": time}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            'myMeasurement,tag1=value1,tag2=value2 fieldKey="fieldValue" 1556813561098000000',
            point(
                "myMeasurement", {"tag1": "value1", "tag2": "value2"}, {"fieldKey": "fieldValue"},
                1556813561098000000,
            ),
        ),
        ("m f=1", point("m", {}, {"f": 1})),
        ("m f=1i,u=12485903u 0", point("m", {}, {"f": 1, "u": 12485903}, 0)),
        ("m a=t,b=T,c=true,d=True,e=TRUE", point("m", {}, dict.fromkeys("abcde", True))),
        ("m a=f,b=F,c=false,d=False,e=FALSE -1", point("m", {}, dict.fromkeys("abcde", False), -1)),
        (
            r'my\ Measurement\,x,a\=b\ c=d\,e f\ g="say \"hi\" \\ there"',
            point("my Measurement,x", {"a=b c": "d,e"}, {"f g": 'say "hi" \\ there'}),
        ),
        (r"a\b,t=c:\dir f=1", point(r"a\b", {"t": r"c:\dir"}, {"f": 1})),
        ('m f="two\nlines, = "', point("m", {}, {"f": "two\nlines, = "})),
        ("my=asurement f=-.5e3", point("my=asurement", {}, {"f": -500.0})),
        ("m☃,t=☃ f=1", point("m☃", {"t": "☃"}, {"f": 1})),
    ],
)  # fmt: skip
def test_the_reference_s_examples(line: str, expected: Any) -> None:
    assert read("influx", line.encode()) == expected
    assert read({"influx": {"lines": True}}, f"# a comment\r\n{line}\r\n\n{line}".encode()) == [expected] * 2


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ("1.10", "1.10"), ("1.", "1"), (".5", "0.5"), ("-007", "-7"), ("00", "0"), ("1e400", "1e400"),
        ("12345678901234567.89", "12345678901234567.89"), ("18446744073709551615u", "18446744073709551615"),
        ("-9223372036854775808i", "-9223372036854775808"),
    ],
)  # fmt: skip
def test_numbers_keep_their_digits(sent: str, said: str) -> None:
    text = text_of("influx", f"m f={sent}".encode())
    assert text == f'{{"measurement":"m","tags":{{}},"fields":{{"f":{said}}},"time":null}}'


_word = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\\\r\n#\ufeff\0"), min_size=1, max_size=6
)
_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
_number = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
_fields = st.dictionaries(_word, st.booleans() | _number | _text, min_size=1, max_size=3)


@settings(deadline=None)
@given(
    _word, st.dictionaries(_word, _word, max_size=2), _fields, st.none() | st.integers(-(2**63), 2**63 - 1)
)
def test_what_was_written_is_read(measurement: str, tags: Any, fields: Any, time: int | None) -> None:
    words = "".join(f",{_escaped(key)}={_escaped(value)}" for key, value in tags.items())
    values = ",".join(f"{_escaped(key)}={_value(value)}" for key, value in fields.items())
    line = f"{_escaped(measurement)}{words} {values}{'' if time is None else f' {time}'}"
    assert read("influx", line.encode()) == point(measurement, tags, fields, time)


def _escaped(word: str) -> str:
    for mark in ",= ":
        word = word.replace(mark, f"\\{mark}")
    return word


def _value(value: Any) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{value}i" if type(value) is int else str(value)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("m", "point 1: the measurement is missing or does not end"),
        ("m ", "point 1: the name of a field is missing"),
        ("m,t f=1", "the name of a tag is missing or does not end"),
        ("m,t= f=1", "the value of the tag 't' is missing"),
        ("m,t=1,t=2 f=1", "the tag 't' stands twice"),
        ("m f=1,f=2", "the field 'f' stands twice"),
        ("m f=", "'' is not a value of the field 'f'"),
        ("m f=nan", "'nan' is not a value of the field 'f'"),
        ("m f=.", "'.' is not a value"),
        ('m f="open', "is not a value of the field 'f'"),
        ("m f=1 soon", "'soon' is not a time"),
        ('m f="a"b', "'b' follows its fields"),
        ("m f=1\nm f=2", "2 points in one message, which 'lines: true' would allow"),
        ("m f=1\nbad", "point 2: the measurement is missing"),
        ("# only a comment", "no point"),
        ("m f=" + "9" * 6000 + "i", "is not a value of the field 'f'"),
    ],
)
def test_what_is_none_is_refused_with_the_reason(line: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=r"not_influx|empty") as refused:
        read("influx", line.encode())
    assert sentence in str(refused.value)
