"""The product names no stream, model or seed of the plant, whose project this repository also is.

Only the demo knows them, because it sends to them. Words such as "alerts" count where they name a table.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestion.declare.file import load_streams
from tests.repository import REPOSITORY

HOMES = ("orchestration/demo/",)
OWN_WORDS = {"orchestration/reactions/": {"alerts"}}
"""Room → words that mean something else there: a message of several alerts has them under this key."""


def names_of(project: Path) -> set[str]:
    """Streams, models and seeds of a project."""
    dbt = project / "dbt_project"
    files = [*dbt.glob("models/*/*.sql"), *dbt.glob("seeds/*.csv")]
    return {file.stem for file in files} | {stream.name for stream in load_streams(project / "streams.yml")}


def strangers(text: str, names: set[str]) -> Iterator[str]:
    """Names in a text, as `line: name`; a plain word counts behind a schema and as a whole literal."""
    unmistakable = "|".join(sorted(name for name in names if "_" in name))
    words = "|".join(sorted(name for name in names if "_" not in name))
    pattern = rf"(?<![a-z_])(?:{unmistakable})(?![a-z_])"
    if words:
        pattern += rf"|(?:marts|seeds)[./](?:{words})\b|[\"'](?:{words})[\"']"
    for number, line in enumerate(text.splitlines(), 1):
        yield from (f"line {number}: {found[0]}" for found in re.finditer(pattern, line))


def _files() -> list[Path]:
    places = [REPOSITORY / package for package in ("ingestion", "orchestration")]
    suffixes = (".py", ".sql", ".yml", ".yaml", ".md")
    return sorted(path for place in places for path in place.rglob("*") if path.suffix in suffixes)


def test_the_product_names_nothing_of_the_plant() -> None:
    names = names_of(REPOSITORY)
    assert {"plant_telemetry", "machine_minute", "alerts", "machines"} <= names
    found = [
        f"{place} {stranger}"
        for place in (str(path.relative_to(REPOSITORY)) for path in _files())
        if not place.startswith(HOMES)
        for own in [{word for room, words in OWN_WORDS.items() if place.startswith(room) for word in words}]
        for stranger in strangers((REPOSITORY / place).read_text(encoding="utf-8"), names - own)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("text", ["stg_plant_telemetry", "f'{x}plant_telemetry'", "marts.alerts", "'alerts'"])
def test_the_rule_finds_what_it_forbids(text: str) -> None:
    assert list(strangers(text, {"stg_plant_telemetry", "plant_telemetry", "alerts"}))


@pytest.mark.parametrize("text", ["it alerts somebody", "stg_{table}", "no plant_telemetry_file"])
def test_the_rule_lets_words_be(text: str) -> None:
    assert not list(strangers(text, {"plant_telemetry", "alerts"}))
