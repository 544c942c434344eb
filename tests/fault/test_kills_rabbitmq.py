"""kill -9 of what reads RabbitMQ: a queue's collector in its spool's append, a stream's batch in its load.

Every confirmed message of a queue is in raw; twice only where the broker says that it delivered it again.
Of a stream each is there once.
"""

import json
import random
import signal
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import prove
from ingestion.log.port import Window
from ingestion.settings import Settings
from ingestion.spool.log import SpoolLog
from tests.fault.conftest import Tally
from tests.fault.orders import Worker, order_for
from tests.fault.seeds import KILLS, SEED
from tests.ingestion.helpers import ingest, positions_of
from tests.names import numbers
from tests.repository import REPOSITORY
from tests.servers.rabbitmq import RabbitMq
from tests.waiting import eventually

COLLECTOR_PLACES = ("spool.written", "spool.durable", "intake.commit")
BATCH_PLACES = ("loader.loaded", "loader.committed", "batch.polled")
ROUNDS = max(1, KILLS // 2)
PLACES = 3 if KILLS > 2 else 2
"""How many of them; each kill is a start of a process."""
KILLS_ITSELF = """
import os, signal, sys
from ingestion import faultpoints
from ingestion.collect.__main__ import main
places = []
def hook(place):
    places.append(place)
    if places.count(sys.argv[1]) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
faultpoints.install_hook(hook)
sys.exit(main(["rabbitmq"]))
"""
_numbers = numbers()


@pytest.fixture
def there(settings: Settings, rabbitmq: RabbitMq) -> Settings:
    return settings.replaced(rabbitmq_host=rabbitmq.host, rabbitmq_port=rabbitmq.port)


def collector(settings: Settings, rabbitmq: RabbitMq, place: str, passes: int) -> subprocess.Popen[bytes]:
    """A collector that kills itself at a place; at none for an empty one."""
    return subprocess.Popen(
        [sys.executable, "-c", KILLS_ITSELF, place, str(passes)],
        cwd=REPOSITORY,
        env={
            "PATH": "/usr/bin:/bin", "MILLRACE_DATA_DIR": str(settings.data_dir),
            "MILLRACE_STREAMS_FILE": str(settings.data_dir / "streams.yml"),
            "MILLRACE_RABBITMQ_HOST": rabbitmq.host, "MILLRACE_RABBITMQ_PORT": str(rabbitmq.port),
        },
    )  # fmt: skip


def collected(settings: Settings) -> set[int]:
    """The numbers that the spool of `q` holds."""
    with closing(SpoolLog("q", settings.data_dir / "spool")) as log:
        windows = {partition: Window(each.begin, each.end) for partition, each in log.bounds().items()}
        return {
            json.loads(value)["n"]
            for chunk in log.read(windows)
            for value in chunk.events["value"].to_pylist()
        }


def test_a_killed_collector_of_a_queue_loses_nothing_and_repeats_only_what_is_marked(
    lake: Lake, there: Settings, rabbitmq: RabbitMq, tally: Tally
) -> None:
    dice, queue, sent = random.Random(SEED), f"killed-{next(_numbers)}", 0
    print(f"seed {SEED}")
    rabbitmq.declare(queue, "quorum")
    lake.settings = there
    there.data_dir.mkdir(parents=True, exist_ok=True)
    (there.data_dir / "streams.yml").write_text(f"q: {{source: {{rabbitmq: {{queue: {queue}}}}}}}\n")
    of = Stream.model_validate({"name": "q", "source": {"rabbitmq": queue}})

    def send() -> int:
        rabbitmq.publish(queue, [b'{"n": %d}' % number for number in range(sent, sent + 50)])
        return sent + 50

    for place in COLLECTOR_PLACES[:PLACES] * ROUNDS:
        process = collector(there, rabbitmq, place, passes=dice.randint(1, 3))
        while process.poll() is None:
            sent = send()
        assert process.returncode == -signal.SIGKILL
        tally.places[f"RabbitMQ: {place}"].kills += 1
    sent = send()
    process = collector(there, rabbitmq, "", 1)
    try:
        # Its status, and the queue's count, say nothing of what was sent ahead and not taken in yet: asked to
        # end then, the collector leaves that to the queue.
        eventually(lambda: collected(there) >= set(range(sent)), "all are stored", seconds=120)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    while ingest(lake, of, there).batch_id is not None:
        pass
    rows = lake.query("select (payload ->> 'n')::int, headers ->> 'redelivered' = 'true' from raw.q")
    assert {number for number, _ in rows} == set(range(sent))
    fresh = Counter(number for number, again in rows if not again)
    assert max(fresh.values()) == 1, "twice, and not marked"
    assert len(rows) - sent <= sum(again for _, again in rows)
    assert not prove(lake, "q").defects
    tally.places["RabbitMQ: queue"].events += sent


def test_a_killed_batch_of_a_stream_loses_and_doubles_nothing(
    lake: Lake, there: Settings, rabbitmq: RabbitMq, worker: Worker, tally: Tally, tmp_path: Path
) -> None:
    name, sent = f"killed-{next(_numbers)}", 0
    rabbitmq.declare(name, "stream")
    of = Stream.model_validate({"name": "s", "source": {"rabbitmq": {"stream": name}}})
    lake.prepare(["s"])
    order = order_for(
        of, there, batch_max_events=40, rabbitmq_host=rabbitmq.host, rabbitmq_port=rabbitmq.port
    )
    for number, place in enumerate(BATCH_PLACES[:PLACES] * ROUNDS):
        rabbitmq.publish(name, [b'{"n": %d}' % each for each in range(sent, sent + 60)])
        sent += 60
        assert worker.run(**order, place=place, passes=1 + number % 2) == -9, "the place was never passed"
        tally.places[f"RabbitMQ: {place}"].kills += 1
    assert worker.run(**order) == 0
    assert positions_of(lake, "s") == [(name, offset) for offset in range(sent)]
    assert lake.query("select count(distinct payload) from raw.s") == [(sent,)]
    assert not prove(lake, "s").defects
    tally.places["RabbitMQ: stream"].events += sent
