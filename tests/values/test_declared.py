"""What a field may say about its times, and what is refused with a sentence."""

from typing import Any

import pytest
from pydantic import ValidationError

from ingestion.declare.fields import FieldSpec
from ingestion.declare.times import pattern_of


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"type": "double", "unit": "s"}, "'unit' is for timestamp and date fields, not for double"),
        ({"type": "timestamp", "unit": "ms", "format": "%Y%m%d"}, "remove one of them"),
        ({"type": "timestamp", "format": "%y%m%d"}, "'%y' is not a part of a format"),
        ({"type": "timestamp", "format": "%H:%M"}, "does not give a day"),
        ({"type": "date", "format": "%Y-%m-%d %I"}, "no %p for AM or PM"),
        ({"type": "date", "format": "{%Y-%m-%d}"}, "holds a brace"),
        ({"type": "timestamp", "zone": "Europe/Atlantis"}, "'Europe/Atlantis' is not a time zone"),
        ({"type": "timestamp", "unit": "weeks"}, "'days'"),
    ],
)
def test_a_mistake_is_refused(said: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        FieldSpec(path="v", **said)
    assert sentence in str(caught.value)


def test_a_year_has_four_digits_in_every_format() -> None:
    assert pattern_of("%d.%m.%Y") == r"\d{2}\.\d{2}\.\d{4}"
