"""A source that is far ahead: memory follows the batch, not the backlog. Needs `make fault` (conftest.py)."""

import json
import subprocess
import sys

from ingestion.declare.stream import Stream
from ingestion.settings import Settings
from tests.fault.orders import order_for
from tests.repository import REPOSITORY

BATCH_EVENTS = 20_000
DRAIN = """
import json, resource, sys
from ingestion.formats.decode import decoder
from ingestion.land.batch import Ingestor
from ingestion.lake.lake import Lake
from ingestion.settings import load_settings
from tests.ingestion.test_maintenance import STREAM, CountingLog

batches, settings = int(sys.argv[1]), load_settings(**json.load(sys.stdin))
log = CountingLog()
log.step, log.end = 0, batches * settings.batch_max_events
with Lake(settings) as lake:
    lake.prepare(["events"])
    ingestor, read = Ingestor(lake), 0
    while (report := ingestor.run(STREAM, log, decode=decoder("json"))).batch_id is not None:
        read += report.events_read
print(read, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def _drain(batches: int, order: str) -> tuple[int, int]:
    """Events read, and the most memory that it took, in KiB."""
    done = subprocess.run(
        [sys.executable, "-c", DRAIN, str(batches)],
        input=order, cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    read, memory = done.stdout.split()
    return int(read), int(memory)


def test_a_backlog_of_many_batches_takes_the_memory_of_one(settings: Settings) -> None:
    order = order_for(
        Stream.model_validate({"name": "events", "source": {"kafka": "events"}}), settings,
        batch_max_events=BATCH_EVENTS,
    )  # fmt: skip
    text = json.dumps(order["settings"], default=str)
    # The same lake, so the second goes on after the first: 2 batches, then 18.
    (few, memory_of_few), (many, memory_of_many) = _drain(2, text), _drain(20, text)
    assert (few, many) == (2 * BATCH_EVENTS, 18 * BATCH_EVENTS)
    print(f"{memory_of_few / 1024:.0f} MiB for 2 batches, {memory_of_many / 1024:.0f} MiB for 18")
    assert memory_of_many <= 1.25 * memory_of_few
