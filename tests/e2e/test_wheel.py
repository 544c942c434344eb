"""The wheel alone: in an empty environment, without a checkout, it runs the demo and makes projects."""

import zipfile
from pathlib import Path

import pytest

from tests.e2e.conftest import run
from tests.e2e.first_stream import LINES, NAB, walk
from tests.names import numbers
from tests.repository import REPOSITORY
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.mosquitto import Mosquitto

PLANT = "orchestration/scaffold/plant/"
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.xdist_group("wheel"),  # its environment is made once a worker
    pytest.mark.slow("an environment is made from the wheel, and a demo runs in it for a minute"),
]


def test_it_carries_the_plant_s_project_as_git_has_it(wheel: Path) -> None:
    names = ["dbt_project", "streams.yml", "page.yml", "workspace.yaml", ".env.example"]
    listed = run(["git", "ls-files", *names], REPOSITORY).split()
    with zipfile.ZipFile(wheel) as archive:
        carried = {name.removeprefix(PLANT): name for name in archive.namelist() if name.startswith(PLANT)}
        assert sorted(carried) == sorted(listed)
        for name, place in carried.items():
            assert archive.read(place) == (REPOSITORY / name).read_bytes(), name


def test_it_carries_every_file_of_the_packages(wheel: Path) -> None:
    listed = set(run(["git", "ls-files", "ingestion", "orchestration"], REPOSITORY).split())
    with zipfile.ZipFile(wheel) as archive:
        assert listed <= set(archive.namelist())


def test_a_demo_runs_in_an_empty_folder(bin_dir: Path, tmp_path: Path) -> None:
    said = run([bin_dir / "millrace", "demo", "--for", "60", "--no-ui"], tmp_path)
    assert "Good: every event sent over MQTT, Kafka and HTTP reached the marts" in said
    assert (tmp_path / ".millrace-demo" / "project" / "streams.yml").is_file()
    assert not (tmp_path / ".millrace").exists()
    millrace = [bin_dir / "millrace", "--data-dir", ".millrace-demo"]
    status = run([*millrace, "status"], tmp_path)
    assert f"the demo on {tmp_path / '.millrace-demo'} has ended" in status
    doctor = run([*millrace, "doctor"], tmp_path)
    assert "its demo has ended" in doctor


def test_projects_are_made_and_parsed(bin_dir: Path, tmp_path: Path) -> None:
    for example in ("plant", "shop", "none"):
        run([bin_dir / "millrace", "new", example, "--example", example], tmp_path)
        run([bin_dir / "dbt", "parse"], tmp_path / example / "dbt_project")
        run([bin_dir / "dbt", "deps"], tmp_path / example / "dbt_project")
        run([bin_dir / "dbt", "parse"], tmp_path / example / "dbt_project")


@pytest.mark.skipif(not NAB.is_dir(), reason="Numenta's Anomaly Benchmark does not lie beside the project")
def test_streams_of_ones_own_take_five_minutes_and_two_edits(
    bin_dir: Path, tmp_path: Path, apache_kafka: ApacheKafka, mosquitto: Mosquitto
) -> None:
    """The seconds are printed, not judged: they depend on what else the machine does (docs/evidence.md)."""
    it = walk(
        bin_dir / "millrace", tmp_path, kafka=apache_kafka.bootstrap_servers,
        mqtt=(mosquitto.host, mosquitto.port), topic=f"first_{next(numbers())}",
    )  # fmt: skip
    print(it.seconds)
    assert len(it.edited) <= 2, it.edited
    streams = {row["stream"]: row for row in it.status["streams"]}  # type: ignore[attr-defined]
    assert streams["temperatures"]["rows"] == LINES
    assert streams["rooms"]["rows"] > 0
    failed = [check for check in it.status["checks"] if check["outcome"] == "failed"]  # type: ignore[attr-defined]
    assert not failed
