"""The floor: confluent-kafka into a DuckDB file by hand, offsets in the same transaction."""

import json
import sys
import time

import duckdb
import pyarrow as pa
from confluent_kafka import Consumer, TopicPartition


def main() -> None:
    options, started = json.loads(sys.argv[1]), time.monotonic()
    tuned = options["tuned"]
    settings = {
        "bootstrap.servers": options["servers"],
        "group.id": options["group"],
        "enable.auto.commit": False,
    }
    if tuned:
        settings |= {"queued.max.messages.kbytes": 524_288, "fetch.message.max.bytes": 8 * 2**20}
    consumer = Consumer(settings)
    consumer.assign([TopicPartition(options["topic"], part, 0) for part in range(options["partitions"])])
    lake = duckdb.connect(options["out"] + "/floor.duckdb")
    lake.execute("create table events (part int, off bigint, payload varchar)")
    lake.execute("create table offsets (part int, next bigint)")
    rows, size = 0, 200_000 if tuned else 10_000
    while rows < options["events"]:
        batch = [message for message in consumer.consume(size, timeout=1.0) if message.error() is None]
        if not batch:
            continue
        columns = {
            "part": [message.partition() for message in batch],
            "off": [message.offset() for message in batch],
            "payload": [message.value().decode() for message in batch],
        }
        lake.register("incoming", pa.table(columns))
        lake.execute("begin")
        lake.execute("insert into events select * from incoming")
        lake.execute("insert into offsets select part, max(off) + 1 from incoming group by part")
        lake.execute("commit")
        rows += len(batch)
    seconds = time.monotonic() - started
    print(json.dumps({"seconds": seconds, "rows": lake.execute("select count(*) from events").fetchone()[0]}))


main()
