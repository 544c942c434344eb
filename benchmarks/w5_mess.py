"""W5: malformed events, duplicates, a late hour, a kill -9 in the middle; at the end equality with an oracle.

`python -m benchmarks.w5_mess --for 60 --rate 500`: 1 % each of the first two, 1 % of the orders an hour late;
`millrace up` is killed half way, with all it runs, and started again.
"""

import argparse
import os
import random
import signal
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from kafka import KafkaProducer

from benchmarks.report import Row, emit
from benchmarks.sender import pace
from benchmarks.system import ORDERS, PARTITIONS, brokers, millrace_up
from benchmarks.w3_chain import Reader, wait_for
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import prove

_STAGES = ("created", "started", "completed")
_SHARE = 0.01
_LATE = timedelta(hours=1)
_DRAIN_SECONDS = 300
_MARTS = (
    "select order_id, events, epoch_us(first_event_at), epoch_us(last_event_at), state "
    "from marts.order_progress"
)


@dataclass
class Oracle:
    """Sends orders of three events with everything that goes wrong, and knows what must come of them.

    Attributes:
        orders: Order → its distinct events' times in microseconds since 1970.
        records: Sent to the broker.
        malformed: Of these, what is no JSON.
    """

    producer: KafkaProducer
    orders: dict[str, list[int]] = field(default_factory=dict)
    records: int = 0
    malformed: int = 0

    def __post_init__(self) -> None:
        self._dice = random.Random(7)
        self._sent = 0
        self._late = False
        self._last = b""

    def send(self) -> None:
        """The next event; now and then with something besides."""
        number, stage = divmod(self._sent, len(_STAGES))
        if stage == 0:
            self._late = self._dice.random() < _SHARE
        at = datetime.now(UTC) - (_LATE if self._late else timedelta(0))
        order = f"w5-{number:08d}"
        event: dict[str, Any] = {
            "order_event_id": f"{order}-{_STAGES[stage]}", "order_id": order, "machine_id": "press-01",
            "product": "bracket", "quantity": 5, "event": _STAGES[stage], "occurred_at": at.isoformat(),
        }  # fmt: skip
        self._sent += 1
        self.orders.setdefault(order, []).append(round(at.timestamp() * 1e6))
        self._last = orjson.dumps(event)
        self._produce(self._last)
        if self._dice.random() < _SHARE:
            self._produce(self._last)
        if self._dice.random() < _SHARE:
            self._produce(self._last[:-20])
            self.malformed += 1

    def _produce(self, value: bytes) -> None:
        self.producer.send(ORDERS, value, partition=self.records % PARTITIONS)
        self.records += 1

    def expected(self) -> set[tuple[Any, ...]]:
        """The mart's rows."""
        return {
            (order, len(times), min(times), max(times), _STAGES[len(times) - 1])
            for order, times in self.orders.items()
        }

    def differences(self, lake: Lake) -> str:
        """What is not as it must be, in a few words; empty when all is."""
        rows = lake.query(_MARTS)
        raw = lake.query(f"select count(*) from raw.{ORDERS}")[0][0]
        rejects = lake.query("select count(*) from raw.rejects where stream = ?", [ORDERS])[0][0]
        found = []
        if raw + rejects != self.records or rejects != self.malformed:
            found.append(f"{raw} in raw, {rejects} rejects of {self.records}, {self.malformed} malformed")
        if set(rows) != self.expected() or len(rows) != len(self.orders):
            wrong = len(set(rows) ^ self.expected())
            found.append(f"{wrong} rows of the mart differ")
        found += [defect.message for defect in prove(lake, ORDERS).defects[:3]]
        return "; ".join(found)


def measure(folder: Path, *, seconds: float, rate: float) -> list[Row]:
    """Send, kill, start again, send, wait, compare."""
    with brokers(folder) as servers:
        oracle = Oracle(KafkaProducer(bootstrap_servers=servers.kafka.bootstrap_servers, acks="all"))
        with millrace_up(folder / "data", servers.settings(), ui=False) as running:
            pace([oracle.send], rate=rate, seconds=seconds / 2, burst=1.0)
            os.kill(running.process.pid, signal.SIGKILL)
            running.process.wait()
        killed = time.monotonic()
        with millrace_up(folder / "data", servers.settings(), ui=False) as running:
            back = time.monotonic() - killed
            pace([oracle.send], rate=rate, seconds=seconds / 2, burst=1.0)
            oracle.producer.flush()
            reader, wanted = Reader(running.settings()), sum(len(times) for times in oracle.orders.values())
            wait_for(lambda: reader.in_marts(ORDERS) == wanted, seconds=_DRAIN_SECONDS)
            differences = oracle.differences(reader.lake)
            reader.lake.close()
        oracle.producer.close()
    return [
        Row(
            "W5", f"{oracle.records:,} records, {oracle.malformed} malformed, kill -9 half way",
            "equal" if not differences else "DIFFERENT", "equal to the oracle", not differences,
            differences or f"back {back:.0f} s after the kill",
        )
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--for", dest="seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=500.0, help="events a second")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
        emit(measure(Path(folder), seconds=options.seconds, rate=options.rate))


if __name__ == "__main__":
    main()
