"""A modeller's `dbt build`, twenty readers and a backup, for a minute, on a lake that is being written."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ingestion.lake.engine import engine_config
from tests.e2e.reader import LEDGER, QUERIES
from tests.e2e.test_demo import MILLRACE, environment
from tests.repository import REPOSITORY

SECONDS = 60
READERS, CURSORS, PAUSE_SECONDS = 5, 4, 1.0  # processes, readers in each, between two reads
DBT = str(Path(sys.executable).with_name("dbt"))


def what_is_missing(folder: Path) -> str:
    """Why the marts cannot be read yet, or nothing."""
    try:
        with duckdb.connect(":memory:", config=engine_config(folder)) as connection:
            connection.execute("attach 'ducklake:millrace' as lake (read_only)")
            for query in (LEDGER, *QUERIES):  # before its first run a mart is not there, and that is right
                connection.execute(query)
            counts = connection.execute(
                "select (select count(*) from lake.marts.machine_minute), "
                "(select count(*) from lake.marts.order_progress), (select count(*) from lake.marts.ops_lag)"
            ).fetchone()
    except duckdb.Error as error:
        return str(error)
    return "" if counts is not None and all(counts) else f"rows: {counts}"


def wait_for_marts(folder: Path, demo: "subprocess.Popen[bytes]", output: Path) -> None:
    """Wait until every mart has rows; what stands in the way is said, and by a demo that ended at once."""
    deadline = time.monotonic() + 300  # one minute by itself
    while missing := what_is_missing(folder):
        assert demo.poll() is None, output.read_text()
        assert time.monotonic() < deadline, f"{missing}\n{output.read_text()}"
        time.sleep(1)


def command(name: str, *arguments: str, env: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        [*MILLRACE, name, *arguments, "--json"],
        cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.e2e
@pytest.mark.slow(
    "starts a whole demo a second time and works beside it for a minute; test_demo.py is in make test"
)
def test_modeller_readers_and_a_backup_see_no_error_while_everything_runs(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    env = environment(folder)
    output = tmp_path / "output"
    with output.open("w") as file:  # a pipe that nobody reads would stop the demo when it is full
        demo = subprocess.Popen(
            [*MILLRACE, "--data-dir", folder, "demo", "--no-ui"],
            cwd=REPOSITORY, env=env, stdout=file, stderr=file,
        )  # fmt: skip
    try:
        wait_for_marts(folder, demo, output)
        deadline = time.monotonic() + SECONDS
        arguments = map(str, (folder, SECONDS, PAUSE_SECONDS, CURSORS))
        reader = [sys.executable, "-m", "tests.e2e.reader", *arguments]
        readers = [
            subprocess.Popen(
                reader,
                cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )
            for _ in range(READERS)
        ]  # fmt: skip
        builds, longest = 0, 0.0
        while not builds or time.monotonic() + longest < deadline:
            began = time.monotonic()
            build = subprocess.run(
                [DBT, "build"], cwd=REPOSITORY / "dbt_project", env=env | {"USER": "modeller"},
                capture_output=True, text=True, timeout=300,
            )  # fmt: skip
            assert build.returncode == 0, build.stdout[-4000:]
            builds, longest = builds + 1, max(longest, time.monotonic() - began)
        taken = command("backup", str(tmp_path / "backups"), env=env)
        for process in readers:
            told, _ = process.communicate(timeout=60)
            assert process.returncode == 0, told
            assert int(told) >= SECONDS / 10
        overview = command("status", env=env)
        assert [run for run in overview["runs"] if run["status"] == "FAILURE"] == []
        assert {check["outcome"] for check in overview["checks"]} <= {"passed", "warned"}
        demo.send_signal(signal.SIGINT)
        demo.wait(timeout=240)
        assert demo.returncode == 0, output.read_text()
        assert "Good: every event sent over MQTT, Kafka" in output.read_text()
    finally:
        demo.terminate()
        demo.wait(timeout=120)
    elsewhere = {
        "MILLRACE_DATA_DIR": str(tmp_path / "elsewhere"),
        "MILLRACE_ENV_FILE": str(tmp_path / "none.env"),
    }
    restored = command("restore", taken["folder"], env=env | elsewhere)
    assert restored["tables"] == taken["tables"]
    assert sum(taken["tables"].values())
