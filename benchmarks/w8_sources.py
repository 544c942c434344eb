"""W8: events of each source into the lake, by Millrace and by a loop of its client into DuckDB.

`python -m benchmarks.w8_sources --events 100000 --only mqtt,http`: each measurement is a process of its own,
after its imports, and the two take turns. A collector's start is included. Brokers hold the events before;
HTTP is sent while it is measured.
"""

import argparse
import importlib
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from random import Random
from typing import Any

import psycopg2

from benchmarks.by_hand import CLIENTS, LOOPS
from benchmarks.report import Row, emit
from orchestration.garbage import uncollected
from orchestration.services.postgres import EmbeddedPostgres
from tests.fault.fire.kinesis import KinesisUnderFire
from tests.fault.fire.mqtt import MqttUnderFire
from tests.fault.fire.rabbitmq import RabbitUnderFire
from tests.fault.fire.source import Source, payload
from tests.repository import REPOSITORY
from tests.servers.mosquitto import Mosquitto
from tests.servers.moto import CREDENTIALS, Moto
from tests.servers.ports import free_ports
from tests.servers.rabbitmq import rabbitmq_server
from tests.waiting import eventually

Result = dict[str, Any]
WAYS = ("Millrace", "by hand")
COLLECTORS = {
    "rabbitmq-stream": "",
    "rabbitmq-queue": "rabbitmq",
    "mqtt": "mqtt",
    "kinesis": "kinesis",
    "http": "http",
}
"""Source → whose collector receives it."""
_CYCLE_SECONDS = 1.0
"""Of a collected source: batches do not follow each other faster than a budget asks for."""
TARGETS = {"rabbitmq-stream": 100_000, "rabbitmq-queue": 20_000, "http": 100_000, "http-single": 5_000}
GUARANTEES = {
    "rabbitmq-stream": "once in raw, proven; by hand: once, if the loop begins at its table's last offset",
    "rabbitmq-queue": "at least once, copies marked and removed by id; by hand: at least once",
    "mqtt": "at least once, copies marked and removed by id; by hand: at least once",
    "kinesis": "once in raw; by hand: once, if the loop begins at its table's sequences; moto, an emulator",
    "http": "flushed before 202; by hand: committed before 202",
}


def millrace(kind: str, options: dict[str, Any], ready: Callable[[], None]) -> None:
    """A collector beside batches, as the system runs them, until raw holds all."""
    from ingestion.declare.logs import open_log
    from ingestion.declare.stream import Stream
    from ingestion.formats.decode import decoder
    from ingestion.lake.lake import Lake
    from ingestion.land.batch import Ingestor
    from ingestion.settings import load_settings

    settings = load_settings(data_dir=options["data_dir"], catalog=options["catalog"], **options["settings"])
    stream = Stream.model_validate({"name": "s", "source": options["declared"]})
    process: subprocess.Popen[bytes] | None = None
    try:
        with Lake(settings) as lake, closing(open_log(stream, settings)) as log:
            lake.prepare(["s"])
            with uncollected():  # as in the process of runs
                ingestor, rows = Ingestor(lake), 0
            ready()
            process = _collector(COLLECTORS[kind], options) if COLLECTORS[kind] else None
            while rows < options["events"]:
                began = time.monotonic()
                rows += ingestor.run(stream, log, decode=decoder(stream.format)).events_landed
                if rows < options["events"] and COLLECTORS[kind]:
                    time.sleep(max(0.0, _CYCLE_SECONDS - (time.monotonic() - began)))
    finally:
        if process is not None:
            process.terminate()
            process.wait(60)


def _collector(kind: str, options: dict[str, Any]) -> "subprocess.Popen[bytes]":
    data_dir = Path(options["data_dir"])
    (data_dir / "streams.yml").write_text(json.dumps({"s": {"source": options["declared"]}}))
    values = {"data_dir": data_dir, "streams_file": data_dir / "streams.yml", **options["settings"]}
    return subprocess.Popen(
        [sys.executable, "-m", "ingestion.collect", kind], cwd=REPOSITORY,
        env=os.environ | {f"MILLRACE_{name.upper()}": str(value) for name, value in values.items()},
    )  # fmt: skip


def child(arguments: argparse.Namespace) -> None:
    """One measurement, in its own process."""
    way, kind = arguments.child.split("/")
    options = json.loads(arguments.options)
    began: list[tuple[float, float]] = []

    def ready() -> None:
        began.append((time.monotonic(), _cpu_seconds()))

    if way == "Millrace":
        millrace(kind, options, ready)
    else:
        for client in CLIENTS:
            importlib.import_module(client)
        ready()
        LOOPS[kind](options)
    ((at, used),) = began
    print(json.dumps({"seconds": time.monotonic() - at, "cpu": _cpu_seconds() - used}))


def _cpu_seconds() -> float:
    used = [resource.getrusage(of) for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def start(way: str, kind: str, options: dict[str, Any]) -> "subprocess.Popen[str]":
    """Begin one."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.w8_sources", "--child", f"{way}/{kind}",
         "--options", json.dumps(options)],
        cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, env=os.environ | CREDENTIALS,
    )  # fmt: skip


def finished(process: "subprocess.Popen[str]") -> Result:
    """What it measured."""
    said, _ = process.communicate(timeout=3600)
    assert process.returncode == 0, said
    found: Result = json.loads(said.splitlines()[-1])
    return found


class Senders:
    """Clients of an HTTP server, each with one request under way; they measure each answer."""

    def __init__(self, port: int, *, events: int, a_request: int, clients: int) -> None:
        self._port, self._a_request = port, a_request
        self.seconds: list[float] = []
        shares = [
            range(first, events, clients * a_request) for first in range(0, clients * a_request, a_request)
        ]
        self._threads = [threading.Thread(target=self._send, args=(share,)) for share in shares]

    def run(self) -> float:
        """Send everything; the seconds from the first request to the last answer."""
        eventually(self._answers, "the server listens", seconds=120)
        began = time.monotonic()
        for each in self._threads:
            each.start()
        for each in self._threads:
            each.join()
        return time.monotonic() - began

    def _answers(self) -> bool:
        try:
            connection = HTTPConnection("127.0.0.1", self._port, timeout=5)
            connection.connect()
            connection.close()
        except OSError:
            return False
        return True

    def _send(self, firsts: range) -> None:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=60)
        for first in firsts:
            body = b"\n".join(payload(number) for number in range(first, first + self._a_request))
            began = time.monotonic()
            connection.request("POST", "/v1/events", body, {"Content-Type": "application/x-ndjson"})
            try:
                answer = connection.getresponse()
                answer.read()
                assert answer.status == 202, answer.status
            except HTTPException:  # it ends by itself once it has all
                break
            self.seconds.append(time.monotonic() - began)
        connection.close()


def opened(kind: str, name: str, folder: Path) -> tuple[Source | None, Callable[[], None]]:
    """A source on a broker of its own, and what ends it; None for HTTP."""
    folder.mkdir(parents=True, exist_ok=True)
    if kind.startswith("rabbitmq"):
        server, broker = rabbitmq_server(folder / "rabbitmq")
        server.start()
        return RabbitUnderFire(server, broker, name, is_stream=kind.endswith("stream")), server.kill
    if kind == "mqtt":
        mosquitto = Mosquitto(folder / "mosquitto", max_queued_messages=0, max_inflight_messages=2_000)
        mosquitto.start()
        return MqttUnderFire(mosquitto, name), mosquitto.stop
    if kind == "kinesis":
        moto = Moto(folder)
        moto.start()
        return KinesisUnderFire(moto, name, Random(0)), moto.stop
    return None, lambda: None


def measured(way: str, kind: str, options: dict[str, Any], source: Source | None, clients: int) -> Result:
    """One way through one source; a broker that keeps nothing for strangers knows its client before."""
    events = options["events"]
    if source is None:
        process = start(way, kind, options)
        senders = Senders(
            options["settings"]["http_port"], events=events, a_request=options["a_request"], clients=clients
        )
        seconds = senders.run()
        slowest = sorted(senders.seconds)[int(len(senders.seconds) * 0.99)]
        return finished(process) | {"seconds": seconds, "p99_ms": slowest * 1000}
    if kind == "mqtt":
        _subscribed(way, options)
    source.send(range(events))
    return finished(start(way, kind, options))


def _subscribed(way: str, options: dict[str, Any]) -> None:
    """A session of the client's name: what comes then waits for it."""
    if way == "by hand":
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        client, granted = (
            Client(CallbackAPIVersion.VERSION2, "by-hand", clean_session=False),
            threading.Event(),
        )
        client.on_subscribe = lambda *_: granted.set()
        client.connect(options["settings"]["mqtt_host"], options["settings"]["mqtt_port"])
        client.loop_start()
        client.subscribe(f"{options['name']}/#", qos=1)
        assert granted.wait(60)
        client.disconnect()
        client.loop_stop()
        return
    process = _collector("mqtt", options)
    status = Path(options["data_dir"]) / "collector" / "status.json"
    eventually(lambda: status.exists() and json.loads(status.read_text())["subscribed"], "it listens")
    process.send_signal(signal.SIGTERM)
    process.wait(60)


def compare(folder: Path, arguments: argparse.Namespace) -> dict[str, dict[str, list[Result]]]:
    """Source → way → each round."""
    postgres = EmbeddedPostgres(folder / "postgres")
    postgres.start()
    results: dict[str, dict[str, list[Result]]] = {}
    try:
        for label in arguments.only.split(","):
            kind, events, a_request, clients = _case(label, arguments)
            results[label] = {way: [] for way in WAYS}
            for number in range(arguments.rounds):
                for place, way in enumerate(WAYS):
                    name = f"w8_{len(results)}_{number}_{place}"
                    source, close = opened(kind, name, folder / name)
                    settings = source.settings if source else {"http_port": free_ports(1)[0]}
                    connection = psycopg2.connect(postgres.libpq("lake"))
                    connection.autocommit = True
                    connection.cursor().execute(f"create database {name}")
                    connection.close()
                    (folder / name / "data").mkdir()
                    options = {
                        "name": name, "events": events, "a_request": a_request, "settings": dict(settings),
                        "data_dir": str(folder / name / "data"), "catalog": postgres.dsn(name),
                        "declared": dict(source.declared) if source else {"http": "events"},
                    }  # fmt: skip
                    try:
                        run = measured(way, kind, options, source, clients)
                    finally:
                        if source:
                            source.close()
                        close()
                    print(f"{label}, {way}: {run}", flush=True)
                    results[label][way].append(run | {"events": events})
    finally:
        postgres.stop()
    return results


def _case(label: str, arguments: argparse.Namespace) -> tuple[str, int, int, int]:
    """Kind, events, events a request, clients of a label."""
    if label == "http-single":
        return "http", arguments.events // 10, 1, 16
    if label == "http":
        return "http", arguments.events, 500, 2
    return label, arguments.events // 4 if label == "kinesis" else arguments.events, 0, 0


def report(results: dict[str, dict[str, list[Result]]]) -> list[Row]:
    """A row for each source and way: medians of pace and CPU, and the ratio within the run."""

    def median(runs: list[Result], figure: Callable[[Result], float]) -> float:
        return statistics.median(figure(run) for run in runs)

    rows = []
    for label, ways in results.items():
        paces = {way: median(runs, lambda run: run["events"] / run["seconds"]) for way, runs in ways.items()}
        target = TARGETS.get(label)
        for way, runs in ways.items():
            cpu = median(runs, lambda run: run["cpu"] / run["events"] * 1e6)
            what = "acknowledged" if label.startswith("http") else "in raw"
            note = (
                f"{paces[way] / paces['by hand']:.2f} × by hand; {GUARANTEES[label.removesuffix('-single')]}"
            )
            if "p99_ms" in runs[0]:
                note = f"p99 of the answer {median(runs, lambda run: run['p99_ms']):.0f} ms; {note}"
            pace = f"{paces[way]:,.0f} events/s {what}, {cpu:.1f} CPU-s per million"
            if way == "Millrace" and target:
                rows.append(
                    Row("W8", f"{label}, {way}", pace, f"≥ {target:,} events/s", paces[way] >= target, note)
                )
            else:
                rows.append(Row("W8", f"{label}, {way}", pace, note=note))
    return rows


def main() -> None:
    """Parse the command line; run the benchmark or, in a child, one measurement."""
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--events", type=int, default=200_000, help="of Kinesis a quarter, of single requests a tenth"
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", default="rabbitmq-stream,rabbitmq-queue,mqtt,kinesis,http,http-single")
    parser.add_argument("--child")
    parser.add_argument("--options")
    arguments = parser.parse_args()
    if arguments.child:
        return child(arguments)
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
        emit(report(compare(Path(folder), arguments)))


if __name__ == "__main__":
    main()
