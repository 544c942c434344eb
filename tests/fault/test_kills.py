"""kill -9 at every named place and at random: nothing lost, nothing doubled, readers never see a half.

MILLRACE_FAULT_KILLS sets the kills per place (`make fault`). The seed is printed; MILLRACE_FAULT_SEED
repeats it.
"""

import itertools
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ingestion.lake import Lake
from ingestion.settings import PROJECT_DIR, Settings
from ingestion.streams import Stream
from tests.fault.oracle import KafkaOracle
from tests.servers.apache_kafka import ApacheKafka

PLACES = ["batch.polled", "loader.extracted", "loader.normalized", "loader.loaded", "loader.committed"]
KILLS = int(os.environ.get("MILLRACE_FAULT_KILLS", "2"))
SEED = int(os.environ.get("MILLRACE_FAULT_SEED", "0")) or time.time_ns() % 10**9
PARTITIONS = 2
_numbers = itertools.count(1)


class Worker:
    """The forking process; `run` returns a child's exit code."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fault.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=PROJECT_DIR,
        )

    def run(self, **order: Any) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order, default=str) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate(timeout=30)


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.close()


class Scene:
    """A topic, its oracle, a lake, and a stream between them."""

    def __init__(self, lake: Lake, settings: Settings, kafka: ApacheKafka, worker: Worker) -> None:
        self.topic = f"kill_{next(_numbers)}"
        kafka.create_topic(self.topic, partitions=PARTITIONS)
        self.oracle = KafkaOracle(kafka.bootstrap_servers, self.topic)
        self.lake = lake
        lake.prepare([self.topic])
        stream = Stream.model_validate({"name": self.topic, "source": {"kafka": self.topic}})
        assert settings.catalog is not None
        self._worker = worker
        self._order = {
            "stream": stream.model_dump(mode="json"),
            "settings": {
                "data_dir": settings.data_dir,
                "catalog": settings.catalog.get_secret_value(),
                "kafka_bootstrap_servers": kafka.bootstrap_servers,
                "batch_max_events": 100,
            },
        }

    def ingest(self, **order: Any) -> int:
        return self._worker.run(**self._order, **order)

    def assert_whole(self) -> None:
        assert self.ingest() == 0
        assert self.oracle.violations(self.lake, self.topic) == []


@pytest.fixture
def scene(lake: Lake, settings: Settings, apache_kafka: ApacheKafka, worker: Worker) -> Scene:
    return Scene(lake, settings, apache_kafka, worker)


@pytest.mark.parametrize("place", PLACES)
def test_a_kill_at_a_named_place_loses_and_doubles_nothing(scene: Scene, place: str) -> None:
    for number in range(KILLS):
        scene.oracle.send(250, partitions=PARTITIONS)
        assert scene.ingest(place=place, passes=1 + number % 3) == -9, "the place was never passed"
        held = set(scene.oracle.acknowledged)
        seen = set(scene.lake.query(f"select source_partition, position from raw.{scene.topic}"))
        assert seen <= held
        scene.assert_whole()


def test_kills_at_random_moments_lose_and_double_nothing(scene: Scene) -> None:
    print(f"seed {SEED}")
    dice = random.Random(SEED)
    for _ in range(4 * KILLS):
        scene.oracle.send(dice.randint(1, 300), partitions=PARTITIONS)
        scene.ingest(kill_after_seconds=dice.uniform(0.02, 1.5))
    scene.assert_whole()


def test_a_crash_loop_makes_progress_all_the_same(scene: Scene) -> None:
    """Killed right after each commit: every start brings one batch in, and only one."""
    scene.oracle.send(500, partitions=PARTITIONS)
    starts = 0
    while scene.ingest(place="loader.committed") == -9:
        starts += 1
        assert starts < 50
    assert starts >= 5
    assert scene.oracle.violations(scene.lake, scene.topic) == []
