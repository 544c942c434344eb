"""Pathway into JSON lines: its lake sinks want a license key. A static read of what the topic holds."""

import json
import sys
import time

import pathway as pw


def main() -> None:
    options, started = json.loads(sys.argv[1]), time.monotonic()
    settings = {
        "bootstrap.servers": options["servers"],
        "group.id": options["group"],
        "auto.offset.reset": "earliest",
    }
    if options["tuned"]:
        settings |= {"fetch.message.max.bytes": str(8 * 2**20), "queued.max.messages.kbytes": str(512 * 1024)}
    more = {"parallel_readers": options["partitions"]} if options["tuned"] else {}
    events = pw.io.kafka.read(settings, options["topic"], format="plaintext", mode="static", **more)
    pw.io.jsonlines.write(events, options["out"] + "/events.jsonl")
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)
    seconds = time.monotonic() - started
    with open(options["out"] + "/events.jsonl", "rb") as lines:
        rows = sum(1 for _ in lines)
    print(json.dumps({"seconds": seconds, "rows": rows}))


main()
