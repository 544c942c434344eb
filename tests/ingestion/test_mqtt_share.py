"""Several collectors in one $share group, each with a spool of its own; how much may be under way at once."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import orjson
import pytest

from ingestion.collect.members import members
from ingestion.declare.logs import open_log
from ingestion.declare.stream import Stream
from ingestion.errors import ConfigError, LogTruncated
from ingestion.lake.lake import Lake
from ingestion.land.adoption import adopt
from ingestion.settings import Settings, load_settings
from ingestion.spool.guarded import Limits
from ingestion.spool.writer import SpoolEvent, SpoolWriter
from ingestion.upkeep.files import trim_spool
from ingestion.watch.recount import verify
from tests.ingestion.collecting import (
    PROJECT,
    QUICK,
    broker,
    publish,
    running,
    settings_for,
    spooled,
    stream,
    wait_until,
)
from tests.ingestion.helpers import ingest, mqtt_collector
from tests.servers.mosquitto import Mosquitto

SHARED = stream("s", "$share/plant/line/#")
KILLS_ITSELF = """
import os, signal, sys
from ingestion import faultpoints
from ingestion.collect.__main__ import main
places = []
def hook(place):
    places.append(place)
    if places.count("spool.durable") == 3:
        os.kill(os.getpid(), signal.SIGKILL)
faultpoints.install_hook(hook)
sys.exit(main(["mqtt"]))
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    server = broker(tmp_path_factory.mktemp("mosquitto"))
    yield server
    server.stop()


def start(server: Mosquitto, data_dir: Path, *program: str) -> "subprocess.Popen[bytes]":
    """A collector on another data folder, as on another disk."""
    data_dir.mkdir(exist_ok=True)
    streams = data_dir / "streams.yml"
    streams.write_text('s: {source: {mqtt: "$share/plant/line/#"}}\n')
    ours = {
        "MILLRACE_DATA_DIR": str(data_dir), "MILLRACE_STREAMS_FILE": str(streams),
        "MILLRACE_MQTT_HOST": server.host, "MILLRACE_MQTT_PORT": str(server.port),
    }  # fmt: skip
    return subprocess.Popen([sys.executable, *program], cwd=PROJECT, env=os.environ | ours)


def values(data_dir: Path) -> Counter[bytes]:
    return Counter(row["value"] for row in spooled(data_dir, "s"))


def is_subscribed(data_dir: Path) -> bool:
    path = data_dir / "collector" / "session.json"
    sessions = orjson.loads(path.read_bytes())["sessions"] if path.exists() else {}
    return any(each["subscriptions"] for each in sessions.values())


@pytest.mark.mosquitto
def test_a_group_of_two_loses_nothing_when_one_is_killed_and_raw_has_each_event_of_both_spools_once(
    shared: Mosquitto, lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    """It is killed after its spool's fsync, before it acknowledges: what it held comes again, and says so."""
    other = tmp_path / "other"
    ours = load_settings(
        data_dir=settings.data_dir, catalog=settings.catalog, mqtt_host=shared.host, mqtt_port=shared.port,
        mqtt_further_collectors=f"b={other}",
    )  # fmt: skip
    lake.settings = ours
    sent: list[bytes] = []

    def send(count: int) -> None:
        numbers = [b"%d" % (len(sent) + n) for n in range(count)]
        publish(shared, [(f"line/{int(n) % 7}", n) for n in numbers])
        sent.extend(numbers)

    with running(mqtt_collector(ours, [SHARED], retry=QUICK)):
        process = start(shared, other, "-c", KILLS_ITSELF)
        try:
            wait_until(lambda: is_subscribed(other))
            while process.poll() is None:
                send(20)
                assert len(sent) < 50_000, "it never came to its place"
            assert process.returncode == -signal.SIGKILL
            send(100)
            process = start(shared, other, "-m", "ingestion.collect", "mqtt")
            wait_until(lambda: (values(ours.data_dir) + values(other)).keys() == set(sent))
        finally:
            process.terminate()
            process.wait(60)
    assert process.returncode == 0
    held = {"s-0": values(ours.data_dir), "s-b": values(other)}
    assert all(held.values()), "the broker shares them out"
    ingest(lake, SHARED, ours)
    again = ingest(lake, SHARED, ours)
    rows = lake.query("select source_partition, payload, headers->>'dup' = 'true' from raw.s")
    landed = {name: Counter(payload.encode() for where, payload, _ in rows if where == name) for name in held}
    assert landed == held
    assert again.events_read == 0
    copies = sum((held["s-0"] + held["s-b"]).values()) - len(sent)
    assert 0 <= copies <= sum(dup for _, _, dup in rows)
    log = open_log(SHARED, ours)
    assert verify(lake, SHARED, log=log).verdict == "ok"
    log.close()
    assert {name: at.begin for name, at in log.bounds().items()}.keys() == held.keys()


def test_a_further_collector_s_spool_that_was_lost_is_named_and_adopted_by_itself(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    other = tmp_path / "b"
    ours = load_settings(
        data_dir=settings.data_dir, catalog=settings.catalog, mqtt_further_collectors=f"b={other}"
    )
    lake.settings = ours

    def spool(folder: Path, *payloads: bytes) -> None:
        writer = SpoolWriter(folder / "spool" / "s")
        writer.append([SpoolEvent(b"line/1", payload, None, 1_700_000_000_000_000) for payload in payloads])
        writer.commit()
        writer.close()

    spool(ours.data_dir, b"1", b"2")
    spool(other, b"3")
    assert ingest(lake, SHARED, ours).events_landed == 3
    other.rename(tmp_path / "lost")
    spool(other, b"4")
    with pytest.raises(LogTruncated, match=f"s-b .* put the right one back into {other}/spool/s"):
        ingest(lake, SHARED, ours)
    adoption = adopt(lake, SHARED)
    assert "s-b" in adoption.broken
    assert adopt(lake, SHARED).broken == ""
    spool(ours.data_dir, b"5")
    assert ingest(lake, SHARED, ours).events_landed == 2
    assert trim_spool(lake, SHARED) == 0
    rows = lake.query("select payload::bigint from raw.s order by 1")
    assert [n for (n,) in rows] == [1, 2, 3, 4, 5]
    alone = settings.replaced(mqtt_further_collectors="")
    with pytest.raises(LogTruncated, match=r"s-b .* name the data folder of its collector again"):
        ingest(lake, SHARED, alone)


def test_only_shared_subscriptions_have_further_collectors(settings: Settings, tmp_path: Path) -> None:
    ours = load_settings(data_dir=settings.data_dir, mqtt_further_collectors=f"b={tmp_path}")
    alone = Stream.model_validate({"name": "s", "source": {"mqtt": "line/#"}})
    SpoolWriter(tmp_path / "spool" / "s").close()
    assert [list(open_log(each, ours).bounds()) for each in (SHARED, alone)] == [["s-b"], []]
    for wrong in ("b", "0=/data", "b=data", "b=/x, b=/y"):
        with pytest.raises(ConfigError, match="MILLRACE_MQTT_FURTHER_COLLECTORS"):
            open_log(SHARED, load_settings(mqtt_further_collectors=wrong)).bounds()


@pytest.mark.mosquitto
def test_a_system_s_further_collectors_share_what_is_shared_and_nothing_else(
    shared: Mosquitto, lake: Lake, settings: Settings
) -> None:
    ours = load_settings(
        data_dir=settings.data_dir, catalog=settings.catalog, mqtt_host=shared.host, mqtt_port=shared.port,
        mqtt_collectors=3,
    )  # fmt: skip
    lake.settings = ours
    streams = [stream("s", "$share/several/several/#"), stream("alone", "several/#")]
    assert [member.name for member in members(ours, streams)] == ["collector", "collector-1", "collector-2"]
    assert [member.name for member in members(ours, streams[1:])] == ["collector"]
    sent = [b"%d" % n for n in range(300)]
    with ExitStack() as stack:
        running_ones = [
            stack.enter_context(running(mqtt_collector(ours, streams, number=number, retry=QUICK)))
            for number in range(3)
        ]
        publish(shared, [("several/x", each) for each in sent])
        wait_until(lambda: sum(each.status()["positions"]["s"] for each in running_ones) == len(sent))
        wait_until(lambda: running_ones[0].status()["positions"]["alone"] == len(sent))
        assert ["alone" in each.status()["positions"] for each in running_ones] == [True, False, False]
    assert ingest(lake, streams[0], ours).events_landed == len(sent)
    rows = lake.query("select source_partition, payload from raw.s")
    assert {name for name, _ in rows} == {"s-0", "s-1", "s-2"}
    assert sorted(int(payload) for _, payload in rows) == list(range(len(sent)))
    fewer = ours.replaced(mqtt_collectors=1)
    assert len(members(fewer, streams)) == 3, "their sessions still get their part"
    with closing(open_log(streams[0], fewer)) as log:
        assert log.bounds().keys() == {"s-0", "s-1", "s-2"}


@pytest.mark.mosquitto
@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_no_more_messages_are_under_way_than_may_be(shared: Mosquitto, tmp_path: Path, protocol: str) -> None:
    """A commit takes what came since the last one: with a credit of three, never more than three."""
    settings = settings_for(shared, tmp_path, mqtt_protocol=protocol, mqtt_max_inflight=3)
    topic = f"credit/{protocol}"
    collector = mqtt_collector(
        settings, [stream("c", topic)], retry=QUICK, limits=Limits(commit_seconds=0.01)
    )
    with running(collector):
        connection = collector.listener.connections["c"]  # type: ignore[attr-defined]
        most, acknowledge = [0], connection.acknowledge

        def watched(message_ids: list[int]) -> None:
            most[0] = max(most[0], len(message_ids))
            acknowledge(message_ids)

        connection.acknowledge = watched
        publish(shared, [(topic, b"%d" % n) for n in range(30)])
        wait_until(lambda: collector.status()["positions"]["c"] == 30)
    assert 0 < most[0] <= 3
