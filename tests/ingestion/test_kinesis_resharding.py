"""Shards that are split and merged while they are read: each key's records stay in their order."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ingestion.collect.collector import Collector
from ingestion.connectors.kinesis import following, listener
from ingestion.connectors.kinesis.connector import KINESIS
from ingestion.declare.stream import Stream
from ingestion.settings import Settings, load_settings
from tests.fakes.kinesis_service import KinesisService
from tests.ingestion.collecting import running, spooled, wait_until

KEYS = [f"k{number}" for number in range(9)]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> KinesisService:
    service = KinesisService()
    monkeypatch.setattr(listener, "open_client", lambda *_, **__: service)
    monkeypatch.setattr(listener, "_INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(following, "_LOOK_SECONDS", 0.1)
    return service


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(data_dir=tmp_path, kinesis_region="anywhere")


@contextmanager
def collecting(settings: Settings) -> Iterator[Collector]:
    stream = Stream.model_validate({"name": "s", "source": {"kinesis": "d"}})
    with running(Collector(settings, [stream], connector=KINESIS)) as collector:
        yield collector


class Writer:
    """Numbers that go to all keys in turn."""

    def __init__(self, service: KinesisService) -> None:
        self.count = 0
        self._service = service

    def write(self, count: int) -> None:
        for number in range(self.count, self.count + count):
            self._service.put(b"%d" % number, KEYS[number % len(KEYS)])
        self.count += count


def require_whole_and_ordered(settings: Settings, count: int) -> None:
    rows = spooled(settings.data_dir, "s")
    assert sorted(int(row["value"]) for row in rows) == list(range(count))
    for key in KEYS:
        values = [int(row["value"]) for row in rows if row["event_key"] == key.encode()]
        assert values == sorted(values), f"{key} is out of order"


def test_children_wait_for_their_parents(settings: Settings, service: KinesisService) -> None:
    writer = Writer(service)
    (parent,) = service.open_shards()
    writer.write(40)
    service.split(parent)
    writer.write(40)
    service.stalled.add(parent)
    with collecting(settings) as collector:
        wait_until(lambda: collector.status()["behind_seconds"])
        assert collector.status()["shards"] == {"s": 1}
        assert collector.status()["positions"]["s"] == 0
        service.stalled.clear()
        wait_until(lambda: collector.status()["positions"]["s"] == 80)
        wait_until(lambda: collector.status()["shards"] == {"s": 2})
    require_whole_and_ordered(settings, 80)


def test_a_merged_shard_waits_for_both(settings: Settings, service: KinesisService) -> None:
    writer = Writer(service)
    service.split(service.open_shards()[0])
    left, right = service.open_shards()
    writer.write(60)
    service.merge(left, right)
    writer.write(30)
    service.stalled.add(right)
    with collecting(settings) as collector:
        # One shard is read at first too: the one that was split, which holds nothing.
        wait_until(lambda: collector.status()["positions"]["s"] > 0)
        wait_until(lambda: collector.status()["shards"] == {"s": 1})
        assert collector.status()["positions"]["s"] < 60
        service.stalled.clear()
        wait_until(lambda: collector.status()["positions"]["s"] == 90)
    require_whole_and_ordered(settings, 90)


def test_resharding_goes_on_over_restarts(settings: Settings, service: KinesisService) -> None:
    writer = Writer(service)
    for _ in range(3):
        writer.write(30)
        with collecting(settings):
            for name in service.open_shards()[:2]:
                service.split(name)
                writer.write(20)
        service.merge(*service.open_shards()[-2:])
        writer.write(10)
    with collecting(settings) as collector:
        wait_until(lambda: collector.status()["positions"]["s"] == writer.count)
        wait_until(lambda: collector.status()["shards"]["s"] == len(service.open_shards()))
    require_whole_and_ordered(settings, writer.count)


def test_a_parent_that_retention_deleted_holds_up_nobody(settings: Settings, service: KinesisService) -> None:
    writer = Writer(service)
    (parent,) = service.open_shards()
    writer.write(9)
    with collecting(settings) as collector:
        wait_until(lambda: collector.status()["positions"]["s"] == 9)
        service.split(parent)
        wait_until(lambda: collector.status()["shards"] == {"s": 2})
    service.expire(parent)
    writer.write(9)
    with collecting(settings) as collector:
        wait_until(lambda: collector.status()["positions"]["s"] == 18)
        assert collector.status()["warning"] == ""
    require_whole_and_ordered(settings, 18)
