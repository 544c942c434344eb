"""kill -9 at every named place and at random: nothing lost, nothing doubled, readers never see a half.

MILLRACE_FAULT_KILLS sets the kills per place (`make fault`). The seed is printed; MILLRACE_FAULT_SEED
repeats it.
"""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from tests.fault.conftest import Count, Tally
from tests.fault.oracle import KafkaOracle, make_producer
from tests.fault.orders import Worker, order_for
from tests.fault.seeds import KILLS, SEED
from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka

PLACES = ["batch.polled", "loader.extracted", "loader.normalized", "loader.loaded", "loader.committed"]
UPKEEP_PLACES = ["maintenance.compacted", "maintenance.expired", "maintenance.cleaned"]
PARTITIONS = 2
BATCH_EVENTS = 100
STATEMENTS = 5
"""Of a load: two looks at the schema, the events, the ledger, dlt's own record of the load."""
KILLS_OF_A_STREAM = 20
KILLS_OF_A_CHAIN = 4
"""So many orders die one after another, each beginning with what the last one left."""
CRASHES = 6 * KILLS
_numbers = numbers()


class Scene:
    """A topic, its oracle, a lake, and a stream between them."""

    def __init__(
        self, name: str, count: Count, lake: Lake, settings: Settings, kafka: ApacheKafka, worker: Worker
    ) -> None:
        self.name, self.count = name, count
        self.lake = lake
        self._settings = settings.replaced(kafka_bootstrap_servers=kafka.bootstrap_servers)
        self._kafka = kafka
        self._worker = worker
        self._producer = make_producer(kafka.bootstrap_servers)
        self.begin()

    def begin(self) -> None:
        """A new topic and stream: what the oracle reads after each kill stays small."""
        self.topic = f"kill_{next(_numbers)}"
        self._kafka.create_topic(self.topic, partitions=PARTITIONS)
        self.oracle = KafkaOracle(self._kafka.bootstrap_servers, self.topic, producer=self._producer)
        self.lake.prepare([self.topic])
        stream = Stream.model_validate({"name": self.topic, "source": {"kafka": self.topic}})
        self._order = order_for(stream, self._settings, batch_max_events=BATCH_EVENTS)

    def survived(self, number: int) -> None:
        """Behind the kill of a number: nothing is half; after every chain all is there, once."""
        self.assert_nothing_half()
        if (number + 1) % KILLS_OF_A_CHAIN == 0:
            self.assert_whole()
        if (number + 1) % KILLS_OF_A_STREAM == 0:
            print(f"\r{self.name}: {self.count.kills} kills", end="", flush=True)
            self.begin()

    def close(self) -> None:
        self._producer.close()

    def send(self, events: int) -> None:
        self.oracle.send(events, partitions=PARTITIONS)
        self.count.events += events

    def ingest(self, **order: Any) -> int:
        code = self._worker.run(**self._order, **order)
        self.count.kills += code == -9
        return code

    def assert_whole(self, **order: Any) -> None:
        assert self.ingest(**order) == 0
        violations = self.oracle.violations(self.lake, self.topic)
        self.count.violations += len(violations)
        assert violations == []

    def assert_nothing_half(self) -> None:
        """After a kill: what readers see adds up, and was sent."""
        violations = [
            sentence
            for sentence in self.oracle.violations(self.lake, self.topic)
            if not sentence.startswith("I1")
        ]
        self.count.violations += len(violations)
        assert violations == []


@pytest.fixture
def scene(
    lake: Lake,
    settings: Settings,
    apache_kafka: ApacheKafka,
    worker: Worker,
    tally: Tally,
    request: pytest.FixtureRequest,
) -> Iterator[Scene]:
    name = request.node.name
    unnamed = {
        "crash": "crash loop",
        "told": "SIGTERM, 1 s later SIGKILL",
        "random": "random moment",
        "statement": "loader.statement",
    }
    place = name.partition("[")[2].rstrip("]") or next(unnamed[word] for word in unnamed if word in name)
    # Counted from the start, so that the table also stands under a run that is interrupted.
    scene = Scene(place, tally.places[place], lake, settings, apache_kafka, worker)
    yield scene
    scene.close()


@pytest.mark.parametrize("place", PLACES)
def test_a_kill_at_a_named_place_loses_and_doubles_nothing(scene: Scene, place: str) -> None:
    for number in range(KILLS):
        passes = 1 + number % 3
        scene.send(passes * BATCH_EVENTS)
        assert scene.ingest(place=place, passes=passes) == -9, "the place was never passed"
        scene.survived(number)
    scene.assert_whole()


def test_a_kill_before_any_statement_of_a_load_loses_and_doubles_nothing(scene: Scene) -> None:
    for number in range(max(KILLS, STATEMENTS)):
        scene.send(BATCH_EVENTS)
        assert scene.ingest(place="loader.statement", passes=1 + number % STATEMENTS) == -9
        scene.survived(number)
    scene.assert_whole()


def test_kills_at_random_moments_lose_and_double_nothing(scene: Scene) -> None:
    print(f"seed {SEED}")
    dice = random.Random(SEED)
    for number in range(4 * KILLS):
        scene.send(dice.randint(1, 300))
        scene.ingest(kill_after_seconds=dice.uniform(0.02, 1.6))
        scene.survived(number)
    scene.assert_whole()


@pytest.mark.parametrize("place", UPKEEP_PLACES)
def test_a_kill_in_upkeep_loses_and_doubles_nothing(scene: Scene, place: str) -> None:
    for number in range(KILLS):
        scene.send(250)
        assert scene.ingest(place=place, upkeep=True) == -9, "the place was never passed"
        assert scene.oracle.violations(scene.lake, scene.topic) == []
        scene.assert_whole(upkeep=True)
        scene.survived(number)


def test_a_run_that_is_told_to_end_and_killed_a_second_later_loses_and_doubles_nothing(scene: Scene) -> None:
    """Most end by themselves within that second, and count as no kill."""
    dice = random.Random(SEED)
    for number in range(KILLS):
        scene.send(250)
        scene.ingest(kill_after_seconds=dice.uniform(0.1, 0.8), grace_seconds=1)
        scene.survived(number)
    scene.assert_whole()


def test_a_crash_loop_makes_progress_all_the_same(scene: Scene) -> None:
    """Killed right after each commit, again and again: every start brings one batch in, and only one."""
    scene.send(CRASHES * BATCH_EVENTS)
    starts = 0
    while scene.ingest(place="loader.committed") == -9:
        starts += 1
        assert starts <= CRASHES + 1
    assert starts >= CRASHES
    scene.assert_whole()
