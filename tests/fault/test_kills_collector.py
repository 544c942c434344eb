"""kill -9 of the collector while messages arrive: in its spool's append, and whenever it happens.

Mosquitto keeps what it got no acknowledgement for, so every message that it took from its sender has to be in
every spool that wants it; twice only where the broker says that it sent it again (MQTT 3.1.1, 3.3.1.1).
"""

import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault.conftest import Count, Tally
from tests.fault.seeds import KILLS, SEED
from tests.ingestion.collecting import (
    broker,
    publish,
    spooled,
    start_process,
    status_of,
    wait_for_subscriptions,
    wait_until,
)
from tests.servers.mosquitto import Mosquitto

pytestmark = pytest.mark.mosquitto

PLACES = ["intake.commit", "spool.written", "spool.durable", "random moment in the collector"]
SPOOLS = ("telemetry", "everything")
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
sys.exit(main(["mqtt"]))
"""


class Plant:
    """A broker that lives on, a collector that does not, and what was sent."""

    def __init__(self, folder: Path, server: Mosquitto, count: Count) -> None:
        self._data_dir = folder / "data"
        self._server = server
        self._count = count
        self._process = start_process(server, self._data_dir)
        wait_for_subscriptions(self._data_dir)
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        self._process.send_signal(how)
        self._process.wait(60)

    def send(self, messages: int) -> None:
        first = self._count.events
        numbers = range(first, first + messages)
        publish(self._server, [(f"plant/line-{n % 7}/telemetry", b"%d" % n) for n in numbers])
        self._count.events += messages

    def kill_at(self, place: str, *, passes: int) -> None:
        """Send until the collector has killed itself when it came there so many times."""
        self._process = start_process(
            self._server, self._data_dir, program=("-c", KILLS_ITSELF, place, str(passes))
        )
        deadline = time.monotonic() + 180
        while self._process.poll() is None:
            assert time.monotonic() < deadline, "the place was never passed"
            self.send(20)
        assert self._process.returncode == -signal.SIGKILL
        self._count.kills += 1

    def kill_after(self, seconds: float) -> None:
        """Send while a collector starts and works, and kill it."""
        self._process = start_process(self._server, self._data_dir)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.send(20)
        self._end(signal.SIGKILL)
        self._count.kills += 1

    def violations(self) -> list[str]:
        """Of a collector that may work in peace; waits until its spools hold everything."""
        self._process = start_process(self._server, self._data_dir)
        wanted = {b"%d" % number for number in range(self._count.events)}
        found = []
        wait_until(lambda: status_of(self._data_dir)["pid"] == self._process.pid)
        for name in SPOOLS:
            wait_until(lambda name=name: {row["value"] for row in spooled(self._data_dir, name)} >= wanted)
            rows = spooled(self._data_dir, name)
            fresh = Counter(row["value"] for row in rows if not row["headers"]["dup"])
            if [row["position"] for row in rows] != list(range(len(rows))):
                found.append(f"{name}: positions have holes")
            if max(fresh.values()) > 1:
                found.append(f"{name}: {max(fresh, key=fresh.__getitem__)!r} is there twice, unmarked")
            if {row["value"] for row in rows} != wanted:
                found.append(f"{name}: holds what was never sent")
        self._end(signal.SIGTERM)
        assert self._process.returncode == 0
        self._count.violations += len(found)
        return found

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def plant(tmp_path: Path, tally: Tally, request: pytest.FixtureRequest) -> Iterator[Plant]:
    server = broker(tmp_path / "broker")
    plant = Plant(tmp_path, server, tally.places[request.node.callspec.params["place"]])
    yield plant
    plant.stop()
    server.stop()


@pytest.mark.parametrize("place", PLACES)
def test_a_killed_collector_loses_nothing_and_repeats_only_what_the_broker_marks(
    plant: Plant, place: str
) -> None:
    print(f"seed {SEED}")
    dice = random.Random(SEED)
    for _ in range(KILLS):
        plant.send(dice.randint(1, 200))  # they wait at the broker for the next collector
        if place.startswith("random"):
            plant.kill_after(dice.uniform(0.3, 1.5))
        else:
            plant.kill_at(place, passes=dice.randint(1, 3))
    assert plant.violations() == []
