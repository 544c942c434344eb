"""What is said of batches and checks to a catalog that takes OpenLineage: a real HTTP server, real batches.

Models are in tests/e2e/test_traces.py, where a whole system builds them.
"""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from dagster import DagsterInstance

from ingestion.declare.logs import open_log
from ingestion.declare.stream import Stream
from ingestion.errors import MillraceError
from ingestion.land.session import LakeSession
from ingestion.settings import Settings, load_settings
from ingestion.telemetry.jobs import Assertion, Dataset, Job
from ingestion.telemetry.lineage import RunLineage
from orchestration.run.land import ingest_batch
from tests.ingestion.helpers import produce
from tests.names import numbers
from tests.repository import REPOSITORY
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.lineage import LineageCatalog, Mood
from tests.servers.ports import free_ports
from tests.waiting import eventually

_numbers = numbers()
KEY = "pa55word"
RUN = str(uuid4())
ORDERS = Dataset("raw.orders", columns=(("id", "varchar"),))
BUILD = Job("build.marts.orders", "MODEL", (ORDERS,), (Dataset("marts.orders"),), sql="select 1")
CHECK = Job("check.raw.orders", "CHECK", (ORDERS,))


@pytest.fixture
def catalog() -> Iterator[LineageCatalog]:
    with LineageCatalog() as catalog:
        yield catalog


@pytest.fixture(autouse=True)
def _env_of_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_ENV_FILE", str(tmp_path / ".env"))


def settings_of(tmp_path: Path, **variables: str) -> Settings:
    """Settings whose .env holds some variables."""
    (tmp_path / ".env").write_text("".join(f"{name}='{value}'\n" for name, value in variables.items()))
    (tmp_path / "streams.yml").write_text("")
    return load_settings(project=tmp_path, data_dir=tmp_path / "data")


def work(lineage: RunLineage) -> None:
    """A model that is built twice, a table that is checked twice, and a load that fails."""
    lineage.did(BUILD, parent=RUN, began=1.0, rows=2, version=7)
    lineage.did(CHECK, parent=RUN, began=2.0, assertions=[Assertion("a", True), Assertion("b", False)])
    lineage.did(BUILD, parent=RUN, began=3.0, rows=3, version=8)
    lineage.did(CHECK, parent=RUN, began=4.0, assertions=[Assertion("b", True)])
    lineage.did(
        Job("load.orders", "LOAD", (), (ORDERS,)), parent=RUN, began=5.0, failure="the broker is away"
    )


def test_a_run_of_each_job_begins_once_and_ends_with_what_it_came_to(
    tmp_path: Path, catalog: LineageCatalog
) -> None:
    lineage = RunLineage(
        settings_of(
            tmp_path, OPENLINEAGE_URL=catalog.url, OPENLINEAGE_API_KEY=KEY, OPENLINEAGE_NAMESPACE="plant"
        )
    )
    work(lineage)
    eventually(lambda: len(catalog.events) == 3, "three runs begin")
    lineage.close()
    eventually(lambda: len(catalog.events) == 6, "and end")
    (began,), (built,) = catalog.of(BUILD.name, "START"), catalog.of(BUILD.name, "COMPLETE")
    assert began["run"]["runId"] == built["run"]["runId"]
    assert began["eventTime"] == "1970-01-01T00:00:01+00:00"
    assert built["run"]["facets"]["parent"]["run"]["runId"] == RUN
    assert built["job"]["namespace"] == "plant"
    assert built["job"]["facets"]["sql"]["query"] == "select 1"
    ((read,), (wrote,)) = built["inputs"], built["outputs"]
    assert (read["namespace"], read["name"]) == ("ducklake://plant", "raw.orders")
    assert [field["name"] for field in read["facets"]["schema"]["fields"]] == ["id"]
    assert wrote["outputFacets"]["outputStatistics"]["rowCount"] == 5
    assert wrote["facets"]["version"]["datasetVersion"] == "8"
    (checked,) = catalog.of(CHECK.name, "COMPLETE")
    (table,) = checked["inputs"]
    assertions = table["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert {each["assertion"]: each["success"] for each in assertions} == {"a": True, "b": True}
    (failed,) = catalog.of("load.orders", "FAIL")
    assert failed["run"]["facets"]["errorMessage"]["message"] == "the broker is away"
    assert not catalog.of("load.orders", "COMPLETE")
    assert KEY in catalog.authorization
    assert KEY not in json.dumps(catalog.events)
    for event in catalog.events:
        UUID(event["run"]["runId"])
        assert event["schemaURL"].startswith("https://openlineage.io/spec/")


@pytest.mark.parametrize("mood", ["refuses", "hangs", "away"])
def test_a_run_ends_while_the_catalog_does_not_answer(
    tmp_path: Path, mood: str, caplog: pytest.LogCaptureFixture
) -> None:
    moods: dict[str, Mood] = {"refuses": "refuses", "hangs": "hangs"}
    with LineageCatalog(moods.get(mood, "takes")) as catalog:
        (port,) = free_ports(1)
        url = catalog.url if mood in moods else f"http://127.0.0.1:{port}"
        lineage = RunLineage(settings_of(tmp_path, OPENLINEAGE_URL=url.replace("//", f"//someone:{KEY}@")))
        with caplog.at_level(logging.DEBUG):
            work(lineage)
            if mood in moods:
                eventually(lambda: catalog.asked > 0, "it was sent something")
            else:
                eventually(lambda: "does not take the lineage" in caplog.text, "it is said")
            lineage.close()
        assert catalog.events == []
    eventually(lambda: "does not take the lineage" in caplog.text, "it is said, in this test and in no other")
    assert KEY not in caplog.text
    assert caplog.text.count("does not take the lineage") <= 1


def test_the_client_s_own_file_transport_works(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    transport = json.dumps({"type": "file", "log_file_path": str(file), "append": True})
    lineage = RunLineage(settings_of(tmp_path, OPENLINEAGE__TRANSPORT=transport))
    work(lineage)
    lineage.close()

    def events() -> list[Any]:
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    eventually(lambda: len(events()) == 6, "all are in the file")
    assert [each["eventType"] for each in events()].count("START") == 3


@pytest.mark.parametrize("disabled", ["true", ""])
def test_lineage_is_off(tmp_path: Path, catalog: LineageCatalog, disabled: str) -> None:
    """By its own switch, or without an address; then nothing is imported."""
    variables = {"OPENLINEAGE_URL": catalog.url, "OPENLINEAGE_DISABLED": disabled} if disabled else {}
    settings_of(tmp_path, **variables)
    program = f"""
import sys
from pathlib import Path
from ingestion.settings import load_settings
from ingestion.telemetry.jobs import Job
from ingestion.telemetry.lineage import RunLineage
lineage = RunLineage(load_settings(project=Path({str(tmp_path)!r}), data_dir=Path({str(tmp_path / "d")!r})))
lineage.did(Job("a", "LOAD"), parent={RUN!r}, began=1.0)
lineage.close()
print([name for name in sys.modules if name.startswith("openlineage")])
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"
    assert catalog.asked == 0


@pytest.fixture
def session(
    settings: Settings, apache_kafka: ApacheKafka, catalog: LineageCatalog, tmp_path: Path
) -> Iterator[LakeSession]:
    (tmp_path / ".env").write_text(f"OPENLINEAGE_URL={catalog.url}\n")
    (tmp_path / "streams.yml").write_text("")
    session = LakeSession(
        load_settings(
            project=tmp_path, data_dir=settings.data_dir, catalog=settings.catalog,
            kafka_bootstrap_servers=apache_kafka.bootstrap_servers,
        )
    )  # fmt: skip
    yield session
    session.close()


def test_a_batch_is_a_load_from_its_topic_and_its_checks_are_assertions(
    session: LakeSession, apache_kafka: ApacheKafka, catalog: LineageCatalog
) -> None:
    name = f"followed_{next(_numbers)}"
    stream = Stream.model_validate({"name": name, "source": {"kafka": name}, "fields": {"n": "bigint"}})
    apache_kafka.create_topic(name, partitions=1)
    session.lake.prepare([name])
    instance, run_id = DagsterInstance.ephemeral(), str(uuid4())
    log = open_log(stream, session.settings)
    try:
        for count in (3, 2):
            produce(apache_kafka.bootstrap_servers, name, [b'{"n": 1}'] * count)
            ingest_batch(session, instance, stream, log, run_id=run_id)
    finally:
        log.close()
    session.close()
    eventually(lambda: bool(catalog.of(f"check.raw.{name}", "COMPLETE")), "all of it is there")
    (load,) = catalog.of(f"load.{name}", "COMPLETE")
    ((topic,), (table,)) = load["inputs"], load["outputs"]
    assert topic["namespace"] == f"kafka://{apache_kafka.bootstrap_servers}"
    assert topic["name"] == name
    assert [(each["name"], each["type"]) for each in topic["facets"]["schema"]["fields"]] == [("n", "bigint")]
    assert table["name"] == f"raw.{name}"
    assert table["outputFacets"]["outputStatistics"]["rowCount"] == 5
    (check,) = catalog.of(f"check.raw.{name}", "COMPLETE")
    assertions = check["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert assertions
    assert all(each["success"] for each in assertions)


def test_a_batch_that_fails_ends_in_a_failure(session: LakeSession, catalog: LineageCatalog) -> None:
    name = f"nowhere_{next(_numbers)}"
    stream = Stream.model_validate({"name": name, "source": {"kafka": name}, "fields": {"n": "bigint"}})
    session.lake.prepare([name])
    log = open_log(stream, session.settings)
    try:
        with pytest.raises(MillraceError, match=name):
            ingest_batch(session, DagsterInstance.ephemeral(), stream, log, run_id=str(uuid4()))
    finally:
        log.close()
    session.close()
    eventually(lambda: bool(catalog.of(f"load.{name}", "FAIL")), "it is said")
    (failed,) = catalog.of(f"load.{name}", "FAIL")
    assert name in failed["run"]["facets"]["errorMessage"]["message"]
