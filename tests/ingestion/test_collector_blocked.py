"""A collector that cannot commit: the broker is held back, and what waits is neither lost nor repeated."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from ingestion.collect.collector import Collector
from ingestion.log.port import Window
from ingestion.spool.guarded import Limits
from ingestion.spool.log import SpoolLog
from tests.ingestion.collecting import (
    QUICK,
    broker,
    publish,
    running,
    settings_for,
    spooled,
    stream,
    wait_until,
)
from tests.ingestion.helpers import mqtt_collector
from tests.servers.mosquitto import Mosquitto

pytestmark = pytest.mark.mosquitto


def test_a_full_spool_holds_the_broker_back_until_it_is_drained(mosquitto: Mosquitto, tmp_path: Path) -> None:
    limits = Limits(spool_max_bytes=60_000, segment_bytes=10_000, blocked_seconds=0.05)
    collector = mqtt_collector(settings_for(mosquitto, tmp_path), [stream("full", "full/#")], limits=limits)
    log = SpoolLog("full", tmp_path / "spool")
    seen: list[bytes] = []
    total = 0

    def send(count: int) -> None:
        nonlocal total
        numbers = range(total, total + count)
        total += count
        publish(mosquitto, [("full/x", b"%07d" % number + b"." * 993) for number in numbers])

    with running(collector):
        while not collector.status()["blocked"]:  # a size is measured now and then: how many it takes varies
            assert total < 10_000
            send(50)
            wait_until(lambda: collector.status()["blocked"] or collector.status()["messages"] == total)
        send(500)
        assert "nothing more is acknowledged of it" in collector.status()["error"]
        assert collector.status()["unacknowledged"] > 0
        assert collector.status()["spool_bytes"] < total * 1_000
        deadline = time.monotonic() + 60
        while len(seen) < total:
            assert time.monotonic() < deadline, f"stuck at {len(seen)}"
            position, end = len(seen), log.bounds()["full-0"].end
            chunks = log.read({"full-0": Window(position, end)})
            seen += [value[:7] for chunk in chunks for value in chunk.events["value"].to_pylist()]
            log.confirm({"full-0": len(seen)})
        wait_until(lambda: not collector.status()["blocked"])
    assert seen == [b"%07d" % n for n in range(total)]
    log.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker that remembers sessions when it is restarted."""
    server = broker(tmp_path / "broker", persistence=True)
    yield server
    server.stop()


@contextmanager
def blocked(server: Mosquitto, data_dir: Path) -> Iterator[tuple[Collector, int]]:
    """A collector whose spool is full, and how many messages it got until then."""
    limits = Limits(spool_max_bytes=1, segment_bytes=1, blocked_seconds=0.05)
    collector = mqtt_collector(settings_for(server, data_dir), [stream("s", "s")], limits=limits, retry=QUICK)
    sent = 0
    with running(collector):
        while not collector.status()["blocked"]:
            publish(server, [("s", b"%d" % sent)])
            sent += 1
            wait_until(lambda sent=sent: collector.status()["messages"] == sent)
        yield collector, sent


def drain(collector: Collector, data_dir: Path, *, until: int) -> list[bytes]:
    """Make room until everything is committed; returns what the spool holds then."""
    with closing(SpoolLog("s", data_dir / "spool")) as log:
        log.confirm({"s-0": collector.status()["positions"]["s"]})
    wait_until(lambda: collector.status()["positions"]["s"] == until)
    return [row["value"] for row in spooled(data_dir, "s")]


def test_the_only_copy_of_an_event_outlives_every_reconnection(server: Mosquitto, tmp_path: Path) -> None:
    """A broker that forgot the session will not send again what we hold, however often we come back to it."""
    data_dir = tmp_path / "data"
    with blocked(server, data_dir) as (collector, sent):
        waiting = collector.status()["unacknowledged"]
        server.kill()
        for saved in (tmp_path / "broker").glob("*.db*"):
            saved.unlink()
        server.start()
        wait_until(lambda: collector.status()["sessions_lost"] == 1 and collector.listener.status().ready)
        server.restart()
        wait_until(lambda: collector.status()["connections"] == 3)
        assert collector.listener.connections["s"].session_present  # type: ignore[attr-defined]
        assert collector.status()["unacknowledged"] == waiting > 0
        assert drain(collector, data_dir, until=sent)[-1] == b"%d" % (sent - 1)


def test_a_reconnection_while_nothing_can_be_committed_repeats_nothing(
    server: Mosquitto, tmp_path: Path
) -> None:
    data_dir = tmp_path / "data"
    with blocked(server, data_dir) as (collector, sent):
        publish(server, [("s", b"%d" % number) for number in range(sent, sent + 8)])
        wait_until(lambda: collector.status()["messages"] == sent + 8)
        waiting = collector.status()["unacknowledged"]
        assert waiting >= 8
        server.restart()
        wait_until(lambda: collector.status()["connections"] == 2)
        wait_until(lambda: collector.status()["messages"] == sent + 8 + waiting)
        assert collector.status()["unacknowledged"] == waiting
        kept = drain(collector, data_dir, until=sent + 8)
    assert kept == [b"%d" % number for number in range(sent + 8 - len(kept), sent + 8)]
    assert len(kept) >= 9
