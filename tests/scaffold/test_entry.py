"""An entry is appended to streams.yml: every byte before it stays, and so does every stream."""

from pathlib import Path

import pytest

from ingestion.declare.fields import FieldSpec
from ingestion.declare.file import load_streams
from ingestion.declare.sources import read_source
from ingestion.errors import ConfigError
from orchestration.scaffold.entry import Entry, append_entry, source_of
from tests.repository import REPOSITORY

ENTRY = Entry(
    "fresh", {"kafka": "fresh", "start": "latest"}, "", "sent_at", ("id",),
    {"id": FieldSpec(type="varchar", path="id"), "sent_at": FieldSpec(type="timestamp", path="meta.sent"),
     "ts": FieldSpec(type="timestamp", path="ts", unit="ms"), "whole": FieldSpec(type="json", path=".")},
    unnest="readings",
)  # fmt: skip


@pytest.mark.parametrize(
    "before",
    [
        "",
        "# only a comment",
        "a: {source: {kafka: t}}",
        "a:\n  source: {kafka: t} # why\n\n# the end\n",
        "---\na:\n    source:\n        kafka: t\n",
        'a:\n  source: {mqtt: "x/#"}\n  fields: &same {x: date}\nb: {source: {kafka: t}, fields: *same}\n',
        (REPOSITORY / "streams.yml").read_text(),
        (REPOSITORY / "tests" / "frozen" / "every_option.yml").read_text(),
        (REPOSITORY / "orchestration" / "scaffold" / "files" / "streams.yml").read_text(),
    ],
)
def test_what_was_there_stays(tmp_path: Path, before: str) -> None:
    file = tmp_path / "streams.yml"
    file.write_text(before)
    file.chmod(0o640)
    declared = load_streams(file)
    append_entry(file, ENTRY)
    assert file.read_text().startswith(before)
    assert load_streams(file) == (*declared, ENTRY.stream())
    assert file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["streams.yml"]
    with pytest.raises(ConfigError, match="'fresh' is declared already"):
        append_entry(file, ENTRY)


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real.yml").write_text("")
    (tmp_path / "streams.yml").symlink_to("real.yml")
    append_entry(tmp_path / "streams.yml", ENTRY)
    assert (tmp_path / "streams.yml").is_symlink()
    assert len(load_streams(tmp_path / "real.yml")) == 1


@pytest.mark.parametrize("before", ["{a: {source: {kafka: t}}}\n", "a: {source: {kafka: t}}\n...\n"])
def test_where_nothing_can_be_appended_it_says_so_and_leaves_the_file(tmp_path: Path, before: str) -> None:
    file = tmp_path / "streams.yml"
    file.write_text(before)
    with pytest.raises(ConfigError, match=r"(?s)add this by hand:\nfresh:\n  source: \{kafka: fresh"):
        append_entry(file, ENTRY)
    assert file.read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["streams.yml"]


@pytest.mark.parametrize(
    ("text", "options", "written"),
    [
        ("kafka:orders", {}, {"kafka": "orders"}),
        ("kafka:^orders_.*", {"start": "latest"}, {"kafka": "^orders_.*", "start": "latest"}),
        ("mqtt:home/+/#", {"qos": 0}, {"mqtt": "home/+/#", "qos": 0}),
    ],
)
def test_a_source_is_written_as_it_was_given(
    text: str, options: dict[str, object], written: dict[str, object]
) -> None:
    source = read_source(text, options)
    assert source_of(source) == written
    assert Entry("s", written, "", "", (), {}).stream().source == source


@pytest.mark.parametrize("name", ["Orders", "batches", "a__b", "x" * 61])
def test_a_name_that_cannot_be_declared_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"stream '{name}': "):
        Entry(name, {"kafka": "t"}, "", "", (), {}).stream()
