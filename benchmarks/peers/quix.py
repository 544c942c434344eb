"""Quix Streams into Parquet files, as its documentation begins."""

import json
import sys
from pathlib import Path

import duckdb
from quixstreams import Application
from quixstreams.sinks.community.file.formats import ParquetFormat
from quixstreams.sinks.community.file.local import LocalFileSink


def main() -> None:
    options = json.loads(sys.argv[1])
    more = {}
    if options["tuned"]:
        more = {"commit_every": 50_000, "consumer_extra_config": {"fetch.message.max.bytes": 8 * 2**20}}
    app = Application(
        broker_address=options["servers"], consumer_group=options["group"], auto_offset_reset="earliest",
        state_dir=options["out"] + "/state", loglevel="WARNING", **more,
    )  # fmt: skip
    events = app.dataframe(app.topic(options["topic"], value_deserializer="json"))
    folder = options["out"] + "/events"
    events.sink(LocalFileSink(directory=folder, format=ParquetFormat()))
    app.run(count=options["events"], timeout=60)
    files = [str(path) for path in Path(folder).rglob("*.parquet")]
    print(json.dumps({"rows": duckdb.sql(f"select count(*) from read_parquet({files})").fetchone()[0]}))


main()
