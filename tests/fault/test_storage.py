"""Disks that fill, turn read-only or lose files, and a catalog that dies: one sentence, nothing lost, healed.

The disks are real: small tmpfs mounts, for which the tests need root.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ingestion.declare.logs import open_log
from ingestion.errors import BatchFailed, CatalogUnavailable, MillraceError, StorageError
from ingestion.faultpoints import install_hook
from ingestion.formats.decode import decoder
from ingestion.lake.lake import Lake
from ingestion.land.batch import Ingestor
from ingestion.settings import Settings, load_settings
from orchestration.services.postgres import EmbeddedPostgres
from orchestration.services.process import wait_until
from tests.fault.oracle import KafkaOracle
from tests.fault.orders import Worker, order_for
from tests.fault.worker import EXIT_DONE, EXIT_REFUSED
from tests.ingestion.helpers import ingest, kafka_stream
from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.small_disk import Disk

_numbers = numbers()
MIB = 2**20


@pytest.fixture
def disk() -> Iterator[Callable[..., Disk]]:
    """Mounts small disks, and unmounts them afterwards."""
    if os.geteuid() != 0:
        pytest.skip("only root mounts a small disk")
    mounted: list[Disk] = []

    def mount(folder: Path, *, mib: int) -> Disk:
        try:
            mounted.append(Disk(folder, mib=mib))
        except subprocess.CalledProcessError:
            pytest.skip("this container does not let root mount a disk")
        return mounted[-1]

    yield mount
    for each in mounted:
        each.unmount()


class Scene:
    """A topic with known events, and batches into a lake."""

    def __init__(self, settings: Settings, kafka: ApacheKafka) -> None:
        self.topic = f"stored_{next(_numbers)}"
        self.settings = settings.replaced(kafka_bootstrap_servers=kafka.bootstrap_servers)
        kafka.create_topic(self.topic, partitions=2)
        self.oracle = KafkaOracle(kafka.bootstrap_servers, self.topic)
        self.lake = Lake(self.settings)

    def send(self, count: int = 300) -> None:
        self.oracle.send(count, partitions=2)

    def ingest(self) -> int:
        return ingest(self.lake, kafka_stream(self.topic), self.settings).events_read

    def refusal(self, *kinds: type[MillraceError]) -> str:
        """The one sentence with which a batch fails."""
        with pytest.raises(kinds) as caught:
            self.ingest()
        told = str(caught.value)
        assert "\n" not in told
        return told

    def assert_healed(self) -> None:
        """The next batch brings everything in, once."""
        while self.ingest():
            pass
        assert self.oracle.violations(self.lake, self.topic) == []


@pytest.fixture
def scene(settings: Settings, apache_kafka: ApacheKafka) -> Iterator[Scene]:
    made = Scene(settings, apache_kafka)
    yield made
    made.lake.close()


@pytest.mark.parametrize("place", ["work", "lake"])
def test_a_full_disk_fails_the_batch_and_with_room_the_next_one_heals(
    scene: Scene, disk: Callable[..., Disk], place: str
) -> None:
    full = disk(Path(scene.settings.data_dir) / place, mib=4)
    scene.send()
    scene.ingest()
    scene.send()
    full.fill()
    told = scene.refusal(BatchFailed, StorageError)
    assert "No space left" in told
    full.grow()
    scene.assert_healed()


def test_a_read_only_lake_fails_the_batch_and_the_next_one_heals(
    scene: Scene, disk: Callable[..., Disk]
) -> None:
    folder = disk(Path(scene.settings.data_dir) / "lake", mib=16)
    scene.send()
    scene.ingest()
    scene.send()
    folder.read_only(True)
    assert "Read-only file system" in scene.refusal(BatchFailed, StorageError)
    folder.read_only(False)
    scene.assert_healed()


def test_a_lost_work_folder_is_made_again(scene: Scene) -> None:
    scene.send()
    scene.ingest()
    shutil.rmtree(Path(scene.settings.data_dir) / "work")
    scene.send()
    scene.assert_healed()


def test_a_damaged_file_of_the_load_fails_it_and_the_next_one_heals(scene: Scene) -> None:
    """A byte flipped in dlt's folder between extract and load."""
    scene.send()
    damaged = []

    def flip(name: str) -> None:
        if name == "loader.normalized" and not damaged:
            (path,) = [
                path
                for path in (Path(scene.settings.data_dir) / "work").rglob("*.parquet")
                if scene.topic in path.name
            ]
            content = bytearray(path.read_bytes())
            content[-20] ^= 0xFF
            path.write_bytes(content)
            damaged.append(path)

    install_hook(flip)
    try:
        scene.refusal(BatchFailed)
    finally:
        install_hook(lambda _: None)
    assert damaged
    scene.assert_healed()


def _on(server: EmbeddedPostgres, settings: Settings, kafka: ApacheKafka) -> Scene:
    server.start()
    own = load_settings(data_dir=settings.data_dir, catalog=server.dsn("lake"), source_timeout_seconds=15)
    return Scene(own, kafka)


def test_a_catalog_killed_before_the_commit_fails_the_batch_and_not_the_process(
    own_catalog: EmbeddedPostgres, settings: Settings, apache_kafka: ApacheKafka, worker: Worker
) -> None:
    """DuckDB aborts where closing a connection rolls back on a server that is gone: in a child, then."""
    scene = _on(own_catalog, settings, apache_kafka)
    scene.lake.prepare([scene.topic])
    scene.send()
    order = order_for(kafka_stream(scene.topic), scene.settings)
    assert worker.run(**order, place="loader.loaded", victim=own_catalog.pid) == EXIT_REFUSED
    own_catalog.start()
    scene.lake.close()
    scene.assert_healed()
    scene.lake.close()


@pytest.mark.parametrize("place", ["catalog.connected", "catalog.session", "batch.locked"])
def test_a_catalog_killed_before_a_batch_reads_anything_fails_it_with_a_sentence(
    own_catalog: EmbeddedPostgres, settings: Settings, apache_kafka: ApacheKafka, place: str
) -> None:
    scene = _on(own_catalog, settings, apache_kafka)
    scene.send()
    scene.ingest()
    scene.send()
    killed = []

    def kill(name: str) -> None:
        if name == place and not killed:
            assert own_catalog.pid is not None
            killed.append(own_catalog.pid)
            os.kill(own_catalog.pid, 9)
            wait_until(lambda: not own_catalog.is_running(), timeout_s=60)

    with closing(open_log(kafka_stream(scene.topic), scene.settings)) as log:
        ingestor = Ingestor(scene.lake)
        install_hook(kill)
        try:
            with pytest.raises(CatalogUnavailable) as caught:
                ingestor.run(kafka_stream(scene.topic), log, decode=decoder("json"))
        finally:
            install_hook(None)
        assert killed
        assert "\n" not in str(caught.value)
        own_catalog.start()
        while ingestor.run(kafka_stream(scene.topic), log, decode=decoder("json")).batch_id is not None:
            pass  # the same ingestor goes on
    assert scene.oracle.violations(scene.lake, scene.topic) == []
    scene.lake.close()


def test_a_catalog_killed_after_the_commit_loses_and_doubles_nothing(
    own_catalog: EmbeddedPostgres, settings: Settings, apache_kafka: ApacheKafka
) -> None:
    scene = _on(own_catalog, settings, apache_kafka)
    scene.send()
    killed = []

    def kill(name: str) -> None:
        if name == "loader.committed" and not killed:
            assert own_catalog.pid is not None
            killed.append(own_catalog.pid)
            os.kill(own_catalog.pid, 9)

    install_hook(kill)
    try:
        scene.ingest()
    finally:
        install_hook(lambda _: None)
    assert killed
    scene.refusal(CatalogUnavailable)
    own_catalog.start()
    scene.lake.close()
    scene.assert_healed()
    scene.lake.close()


def test_a_full_disk_of_the_catalog_fails_the_batch_and_with_room_the_next_one_heals(
    own_catalog: EmbeddedPostgres,
    settings: Settings,
    apache_kafka: ApacheKafka,
    worker: Worker,
    disk: Callable[..., Disk],
    tmp_path: Path,
) -> None:
    """PostgreSQL may end over it: then it is started again, as its supervisor does."""
    full = disk(tmp_path / "own", mib=256)
    scene = _on(own_catalog, settings, apache_kafka)
    scene.lake.prepare([scene.topic])
    scene.send()
    scene.ingest()
    full.fill()
    order = order_for(kafka_stream(scene.topic), scene.settings)
    ends = []
    while not ends or (ends[-1] == EXIT_DONE and len(ends) < 100):  # its files have some room left
        scene.send()
        ends.append(worker.run(**order))
    assert ends[-1] == EXIT_REFUSED
    full.grow()
    scene.lake.close()
    own_catalog.start()
    scene.assert_healed()
    scene.lake.close()
    own_catalog.stop()
