"""Makes golden.tar.xz and expected.json with the code of the day, on a real Kafka and a real Mosquitto.

Run by hand, and only when a release that changes what is on disk has been accepted:
`.venv/bin/python -m tests.frozen.make_golden`. What is in it: the docstring of `make`.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from tests.frozen import golden
from tests.frozen.golden import KAFKA_STREAM, MQTT_STREAM, PLACE
from tests.frozen.product import (
    COMMAND,
    EmbeddedPostgres,
    Lake,
    Limits,
    Settings,
    catalog_instant,
    collector,
    decoder,
    load_settings,
    load_streams,
    prove,
    retry,
)
from tests.repository import REPOSITORY
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.mosquitto import Mosquitto

SMALL_PAYLOADS = 400
"""The limit of most batches, bytes: a larger payload is a reject until the limit is raised."""
SEGMENT_BYTES = 900


@dataclass(frozen=True)
class Workshop:
    """Where it is made: a temporary folder, its catalog, and both brokers."""

    folder: Path
    catalog: str
    kafka: ApacheKafka
    mosquitto: Mosquitto

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    def settings(self) -> Settings:
        """Settings of it."""
        return load_settings(
            data_dir=self.data,
            catalog=self.catalog,
            streams_file=golden.STREAMS_FILE,
            kafka_bootstrap_servers=self.kafka.bootstrap_servers,
            mqtt_host=self.mosquitto.host,
            mqtt_port=self.mosquitto.port,
        )

    def millrace(self, *arguments: str, **variables: object) -> None:
        """Run a command that has to succeed."""
        wanted = {
            "data_dir": self.data,
            "catalog": self.catalog,
            "streams_file": golden.STREAMS_FILE,
            "kafka_bootstrap_servers": self.kafka.bootstrap_servers,
            "payload_max_bytes": SMALL_PAYLOADS,
            "env_file": self.folder / "none.env",
        } | variables
        ours = {f"MILLRACE_{name.upper()}": str(value) for name, value in wanted.items()}
        print("millrace", *arguments, flush=True)
        subprocess.run([sys.executable, "-c", COMMAND, *arguments], cwd=REPOSITORY, env=os.environ | ours,
                       check=True)  # fmt: skip


def order(number: int, **more: object) -> bytes:
    """One event of a production order."""
    event = {
        "order_event_id": f"e{number}",
        "order_id": f"o{number // 3}",
        "machine_id": f"m{number % 4}",
        "product": "Zahnrad Größe 3",
        "quantity": 10 * number,
        "event": ("created", "started", "completed")[number % 3],
        "occurred_at": f"2026-03-01T08:{number:02}:00Z",
    }
    return json.dumps(event | more, ensure_ascii=False).encode()


def reading(number: int) -> tuple[str, bytes]:
    """Topic and payload of one reading; the 11th is not JSON, and the 14th is empty."""
    line, machine = f"line{number % 2}", f"m{number % 4}"
    event = {
        "reading_id": f"r{number}",
        "machine_id": machine,
        "line_id": line,
        "measured_at": f"2026-03-01T08:00:{number:02}.250Z",
        "temperature_celsius": 60.5 + number,
        "vibration_mm_s": 1.25,
        "power_kw": 7.5,
        "status": "running",
    }
    payload = {11: b"{not json", 14: b""}.get(number, json.dumps(event).encode())
    return f"plant/{line}/{machine}/telemetry", payload


def make(shop: Workshop) -> None:
    """Fill the data folder.

    Kafka: two partitions; begun at `latest`, so that five older events came by a replay; a tombstone; a
    reject of each reason, of which one was landed by a retry, one by a replay with a higher limit, and one
    was dismissed; two events are left in the topic only.
    MQTT: a spool that was lost with three acknowledged events, and the one that was adopted in its place, of
    several segments, with events that are in the lake and events that are not.
    """
    orders(shop)
    telemetry(shop)
    shop.millrace("replay", KAFKA_STREAM, payload_max_bytes=2**20)  # lands the large one, builds the models
    send(shop, 0, [order(20)])
    send(shop, 1, [order(21)])
    with collecting(shop) as publish:
        publish(range(20, 23))
        publish(range(23, 27))
        publish(range(27, 29))
    shop.millrace("backup", str(shop.folder / "backups"))


def orders(shop: Workshop) -> None:
    """The Kafka stream."""
    shop.kafka.create_topic(KAFKA_STREAM, partitions=2)
    send(shop, 0, [order(n) for n in range(5)])
    latest = shop.folder / "latest.yml"
    latest.write_text(golden.STREAMS_FILE.read_text().replace("start: earliest", "start: latest"))
    shop.millrace("ingest", KAFKA_STREAM, streams_file=latest)
    shop.millrace("replay", KAFKA_STREAM, "--from", f"{KAFKA_STREAM}-0@0", "--no-models")
    send(shop, 0, [order(5), b"", b"\xff\xfe no text", None, order(6)])
    send(shop, 1, [b"{'order_event_id': 'e7'}", order(8, comment="x" * SMALL_PAYLOADS), order(9), order(9)])
    shop.millrace("ingest", KAFKA_STREAM)
    with Lake(shop.settings()) as lake:
        report = retry(lake, KAFKA_STREAM, reason="not_json", decode=_single_quotes)
        assert report.landed == 1
    empty = f"{KAFKA_STREAM}-0@6"
    shop.millrace("rejects", "resolve", KAFKA_STREAM, empty, "--note", "a test of the sender")
    send(shop, 1, [order(n) for n in range(10, 13)])
    shop.millrace("ingest", KAFKA_STREAM)


def telemetry(shop: Workshop) -> None:
    """The MQTT stream, up to its newest batch."""
    with collecting(shop) as publish:
        publish(range(6))
        shop.millrace("ingest", MQTT_STREAM)
        publish(range(6, 9))
    shutil.rmtree(shop.data / "spool" / MQTT_STREAM)  # with three events that nobody has
    with collecting(shop) as publish:
        publish(range(9, 12))
        shop.millrace("adopt", MQTT_STREAM)
        shop.millrace("ingest", MQTT_STREAM)
        publish(range(12, 16))
        publish(range(16, 20))
        shop.millrace("ingest", MQTT_STREAM)


def _single_quotes(events: pa.Table, **options: Any) -> Any:
    """A decoder that understands single quotes, as a later release might."""
    values = [value.replace(b"'", b'"') for value in events["value"].to_pylist()]
    column = events.schema.get_field_index("value")
    return decoder("json")(events.set_column(column, "value", pa.array(values, pa.binary())), **options)


def send(shop: Workshop, partition: int, values: Sequence[bytes | None]) -> None:
    """Send to the topic and wait until the broker has them."""
    producer = KafkaProducer(bootstrap_servers=shop.kafka.bootstrap_servers)
    for number, value in enumerate(values):
        headers = [("source", b"golden")] if number % 2 else None
        producer.send(KAFKA_STREAM, value, key=b"k%d" % number, partition=partition, headers=headers)
    producer.flush()
    producer.close()


@contextmanager
def collecting(shop: Workshop) -> Iterator[Callable[[range], None]]:
    """A running collector; what is published to it is in the spool when the call returns."""
    settings, stop = shop.settings(), threading.Event()
    limits = Limits(segment_bytes=SEGMENT_BYTES)
    running = collector(settings, load_streams(settings.streams_file), limits=limits)
    thread = threading.Thread(target=running.run, args=(stop,))
    thread.start()
    until(lambda: running.status()["subscribed"])

    def publish(numbers: range) -> None:
        before = running.status()["positions"][MQTT_STREAM]
        client = Client(CallbackAPIVersion.VERSION2)
        client.connect(shop.mosquitto.host, shop.mosquitto.port)
        client.loop_start()
        for number in numbers:
            client.publish(*reading(number), qos=1).wait_for_publish(20)
        client.disconnect()
        client.loop_stop()
        until(lambda: running.status()["positions"][MQTT_STREAM] == before + len(numbers))

    try:
        yield publish
    finally:
        stop.set()
        thread.join()


def until(condition: Callable[[], object]) -> None:
    """Wait for something that comes within seconds."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def records(shop: Workshop) -> list[dict[str, Any]]:
    """Everything that the topic holds."""
    consumer = KafkaConsumer(bootstrap_servers=shop.kafka.bootstrap_servers)
    partitions = [TopicPartition(KAFKA_STREAM, number) for number in (0, 1)]
    consumer.assign(partitions)
    consumer.seek_to_beginning()
    ends, found = consumer.end_offsets(partitions), []
    while len(found) < sum(ends.values()):
        for tp, batch in consumer.poll(500).items():
            found += [(tp.partition, record) for record in batch]
    consumer.close()
    return [
        {
            "partition": partition,
            "position": record.offset,
            "key": record.key.decode(),
            "value": None if record.value is None else record.value.hex(),
            "timestamp_ms": record.timestamp,
        }
        for partition, record in sorted(found, key=lambda each: (each[0], each[1].offset))
    ]


def expectation(shop: Workshop) -> dict[str, Any]:
    """What a test of tomorrow has to find."""
    session = json.loads((shop.data / "collector" / "session.json").read_text())
    with Lake(shop.settings(), read_only=True) as lake:
        for stream in (KAFKA_STREAM, MQTT_STREAM):
            assert prove(lake, stream).defects == ()
        positions = lake.query(
            "select stream, source_partition, max(end_position), arg_max(log_id, batch_id), max(batch_id) "
            "from raw.batches group by all order by all"
        )
        tables = lake.query(
            "select table_schema, table_name from information_schema.tables where table_catalog = 'lake' "
            "and table_type = 'BASE TABLE'"
        )
        return {
            "tables": golden.summary(lake.query_arrow, tables),
            "positions": {
                row[1]: dict(
                    zip(("stream", "next", "log_id", "last_batch_id"), (row[0], *row[2:]), strict=True)
                )
                for row in positions
            },
            "waiting_in_spool": 9,
            "waiting_payloads": [reading(number)[1].decode() for number in range(20, 29)],
            "mqtt_client_id": session["client_id"],
            "mqtt_subscriptions": sorted(
                topic for each in session["sessions"].values() for topic in each["subscriptions"]
            ),
        }


def pack(shop: Workshop) -> None:
    """Write the archive and what is expected of it."""
    stage = shop.folder / "stage"
    for part in ("lake", "spool"):
        shutil.copytree(shop.data / part, stage / "data" / part, ignore=shutil.ignore_patterns("*.lock"))
    (stage / "data" / "collector").mkdir()
    shutil.copy(shop.data / "collector" / "session.json", stage / "data" / "collector")
    shutil.copytree(shop.folder / "backups", stage / "backups")
    (stage / "catalog").mkdir()
    with catalog_instant(shop.settings()) as catalog:
        catalog.dump(stage / "catalog")
    for dump in stage.rglob("ducklake_metadata.copy"):  # the one place that names a folder of this machine
        dump.write_text(dump.read_text().replace(f"{shop.data}/lake/", PLACE))
    (stage / "kafka.json").write_text(json.dumps(records(shop), indent=1))
    require_anonymous(stage)
    with tarfile.open(golden.ARCHIVE, "w:xz", preset=9) as archive:
        for path in sorted(stage.rglob("*")):
            archive.add(path, path.relative_to(stage), recursive=False, filter=_nobody)
    golden.EXPECTED.write_text(json.dumps(expectation(shop), indent=1, ensure_ascii=False) + "\n")
    print(f"{golden.ARCHIVE.name}: {golden.ARCHIVE.stat().st_size:,} bytes")


def require_anonymous(stage: Path) -> None:
    """Refuse to store what says where it was made, or a password; Parquet files are unpacked for it."""
    places = (str(REPOSITORY), str(Path.home()), tempfile.gettempdir(), "/home/", "/usr/", "127.0.0.1")
    pattern = re.compile(rb"postgresql:|(?i:password)|" + "|".join(map(re.escape, places)).encode())
    for path in stage.rglob("*"):
        if path.is_file():
            rows = str(pq.read_table(path).to_pylist()).encode() if path.suffix == ".parquet" else b""
            if found := pattern.search(path.read_bytes() + rows):
                raise SystemExit(f"{path.relative_to(stage)} holds {found[0]!r}")


def _nobody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def main() -> None:
    """Make everything in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="golden-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL does not run as root, and its user has to get in
        postgres = EmbeddedPostgres(folder / "postgres")
        kafka = ApacheKafka(folder / "kafka", cache=REPOSITORY / ".pytest_cache")
        mosquitto = Mosquitto(folder / "mosquitto")
        try:
            for server in (postgres, kafka, mosquitto):
                server.start()
            shop = Workshop(folder, postgres.dsn("lake"), kafka, mosquitto)
            shop.data.mkdir(mode=0o700)
            make(shop)
            pack(shop)
        finally:
            for server in (mosquitto, kafka, postgres):
                server.stop()


if __name__ == "__main__":
    main()
