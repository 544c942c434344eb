"""A newcomer's first streams, step by step with the seconds of each: from `millrace new` to a checked mart.

Run by itself it starts brokers, prints the steps, and draws what it saw into FOLDER/first-stream.svg:
`python -m tests.e2e.first_stream FOLDER [MILLRACE]`. The picture of the docs is made so.
"""

import csv
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.picture import terminal_picture
from tests.repository import REPOSITORY
from tests.servers.apache_kafka import KafkaServer
from tests.servers.mosquitto import Mosquitto
from tests.waiting import eventually

NAB = REPOSITORY.parent / "shared" / "data" / "nab"
TEMPERATURES = "machine_temperature_system_failure.csv"
ROOMS = "ambient_temperature_system_failure.csv"
LINES = 3_000
_WITHIN_SECONDS = 300


@dataclass
class Walk:
    """What a newcomer did.

    Attributes:
        millrace: The program.
        project: The folder that `millrace new` makes.
        seconds: Step → how long it took.
        edited: Files that were edited by hand.
        status: What `millrace status --json` said at the end.
        said: What is worth a picture: command, seconds, output.
    """

    millrace: Path
    project: Path
    seconds: dict[str, float] = field(default_factory=dict)
    edited: set[str] = field(default_factory=set)
    status: dict[str, object] = field(default_factory=dict)
    said: list[tuple[str, float, str]] = field(default_factory=list)

    def show(self, *arguments: str) -> str:
        """Run the command in the project, for the picture."""
        began = time.monotonic()
        output = self.run(*arguments)
        quoted = (f"'{word}'" if set(word) & set(" +#$") else word for word in arguments)
        self.said.append((f"millrace {' '.join(quoted)}", time.monotonic() - began, output))
        return output

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step."""
        began = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - began, 1)

    def run(self, *arguments: str, folder: Path | None = None, code: int | None = 0) -> str:
        """Run the command in the project."""
        done = subprocess.run(
            [self.millrace, *arguments], cwd=folder or self.project, env=environment() | {"COLUMNS": "108"},
            capture_output=True, text=True, timeout=_WITHIN_SECONDS,
        )  # fmt: skip
        assert code is None or done.returncode == code, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def edit(self, name: str, change: Callable[[str], str]) -> None:
        """Edit a file by hand."""
        file = self.project / name
        before = file.read_text()
        file.write_text(change(before))
        assert file.read_text() != before
        self.edited.add(name)


def walk(millrace: Path, folder: Path, *, kafka: str, mqtt: tuple[str, int], topic: str) -> Walk:
    """Declare a stream of each broker, run them, and wait for their marts.

    Args:
        millrace: The program.
        folder: Where the project is made.
        kafka: Bootstrap servers.
        mqtt: Host and port.
        topic: Of Kafka, and first level of MQTT's topics; nobody else's.
    """
    it = Walk(millrace, folder / "mine")
    with it.step("millrace new"):
        it.run("new", "mine", folder=folder)
    with it.step("brokers into .env"):
        lines = {"KAFKA_BOOTSTRAP_SERVERS": kafka, "MQTT_HOST": mqtt[0], "MQTT_PORT": mqtt[1]}
        it.edit(".env", lambda text: text + "".join(f"MILLRACE_{n}={v}\n" for n, v in lines.items()))
    readings, hours = _lines(TEMPERATURES, folder / "temperatures.ndjson")
    rooms, _ = _lines(ROOMS, folder / "rooms.ndjson")
    it.run("produce", f"kafka:{topic}", "--create", "--file", str(readings))  # somebody else's work
    filter_ = f"{topic}/+/sensor"
    sender = subprocess.Popen(
        [millrace, "produce", f"mqtt:{filter_}", "--to", f"{topic}/hall/sensor", "--file", str(rooms),
         "--rate", "20", "--repeat"],
        cwd=it.project, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    system: subprocess.Popen[bytes] | None = None
    try:
        with it.step("millrace peek"):
            assert '"value"' in it.show("peek", f"kafka:{topic}", "--limit", "1")
        with it.step("millrace add, Kafka"):
            it.show("add", "temperatures", "--from", f"kafka:{topic}", "--yes")
        mart = "dbt_project/models/marts/temperatures_by_hour.sql"
        with it.step("a budget into the mart"):
            it.edit(mart, lambda sql: sql.replace("')", "', meta={'freshness_seconds': 3600})", 1))
        with it.step("millrace up, until its mart is there"):
            with (folder / "up.log").open("wb") as log:
                system = subprocess.Popen(
                    [millrace, "up", "--no-ui"], cwd=it.project, env=environment(), stdout=log, stderr=log
                )
            eventually(lambda: _hours(it, "temperatures") == hours, "the mart", seconds=_WITHIN_SECONDS)
        with it.step("millrace add, MQTT, while it runs"):
            it.show("add", "rooms", "--from", f"mqtt:{filter_}", "--sample", "40", "--yes")
        with it.step("until its mart is there"):
            eventually(lambda: _hours(it, "rooms"), "the second mart", seconds=_WITHIN_SECONDS)
        with it.step("millrace status, until every check of both has run"):
            eventually(lambda: _checked(it), "the checks", seconds=_WITHIN_SECONDS)
        it.show("query", "from marts.temperatures_by_hour limit 5")
        it.show("status")
    finally:
        sender.terminate()
        sender.wait(timeout=60)
        if system is not None:
            system.terminate()
            system.wait(timeout=60)
    return it


def environment() -> dict[str, str]:
    """Nothing of this machine's settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MILLRACE_", "PYTHON"))}


def _lines(name: str, target: Path) -> tuple[Path, Counter[str]]:
    """A real series as a message a line, and how many of its readings each hour has."""
    hours: Counter[str] = Counter()
    with (NAB / name).open(newline="") as file, target.open("w") as out:
        for row, _ in zip(csv.DictReader(file), range(LINES), strict=False):
            out.write(json.dumps({"timestamp": row["timestamp"], "value": float(row["value"])}) + "\n")
            hours[row["timestamp"][:13]] += 1
    return target, hours


def _hours(it: Walk, stream: str) -> Counter[str]:
    sql = f"select strftime(hour_at, '%Y-%m-%d %H') as hour, events from marts.{stream}_by_hour"
    shown = it.run("query", sql, "--json", code=None)
    return Counter({row["hour"]: row["events"] for row in json.loads(shown or "[]")})


def _checked(it: Walk) -> bool:
    it.status = json.loads(it.run("status", "--json", code=None))
    checks = {(check["asset"], check["check"]): check for check in it.status["checks"]}  # type: ignore[attr-defined]
    wanted = [
        (f"marts/{stream}_by_hour", check)
        for stream in ("temperatures", "rooms")
        for check in ("schema", "hour_at_duplicate", "freshness_budget")
    ]
    return all(key in checks for key in wanted)


def main() -> None:
    """Start brokers, walk, print."""
    folder = Path(sys.argv[1]).resolve()
    millrace = Path(sys.argv[2] if len(sys.argv) > 2 else Path(sys.executable).parent / "millrace")
    folder.mkdir(parents=True)
    kafka = KafkaServer(folder / "kafka", cache=REPOSITORY / ".pytest_cache")
    mosquitto = Mosquitto(folder / "mosquitto")
    kafka.start()
    mosquitto.start()
    try:
        it = walk(
            millrace, folder, kafka=kafka.bootstrap_servers, mqtt=(mosquitto.host, mosquitto.port),
            topic="first",
        )  # fmt: skip
    finally:
        kafka.stop()
        mosquitto.stop()
    (folder / "first-stream.svg").write_text(terminal_picture(it.said, most_lines=24))
    for name, seconds in it.seconds.items():
        print(f"{seconds:7.1f} s  {name}")
    print(f"{sum(it.seconds.values()):7.1f} s  together; edited by hand: {', '.join(sorted(it.edited))}")


if __name__ == "__main__":
    main()
