"""`millrace demo` from the outside: events of every source reach checked marts; nothing is left behind."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from orchestration.demo.guests import present
from tests.repository import REPOSITORY
from tests.security.callers import calls, strangers, watched
from tests.waiting import eventually

SECONDS = 60
MILLRACE = (sys.executable, "-c", "from orchestration.cli import main; main()")


def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
    # A developer's own services, which a demo must never touch: nothing listens there.
    elsewhere = {
        "MILLRACE_CATALOG": "postgresql://nobody@127.0.0.1:1/precious",
        "MILLRACE_LAKE_PATH": str(folder.parent / "precious"),
        "MILLRACE_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "MILLRACE_MQTT_HOST": "127.0.0.1",
    }
    env_file = folder.parent / "developer.env"
    env_file.write_text("".join(f"{name}={value}\n" for name, value in elsewhere.items()))
    return kept | {"MILLRACE_DATA_DIR": str(folder), "MILLRACE_ENV_FILE": str(env_file)}


def processes_of(folder: Path) -> list[psutil.Process]:
    """Living processes that were started for this data folder."""
    found = []
    for process in psutil.process_iter():
        try:
            told = [*process.cmdline(), process.environ().get("MILLRACE_DATA_DIR", "")]
        except psutil.Error:
            continue
        if any(str(folder) in part for part in told) and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def send_as_it_says(output: Path, demo: "subprocess.Popen[bytes]") -> None:
    """Run the line that the demo shows for events of one's own, as it stands there."""
    shown = re.compile(r"^  \S+ (--data-dir .* produce .*)$", re.MULTILINE)
    eventually(lambda: shown.search(output.read_text()) or demo.poll(), "a line that sends", seconds=180)
    line = shown.search(output.read_text())
    assert line is not None, output.read_text()
    done = subprocess.run(
        [*MILLRACE, *shlex.split(line[1])], cwd=REPOSITORY, capture_output=True, text=True, timeout=120
    )
    assert "the broker has accepted 5 messages" in done.stdout, done.stderr


@pytest.mark.slow("a demo from its start to its summary takes a minute and a half")
@pytest.mark.e2e
def test_the_demo_is_good_and_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    env = environment(folder) | watched(tmp_path / "seen")
    output = tmp_path / "output"
    with output.open("w") as file:
        demo = subprocess.Popen(
            [*MILLRACE, "--data-dir", folder, "demo", "--for", str(SECONDS), "--no-ui"],
            cwd=REPOSITORY, env=env, stdout=file, stderr=file,
        )  # fmt: skip
        try:
            send_as_it_says(output, demo)
            demo.wait(timeout=480)
        finally:
            demo.terminate()
    told = output.read_text()
    assert demo.returncode == 0, told

    rows = {
        line.split()[0]: line.split()
        for line in told.splitlines()
        if line.startswith(("MQTT ", "Kafka ", "HTTP ", "RabbitMQ ", "Kinesis "))
    }
    for broker, least in (("MQTT", 12 * SECONDS * 0.8), ("Kafka", SECONDS * 0.3), ("HTTP", SECONDS * 0.2)):
        sent, raw, rejected, marts = (int(number) for number in rows[broker][2:6])
        assert sent >= least
        assert raw + rejected >= sent + (5 if broker == "Kafka" else 0)  # those that the test has sent
        assert 0 < marts <= raw
        assert float(rows[broker][6]) <= float(rows[broker][7])
    for guest in present():
        sent, raw, _, marts = (int(number) for number in rows[guest.stream.broker][2:6])
        assert 0 < sent <= raw
        assert marts == sent
    assert rows["HTTP"][2] == rows["HTTP"][3] == rows["HTTP"][5]  # though answers were lost on the way
    runs = re.search(r"runs launched by sensors: (\d+) succeeded, (\d+) failed", told)
    assert runs is not None
    assert int(runs[1]) >= 1
    assert runs[2] == "0"
    checks = re.search(r"checks: (\d+) passed, \d+ warned, 0 failed, 0 could not run", told)
    assert checks is not None
    assert int(checks[1]) >= 10
    alerts = re.search(r"alerts found: (\d+)", told)
    assert alerts is not None
    assert int(alerts[1]) >= 3

    assert processes_of(folder) == []
    assert not (folder / "runtime.env").exists()
    assert not (tmp_path / "precious").exists()
    assert len(calls(tmp_path / "seen")) > 20
    assert strangers(tmp_path / "seen") == set(), "telemetry?"
    report = json.loads((folder / "plant.json").read_text())
    assert report["finished"]
    assert report["faults"] >= 3
    assert report["repeated_requests"] >= 1
    shown = json.loads((folder / "marts" / "shown.json").read_text())
    assert {"machine_status", "order_progress", "order_quality"} <= shown.keys()
    assert shown["order_progress"]["production_orders"] > 1  # batches that the mart has taken in
    served = json.loads((folder / "marts" / "served.json").read_text())
    assert shown.keys() <= {mart["name"] for mart in served}
    down = subprocess.run([*MILLRACE, "down"], cwd=REPOSITORY, env=env, capture_output=True, text=True)
    assert "nothing runs" in down.stdout
