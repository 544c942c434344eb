"""W1 by others: each peer drains the same topic from an environment of its own, made on first use.

`python -m benchmarks.peers --events 200000 --rounds 3`; environments stay below `--home`. What does not
install is named and left out. Times are from after the imports, CPU is the whole process's.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import Row, emit
from benchmarks.w1_drain import PARTITIONS, fill
from tests.repository import REPOSITORY
from tests.servers.apache_kafka import KafkaServer

_INSTALL_SECONDS = 900
_RUN_SECONDS = 600
_SPARK = "4.0.1"
_SPARK_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>bench</groupId><artifactId>spark-kafka</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.spark</groupId><artifactId>spark-sql-kafka-0-10_2.13</artifactId>
      <version>{_SPARK}</version>
    </dependency>
  </dependencies>
</project>
"""


@dataclass(frozen=True)
class Peer:
    """One tool.

    Attributes:
        packages: Its requirements.
        guarantee: What its documentation promises for this sink.
        tuned: What the tuned variant changes.
    """

    packages: tuple[str, ...]
    guarantee: str
    tuned: str


PEERS = {
    "floor": Peer(
        ("confluent-kafka==2.16.1", "duckdb==1.5.5", "pyarrow>=23"),
        "exactly once by hand, unproven", "batches of 200,000, larger fetches",
    ),
    "quix": Peer(
        ("quixstreams", "duckdb==1.5.5", "pyarrow>=23"),
        "at least once", "commits every 50,000 messages, larger fetches",
    ),
    "pathway_live": Peer(
        ("pathway",), "at least once, into JSON lines", "a reader per partition, larger fetches"
    ),
    "spark": Peer(
        (f"pyspark=={_SPARK}",), "exactly once (file sink)", "one micro-batch, 2 GiB, 2 partitions"
    ),
}  # fmt: skip


def install(name: str, home: Path) -> Path:
    """The interpreter of a peer's environment; made with uv when it is missing.

    Raises:
        subprocess.SubprocessError: It does not install.
    """
    python = home / name / "bin" / "python"
    if not (home / name / "complete").exists():
        uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
        shutil.rmtree(home / name, ignore_errors=True)
        for command in (
            [uv, "venv", "-q", "--python", sys.executable, str(home / name)],
            [uv, "pip", "install", "-q", "--python", str(python), *PEERS[name].packages],
        ):
            subprocess.run(command, check=True, timeout=_INSTALL_SECONDS, stdout=sys.stderr)
        if name == "spark":
            (home / name / "pom.xml").write_text(_SPARK_POM)
            maven = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"]
            maven.append(f"-DoutputDirectory={home / name / 'jars'}")
            subprocess.run(maven, cwd=home / name, check=True, timeout=_INSTALL_SECONDS, stdout=sys.stderr)
        (home / name / "complete").touch()
    return python


def drain(name: str, python: Path, options: dict[str, object]) -> tuple[float, float]:
    """Run a peer once; its wall seconds and all its CPU seconds."""
    script = Path(__file__).with_name(f"{name}.py")
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "JAVA_HOME", "TMPDIR") if key in os.environ}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [str(python), str(script), json.dumps(options)],
        env=kept, capture_output=True, text=True, timeout=_RUN_SECONDS,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, f"{name}: {done.stderr[-1500:]}"
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["rows"] == options["events"], f"{name}: {told['rows']} rows of {options['events']}"
    return float(told["seconds"]), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(folder: Path, home: Path, names: list[str], *, events: int, rounds: int) -> list[Row]:
    """The peers take turns, with their defaults and tuned; the first round is not counted."""
    rows, pythons = [], {}
    for name in names:
        try:
            pythons[name] = install(name, home)
        except (OSError, subprocess.SubprocessError) as error:
            print(f"{name} does not install: {error}", file=sys.stderr)
            tool = Path(error.cmd[0]).name if isinstance(error, subprocess.CalledProcessError) else "it"
            rows.append(Row("W1 peers", name, "left out", note=f"does not install here: {tool} failed"))
    runs: dict[tuple[str, bool], list[tuple[float, float]]] = {}
    kafka = KafkaServer(folder / "kafka", cache=REPOSITORY / ".pytest_cache")
    kafka.start()
    try:
        kafka.create_topic("w1", partitions=PARTITIONS)
        fill(kafka.bootstrap_servers, "w1", events=events, codec="lz4")
        for number in range(rounds + 1):
            for name in list(pythons):
                for tuned in (False, True):
                    out = folder / f"{name}-{number}-{tuned}"
                    out.mkdir()
                    options: dict[str, object] = {
                        "servers": kafka.bootstrap_servers, "topic": "w1", "partitions": PARTITIONS,
                        "events": events, "group": out.name, "out": str(out), "tuned": tuned,
                        "jars": str(home / name / "jars"),
                    }  # fmt: skip
                    try:
                        run = drain(name, pythons[name], options)
                    except (AssertionError, subprocess.SubprocessError) as error:
                        rows.append(Row("W1 peers", name, "left out", note=str(error)[-300:]))
                        pythons.pop(name, None)
                        break
                    shutil.rmtree(out)
                    if number:
                        runs.setdefault((name, tuned), []).append(run)
    finally:
        kafka.stop()
    for (name, tuned), measured in runs.items():
        speed = statistics.median(events / seconds for seconds, _ in measured)
        cpu = statistics.median(cpu / events * 1e6 for _, cpu in measured)
        rows.append(
            Row(
                "W1 peers", f"{name}, {'tuned: ' + PEERS[name].tuned if tuned else 'defaults'}",
                f"{speed:,.0f} events/s, {cpu:.1f} CPU-s per million", note=PEERS[name].guarantee,
            )
        )  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(PEERS), help="names with commas")
    parser.add_argument("--home", type=Path, default=Path(tempfile.gettempdir()) / "millrace-peers")
    options = parser.parse_args()
    options.home.mkdir(parents=True, exist_ok=True)
    names = options.only.split(",")
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
        emit(measure(Path(folder), options.home, names, events=options.events, rounds=options.rounds))


if __name__ == "__main__":
    main()
