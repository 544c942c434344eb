"""Quix Streams into Parquet files, as its documentation begins."""

import json
import os
import sys
import time

import duckdb
from quixstreams import Application
from quixstreams.sinks.community.file.formats import ParquetFormat
from quixstreams.sinks.community.file.local import LocalFileSink


def main() -> None:
    options, started = json.loads(sys.argv[1]), time.monotonic()
    more = {}
    if options["tuned"]:
        more = {"commit_every": 50_000, "consumer_extra_config": {"fetch.message.max.bytes": 8 * 2**20}}
    app = Application(
        broker_address=options["servers"], consumer_group=options["group"], auto_offset_reset="earliest",
        state_dir=options["out"] + "/state", loglevel="WARNING", **more,
    )  # fmt: skip
    events = app.dataframe(app.topic(options["topic"], value_deserializer="json"))
    os.chdir(options["out"])  # a sink's folder may have no dash in its name
    events.sink(LocalFileSink(directory="events", format=ParquetFormat()))
    app.run(count=options["events"], timeout=60)
    seconds = time.monotonic() - started
    rows = duckdb.sql("select count(*) from read_parquet('events/**/*.parquet')").fetchone()[0]
    print(json.dumps({"seconds": seconds, "rows": rows}))


main()
