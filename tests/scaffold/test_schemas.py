"""JSON Schemas for editors: what is right passes, and every mistake that a schema can see does not."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from orchestration.cli.app import run
from orchestration.scaffold.new import create_project
from orchestration.scaffold.schemas import FOLDER, schemas
from tests.fakes.registered import fakes
from tests.frozen.stream_mistakes import MISTAKES
from tests.repository import REPOSITORY

STREAMS = [
    "streams.yml",
    "orchestration/scaffold/files/streams.yml",
    "orchestration/scaffold/shop/streams.yml",
    "tests/frozen/every_option.yml",
    "tests/frozen/golden_streams.yml",
]
CONTRACTS = [
    str(path.relative_to(REPOSITORY))
    for folder in ("dbt_project", "orchestration/scaffold/shop/dbt_project", "orchestration/dbt/package")
    for path in sorted((REPOSITORY / folder / "contracts").glob("*.yml"))
]
UNSEEN = {
    "event_time is not a field", "event_time without fields", "business_id is not a field",
    "pattern that does not compile", "sequence names no field", "sequence counts by a text",
    "sequence counts per number", "sequence never is where it wraps", "sequence with too wide a reorder",
    "the same stream twice", "the same key twice",
}  # fmt: skip
"""Mistakes that only streams.yml as a whole shows; load_streams reports them."""
NO_YAML = {"the file is not YAML", "a YAML tag"}


class _AsEditors(yaml.SafeLoader):
    """Editors read YAML 1.2, as JSON: a time is a text, and so is `on`."""


_AsEditors.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in known
        if tag != "tag:yaml.org,2002:timestamp" and (tag != "tag:yaml.org,2002:bool" or first in "tTfF")
    ]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def problems(name: str, text: str) -> list[str]:
    schema = schemas()[name]
    Draft202012Validator.check_schema(schema)
    document: Any = yaml.load(text, Loader=_AsEditors)
    return [error.message for error in Draft202012Validator(schema).iter_errors(document)]


@pytest.mark.parametrize("file", STREAMS)
def test_every_declaration_passes(file: str) -> None:
    assert problems("streams", (REPOSITORY / file).read_text()) == []


@pytest.mark.parametrize("mistake", sorted(MISTAKES.keys() - NO_YAML))
def test_a_mistake_is_seen(mistake: str) -> None:
    assert bool(problems("streams", MISTAKES[mistake])) == (mistake not in UNSEEN)


@pytest.mark.parametrize("file", CONTRACTS)
def test_every_contract_passes(file: str) -> None:
    assert problems("contract", (REPOSITORY / file).read_text()) == []


@pytest.mark.parametrize(
    "text",
    [
        "dataset: marts/orders\ncolumns: [{name: a}]\n",
        "dataset: lake/marts/orders\n",
        "columns: [{name: a}]\n",
        "dataset: lake/marts/orders\ncolumns: [{data_type: varchar}]\n",
        "dataset: lake/marts/orders\ncolumns: [{name: a, checks: [{misssing: }]}]\n",
        "dataset: lake/marts/orders\ncolumns: [{name: a}]\nchecks: [{reconciliation: }]\n",
    ],
)
def test_a_contract_s_mistake_is_seen(text: str) -> None:
    assert problems("contract", text)


def test_a_kind_that_is_installed_later_is_known() -> None:
    text = "a: {source: {tape: reel}, format: rot13}\n"
    assert problems("streams", text)
    with fakes():
        assert problems("streams", text) == []


def test_a_field_says_what_it_is_for() -> None:
    stream = schemas()["streams"]["additionalProperties"]["properties"]
    assert stream["event_time"]["description"].startswith("The field with the event's own time")
    kinds = {part["required"][0]: part for part in stream["source"]["anyOf"]}
    assert "retention deleted unread events" in kinds["kafka"]["properties"]["on_truncated"]["description"]


@pytest.mark.parametrize("example", ["plant", "shop", "none"])
def test_a_project_s_files_name_schemas_that_are_there(tmp_path: Path, example: str) -> None:
    create_project(tmp_path / "p", example=example)
    named = 0
    for file in (
        tmp_path / "p" / "streams.yml",
        *(tmp_path / "p" / "dbt_project" / "contracts").glob("*.yml"),
    ):
        first = file.read_text().partition("\n")[0]
        if "$schema=" in first:
            named += 1
            assert json.loads((file.parent / first.partition("$schema=")[2]).read_text())["type"]
    assert named >= 1
    assert sorted(path.name for path in (tmp_path / "p" / FOLDER).iterdir()) == [
        "contract.json",
        "reactions.json",
        "streams.json",
    ]


def test_the_command_prints_them(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("streams", "contract"):
        assert run(["schema", name]) == 0
        assert json.loads(capsys.readouterr().out) == schemas()[name]
