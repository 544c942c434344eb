"""A Kinesis collector that is killed again and again stores each record once."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from ingestion.collect.status import read_status
from ingestion.connectors.kinesis.connector import KINESIS
from ingestion.settings import load_settings
from ingestion.spool.log import SpoolLog
from tests.ingestion.collecting import PROJECT, spooled, wait_until
from tests.names import numbers
from tests.servers.moto import REGION, Moto

KILLS = int(os.environ.get("MILLRACE_FAULT_KILLS", 3))
RECORDS = 400 * KILLS
_numbers = numbers()


def started(moto: Moto, data_dir: Path) -> "subprocess.Popen[bytes]":
    environment = {
        "DATA_DIR": data_dir, "STREAMS_FILE": data_dir / "streams.yml",
        "KINESIS_REGION": REGION, "KINESIS_ENDPOINT_URL": moto.url,
    }  # fmt: skip
    with (data_dir / "out").open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "ingestion.collect", "kinesis"], cwd=PROJECT, stdout=out, stderr=out,
            env=os.environ | {f"MILLRACE_{name}": str(value) for name, value in environment.items()},
        )  # fmt: skip


def test_a_record_is_once_in_the_spool_whatever_is_killed(
    moto: Moto, tmp_path: Path, aws_credentials: None
) -> None:
    name = f"killed-{next(_numbers)}"
    (tmp_path / "streams.yml").write_text(f"s: {{source: {{kinesis: {name}}}}}\n")
    client = moto.client()
    client.create_stream(StreamName=name, ShardCount=2)
    log = SpoolLog("s", tmp_path / "spool")

    def stored() -> int:
        bounds = log.bounds()
        return bounds["s-0"].end if bounds else 0

    def send() -> None:
        for begin in range(0, RECORDS, 20):
            records = [{"Data": b"%d" % n, "PartitionKey": f"k{n % 5}"} for n in range(begin, begin + 20)]
            client.put_records(StreamName=name, Records=records)
            time.sleep(0.02)

    sender = threading.Thread(target=send)
    sender.start()
    for _ in range(KILLS):
        process, before = started(moto, tmp_path), stored()
        wait_until(lambda before=before: stored() > before or stored() == RECORDS)
        process.send_signal(signal.SIGKILL)
        process.wait()
    sender.join()
    process = started(moto, tmp_path)
    settings = load_settings(data_dir=tmp_path)

    def has_all() -> bool:
        status = read_status(settings.data_dir, KINESIS)
        return status.get("pid") == process.pid and status["subscribed"] and stored() >= RECORDS

    wait_until(has_all)
    process.terminate()
    assert process.wait() == 0, (tmp_path / "out").read_text()
    log.close()
    rows = spooled(tmp_path, "s")
    assert Counter(int(row["value"]) for row in rows) == Counter(range(RECORDS))
    for key in {row["event_key"] for row in rows}:
        values = [int(row["value"]) for row in rows if row["event_key"] == key]
        assert values == sorted(values)
