"""Spools that are lost, or that no stream reads: doctor and status say so, adopt is the way out."""

import json
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from ingestion.spool.writer import SpoolEvent, SpoolWriter
from orchestration.cli.app import run
from orchestration.cli.examine_sources import sources
from orchestration.records.system_state import streams_in_use
from tests.ingestion.helpers import ingest

PLANT, GONE = (
    Stream.model_validate({"name": name, "source": {"mqtt": f"{name}/#"}}) for name in ("plant", "gone")
)


def collect(settings: Settings, name: str, payload: bytes) -> None:
    with closing(SpoolWriter(settings.data_dir / "spool" / name)) as writer:
        writer.append([SpoolEvent(b"plant/1", payload, None, 0)])
        writer.commit()


def told(settings: Settings, *streams: Stream) -> list[str]:
    return [f"{found.state}: {found.message}" for found in sources(settings, streams)]


@pytest.fixture
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the command line finds its settings in."""
    assert settings.catalog is not None
    file = tmp_path / "streams.yml"
    file.write_text("plant: {source: {mqtt: 'plant/#'}}\n")
    monkeypatch.setenv("MILLRACE_CATALOG", settings.catalog.get_secret_value())
    monkeypatch.setenv("MILLRACE_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("MILLRACE_STREAMS_FILE", str(file))


@pytest.mark.usefixtures("environment")
def test_a_lost_spool_is_a_problem_until_another_one_is_adopted(
    lake: Lake, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    def say(*arguments: str) -> str:
        assert run(arguments) == 0
        return capsys.readouterr().out

    assert told(settings, PLANT) == ["note: stream 'plant': nothing collected yet"]
    collect(settings, "plant", b"1")
    ingest(lake, PLANT, settings)
    assert told(settings, PLANT) == ["ok: stream 'plant': 1 partition(s), 1 position(s) held"]
    shutil.rmtree(settings.data_dir / "spool")
    (lost,) = told(settings, PLANT)
    assert lost.startswith("problem: stream 'plant': plant-0 is in the lake up to 1, but its spool is gone")
    assert run(["status", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["streams"]
    assert "does not continue what the lake holds" in row["error"]
    collect(settings, "plant", b"2")
    (lost,) = told(settings, PLANT)
    assert lost.endswith("'millrace adopt plant' goes on with the spool that is there")

    assert "at position 1 with the spool that is there; 1 events wait" in " ".join(
        say("adopt", "plant").split()
    )
    assert "nothing to adopt" in say("adopt", "plant")
    assert json.loads(say("adopt", "plant", "--json"))["position"] == 1
    assert ingest(lake, PLANT, settings).events_landed == 1
    assert told(settings, PLANT) == ["ok: stream 'plant': 1 partition(s), 1 position(s) held"]


def test_a_spool_that_no_stream_reads_is_a_problem_while_something_of_it_is_not_in_the_lake(
    lake: Lake, settings: Settings
) -> None:
    collect(settings, "gone", b"3")
    lake.prepare(["gone"])
    (strange,) = told(settings)
    assert strange.startswith("problem: ")
    assert "holds 1 events that were acknowledged" in strange
    assert told(settings.model_copy(update={"catalog": None}))[0].startswith("note: ")
    ingest(lake, GONE, settings)
    assert told(settings, GONE)[0].startswith("ok: ")
    (strange,) = told(settings)
    assert strange.endswith("belongs to no declared stream, and all of it is in the lake")


@pytest.mark.usefixtures("environment")
def test_with_a_mistake_in_streams_yml_no_spool_is_called_unread(
    lake: Lake, settings: Settings, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    collect(settings, "plant", b"1")
    lake.prepare(["plant"])

    def problems() -> str:
        assert run(["doctor", "--json"]) == 1
        found = json.loads(capsys.readouterr().out)
        return "\n".join(each["message"] for each in found if each["state"] == "problem")

    declared = (tmp_path / "streams.yml").read_text()
    (tmp_path / "streams.yml").write_text(declared + "oops: {sorce: x}\n")
    said = problems()
    assert "unknown key 'sorce'" in said
    assert "delete the folder" not in said
    in_use = streams_in_use(settings.data_dir)
    in_use.parent.mkdir(parents=True)
    in_use.write_text(declared)
    assert "delete the folder" not in problems()
    in_use.write_text("")
    assert "delete the folder" in problems(), "what is in use reads it no more"


def test_a_further_collector_s_spool_belongs_to_its_stream_and_is_named_where_none_reads_it(
    settings: Settings,
) -> None:
    shared = Stream.model_validate({"name": "shared", "source": {"mqtt": "$share/g/plant/#"}})
    with Lake(settings) as lake:
        lake.prepare([shared.name])
    collect(settings, "shared-1", b"1")
    assert "problem" not in " ".join(told(settings, shared))
    (problem,) = told(settings)
    assert problem.startswith(f"problem: {settings.data_dir / 'spool' / 'shared-1'} holds 1 events")
    assert "declare 'shared' again" in problem
