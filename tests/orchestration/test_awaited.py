"""A stream whose fields come from a registry that is away: it waits alone, and comes in by itself."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestion.declare.file import Declared, read_declared
from ingestion.errors import ConfigError
from ingestion.formats.schema_registry import registry as product
from ingestion.settings import Settings, load_settings
from orchestration.build import read_project
from orchestration.cli.app import run
from orchestration.cli.declared import declared_or_in_use
from orchestration.dbt.broken import project_findings
from orchestration.scaffold.entry import Entry, append_entry
from orchestration.scaffold.new import create_project
from orchestration.system.awaited import Awaited
from orchestration.system.reloading import Reloading
from tests.formats.registering import avro, record
from tests.servers.schema_registry import SchemaRegistry

STREAMS = """
plain:
  source: {kafka: plain}
  fields: {id: bigint}
orders:
  source: {kafka: orders}
  format: {avro: {schema: latest}}
  business_id: [id]
last: {source: {kafka: last}}
"""


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[SchemaRegistry]:
    """One that has the schema and is away; what a process knows of it is forgotten."""
    server = SchemaRegistry(tmp_path / "registry").start()
    avro(server, record(("id", "long")))({"id": 1})
    server.kill()
    product._opened.cache_clear()
    yield server
    server.stop()


@pytest.fixture
def at(tmp_path: Path, registry: SchemaRegistry) -> Settings:
    (tmp_path / "streams.yml").write_text(STREAMS)
    return load_settings(project=tmp_path, data_dir=tmp_path / "data", schema_registry_url=registry.url)


def names(found: Declared) -> list[list[str]]:
    return [[each.name for each in part] for part in found]


def test_it_waits_alone_and_comes_in_by_itself(at: Settings, registry: SchemaRegistry) -> None:
    found = read_declared(at)
    assert names(found) == [["plain", "last"], ["orders"]]
    awaited, taken = Awaited(at, found.waiting), list[Declared]()

    def take_in() -> None:
        taken.append(read_declared(at))
        awaited.note(taken[-1].waiting)

    files = Reloading(
        at.streams_file, [], prepare=take_in, renew=lambda: None, again=lambda: awaited.has_come
    )
    files.begin()
    awaited.ask()
    files.look(time.monotonic())
    (finding,) = awaited.findings()
    assert (finding.name, finding.subject) == ("stream_waiting", "orders")
    assert finding.sentence.startswith(
        "streams.yml line 7, stream 'orders': its fields are those of a schema, and the schema registry "
        f"gives no answer ({registry.url} does not answer"
    )
    assert finding.sentence.endswith("or declare 'fields'")
    assert taken == [], "nothing has changed"
    registry.start()
    awaited.ask()
    files.look(time.monotonic())
    assert list(awaited.findings()) == []
    files.look(time.monotonic())
    assert [names(each) for each in taken] == [[["plain", "orders", "last"], []]], "once"
    assert list(taken[0].streams[1].fields) == ["id"]


def test_its_other_mistakes_are_refused_at_once(at: Settings) -> None:
    at.streams_file.write_text(STREAMS.replace("business_id: [id]", "busines_id: [id]"))
    with pytest.raises(ConfigError, match=r"line 8, stream 'orders': unknown key 'busines_id'; did you mean"):
        read_declared(at)


def test_others_are_added_meanwhile_and_its_name_is_taken(at: Settings) -> None:
    append_entry(at.streams_file, Entry("more", {"kafka": "more"}, "", "", (), {}), settings=at)
    assert names(read_declared(at)) == [["plain", "last", "more"], ["orders"]]
    with pytest.raises(ConfigError, match="'orders' is declared already"):
        append_entry(at.streams_file, Entry("orders", {"kafka": "o"}, "", "", (), {}), settings=at)


def test_commands_name_it(
    at: Settings,
    registry: SchemaRegistry,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = declared_or_in_use(at)
    assert (len(known.streams or ()), known.mistake, len(known.waiting)) == (2, "", 1)
    monkeypatch.chdir(at.project)
    monkeypatch.setenv("MILLRACE_SCHEMA_REGISTRY_URL", registry.url)
    for command in (["status"], ["doctor"], ["ingest", "orders"]):
        run(["--data-dir", str(at.data_dir), *command])
        said = " ".join("".join(capsys.readouterr()).split())
        assert "stream 'orders': its fields are those of a schema" in said, command
    assert "stream 'orders' waits for the schema that its fields come from, so it cannot be used yet" in said
    assert "is not declared" not in said
    run(["--data-dir", str(at.data_dir), "ingest", "order"])
    assert "stream 'order' is not declared" in " ".join("".join(capsys.readouterr()).split())


def test_its_models_wait_and_nobody_is_to_correct_them(at: Settings, registry: SchemaRegistry) -> None:
    create_project(at.project / "new", example="none")
    dbt = at.project / "new" / "dbt_project"
    staging = dbt / "models" / "staging"
    for name in ("plain", "orders", "nowhere"):
        (staging / f"stg_{name}.sql").write_text(f"{{{{ staging('{name}') }}}}\n")
    (dbt / "models" / "daily.sql").write_text("select * from {{ ref('stg_orders') }}\n")
    project = read_project(at, dbt_folder=dbt)
    said = {each.subject: each.sentence for each in project_findings(project.problems)}
    place = "dbt_project/models/staging/stg_orders.sql"
    assert said[place] == (
        f"{place}: its stream 'orders' waits for the schema that its fields come from (stream_waiting says "
        "why); nothing is wrong with this file, and it is taken up by itself as soon as the registry "
        "answers, or at once if 'fields' is declared. Until then these are not built: daily, stg_orders."
    )
    assert "Correct it" in said["dbt_project/models/staging/stg_nowhere.sql"]
    (daily,) = (each for each in project.parsed.broken.models if each.name == "daily")
    assert daily.why.endswith("or at once if 'fields' is declared. It follows from stg_orders.")
    registry.start()
    product._opened.cache_clear()
    (one,) = read_project(at, dbt_folder=dbt).problems
    assert "stg_nowhere" in one
