"""Real series: every value of every column is the text of the file. They lie beside the project, or not."""

import csv
import json

import pytest

from tests.repository import REPOSITORY
from tests.values.staged import stage

NAB = REPOSITORY.parent / "shared" / "data" / "nab"

pytestmark = pytest.mark.skipif(
    not NAB.is_dir(), reason="the NAB series are not beside the project (shared/data/nab)"
)


@pytest.mark.parametrize("file", sorted(NAB.glob("*.csv")), ids=lambda path: path.stem)
def test_every_value_is_the_text_of_the_file(file) -> None:  # type: ignore[no-untyped-def]
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) > 4000
    payloads = [f'{{"at": {json.dumps(row["timestamp"])}, "value": {row["value"]}}}' for row in rows]
    fields = {
        "at": "timestamp",
        "day": {"path": "at", "type": "date"},
        "number": {"path": "value", "type": "double"},
        "exact": {"path": "value", "type": "decimal(38,20)"},
        "text": {"path": "value", "type": "varchar"},
        "whole": {"path": ".", "type": "json"},
    }
    for row, payload, fate in zip(rows, payloads, stage(fields, payloads, text=True), strict=True):
        assert fate.cast_errors == (), row
        assert fate.values["at"].startswith(row["timestamp"]), row
        assert fate.values["day"] == row["timestamp"][:10], row
        assert fate.values["text"] == row["value"], row
        assert float(fate.values["number"]) == float(row["value"]), row
        assert fate.values["exact"].rstrip("0").rstrip(".") == _plain(row["value"]), row
        assert fate.values["whole"] == payload.replace(": ", ":").replace(", ", ","), row


def _plain(number: str) -> str:
    return number.rstrip("0").rstrip(".") if "." in number else number
