"""Collector, batches and the broker itself are killed, again and again, while confirmed events come in.

MILLRACE_FAULT_KILLS says how often; for each kill a queue and a stream get 500 events.
"""

import json
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pika
import pytest
from pika import exceptions

from ingestion.declare.logs import open_log
from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import prove
from ingestion.log.port import Window
from ingestion.settings import Settings
from tests.fault.conftest import Tally
from tests.fault.orders import Worker, order_for
from tests.fault.seeds import KILLS, SEED
from tests.fault.test_kills_rabbitmq import collector
from tests.ingestion.helpers import ingest
from tests.servers.rabbitmq import RabbitMq, rabbitmq_server
from tests.waiting import eventually

SENDERS = 6
EVENTS = 500 * KILLS
BROKER_KILLS = max(1, KILLS // 10)


class Sender(threading.Thread):
    """Sends its share of the numbers to a queue; each again until the broker has confirmed it."""

    def __init__(self, broker: RabbitMq, queue: str, numbers: range) -> None:
        super().__init__(daemon=True)
        self._broker, self._queue, self._numbers = broker, queue, numbers
        self.confirmed: set[int] = set()

    def run(self) -> None:
        left = list(self._numbers)
        while left:
            try:
                with self._broker.channel() as channel:
                    while left:
                        channel.basic_publish(
                            "", self._queue, b'{"n": %d}' % left[0], pika.BasicProperties(delivery_mode=2),
                            mandatory=True,
                        )  # fmt: skip
                        self.confirmed.add(left.pop(0))
            except (exceptions.AMQPError, OSError):
                time.sleep(0.2)


@pytest.mark.long
def test_nothing_is_lost_while_everything_is_killed(
    lake: Lake, settings: Settings, tmp_path: Path, worker: Worker, tally: Tally
) -> None:
    print(f"seed {SEED}")
    dice = random.Random(SEED)
    server, broker = rabbitmq_server(tmp_path / "broker")
    server.start()
    there = settings.replaced(rabbitmq_host=broker.host, rabbitmq_port=broker.port)
    lake.settings = there
    queue, stream = (
        Stream.model_validate({"name": name, "source": {"rabbitmq": {kind: name}}})
        for name, kind in (("q", "queue"), ("s", "stream"))
    )
    broker.declare("q", "quorum")
    broker.declare("s", "stream")
    there.data_dir.mkdir(parents=True, exist_ok=True)
    (there.data_dir / "streams.yml").write_text("q: {source: {rabbitmq: {queue: q}}}\n")
    lake.prepare(["q", "s"])
    orders = [
        order_for(each, there, rabbitmq_host=broker.host, rabbitmq_port=broker.port)
        for each in (queue, stream)
    ]
    senders = {
        name: [Sender(broker, name, range(first, EVENTS, SENDERS)) for first in range(SENDERS)]
        for name in ("q", "s")
    }
    for each in (*senders["q"], *senders["s"]):
        each.start()

    process = collector(there, broker, "", 1)
    status = there.data_dir / "collector-rabbitmq" / "status.json"
    killed = Counter[str]()
    began = time.monotonic()
    try:
        while sum(killed.values()) < KILLS or any(each.is_alive() for each in senders["q"] + senders["s"]):
            time.sleep(dice.uniform(0.2, 1.5))
            what = dice.choice(["collector", "batch of the queue", "batch of the stream"])
            if killed["broker"] < BROKER_KILLS and sum(killed.values()) >= 8 * (killed["broker"] + 1):
                server.kill()
                server.start()
                killed["broker"] += 1
            elif what == "collector":
                process.kill()
                process.wait()
                process = collector(there, broker, "", 1)
                killed[what] += 1
            else:
                order = orders[what.endswith("stream")]
                place = dice.choice(["batch.polled", "loader.loaded", "loader.committed"])
                killed[what] += worker.run(**order, place=place) == -signal.SIGKILL
        sent_seconds = time.monotonic() - began
        eventually(lambda: _settled(broker, status, process), "the queue is collected", seconds=300)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    for each in (queue, stream):
        while ingest(lake, each, there).batch_id is not None:
            pass
    for what, count in killed.items():
        tally.places[f"RabbitMQ, all at once: {what}"].kills += count
    tally.places["RabbitMQ, all at once"].events += 2 * EVENTS
    rows = lake.query("select (payload ->> 'n')::int, headers ->> 'redelivered' = 'true' from raw.q")
    confirmed = {name: set().union(*(each.confirmed for each in senders[name])) for name in senders}
    assert confirmed["q"] == confirmed["s"] == set(range(EVENTS))
    assert {number for number, _ in rows} == confirmed["q"], "a confirmed event of the queue is missing"
    copies, marked = len(rows) - EVENTS, sum(again for _, again in rows)
    with closing(open_log(stream, there)) as log:
        bounds = log.bounds()["s"]
        chunks = list(log.read({"s": Window(bounds.begin, bounds.end)}))
    held = [offset for chunk in chunks for offset in chunk.events["position"].to_pylist()]
    landed = [offset for (offset,) in lake.query("select position from raw.s order by 1")]
    assert landed == held, "raw is not what the stream holds, once"
    numbers = {number for (number,) in lake.query("select (payload ->> 'n')::int from raw.s")}
    assert numbers == confirmed["s"]
    assert not prove(lake, "q").defects
    assert not prove(lake, "s").defects
    print(
        f"{dict(killed)}; {sent_seconds:.0f} s; queue: {EVENTS} confirmed, {copies} copies, {marked} marked "
        f"as redelivered; stream: {len(landed)} messages, {len(landed) - EVENTS} sent twice by their sender"
    )
    server.kill()


def _settled(broker: RabbitMq, status: Path, process: subprocess.Popen[bytes]) -> bool:
    try:
        found = json.loads(status.read_text())
    except ValueError:
        return False
    mine = found["pid"] == process.pid and found["subscribed"]
    return bool(mine and not found["unacknowledged"] and broker.count("q") == 0)
