"""docs/formats.md says what happens: each line of its table, and each format that there is."""

import re

import pytest
import yaml

from ingestion.connectors.registry import CONNECTORS
from ingestion.formats.registry import FORMATS, find_format, option_names
from tests.formats.reading import text_of
from tests.repository import REPOSITORY

PAGE = (REPOSITORY / "docs" / "formats.md").read_text()
_MARKS = {"⏎": "\n", "⇥": "\t"}
ROWS = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \| `([^`]+)` \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("declared", "sent", "payload"), ROWS)
def test_it_becomes_what_the_page_says(declared: str, sent: str, payload: str) -> None:
    for mark, character in _MARKS.items():
        sent = sent.replace(mark, character)
    assert text_of(yaml.safe_load(declared), sent.encode()) == payload


ELSEWHERE = ("json", "avro", "cbor", "msgpack", "protobuf", "sparkplug")
"""What is sent is its own payload, or not text: docs/values.md has the table."""


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_is_on_the_page_with_all_its_options(name: str) -> None:
    lines = [line for line in PAGE.splitlines() if line.startswith("| ") and f"`{name}`" in line]
    assert lines
    declared = set(option_names(find_format(name).options))
    assert declared <= set(re.findall(r"`(\w+)`", lines[0]))
    shown = {re.split(r"[^a-z]+", row.lstrip("{"))[0] for row, _, _ in ROWS}
    assert name in {*shown, *ELSEWHERE}


README = (REPOSITORY / "README.md").read_text()
FEATURES = README.partition("## Sources and formats")[2].partition("\n## ")[0]


def test_the_readme_s_table_of_features_has_no_blank() -> None:
    rows = [line for line in FEATURES.splitlines() if line.startswith("| ")]
    assert len(rows) > 15
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert len(cells) == 3, row
        assert all(re.search(r"\w{2}", cell) for cell in cells), row


@pytest.mark.parametrize("name", [*FORMATS, *CONNECTORS])
def test_the_readme_s_table_names_every_format_and_source(name: str) -> None:
    spelt = {"protobuf": "Protocol Buffers", "influx": "line protocol", "msgpack": "MessagePack"}
    assert spelt.get(name, name).lower() in FEATURES.lower()
