"""Backups of a lake in use: what is restored goes on from its own rows, nothing lost nor doubled."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dagster import DagsterInstance
from pydantic import SecretStr

from ingestion.backup.backup import back_up, backups_of, restore
from ingestion.collect.status import state_folder
from ingestion.connectors.mqtt.connector import MQTT
from ingestion.connectors.mqtt.session import known_client_id, take_over
from ingestion.declare.logs import open_log
from ingestion.declare.stream import Stream
from ingestion.errors import BackupError, StreamBusy
from ingestion.faultpoints import install_hook
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import prove
from ingestion.land.session import LakeSession
from ingestion.settings import Settings
from ingestion.spool.log import spool_name
from ingestion.spool.unrouted import count_open
from ingestion.spool.writer import SpoolEvent, SpoolWriter
from ingestion.upkeep.maintenance import upkeep_lock
from ingestion.watch.recount import verify
from orchestration.run.land import ingest_batch
from orchestration.run.progress import CheckedBatches
from tests.ingestion.collecting import publish, running, spooled, wait_until
from tests.ingestion.helpers import ingest, kafka_stream, mqtt_collector, positions_of, produce
from tests.names import numbers
from tests.repository import REPOSITORY
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.mosquitto import Mosquitto

OWN = "* exclude (ingested_at, batch_id, _dlt_load_id)"  # what is not a load's
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SPOOLED = Stream.model_validate({"name": "spooled", "source": {"mqtt": "spooled/#"}})
_numbers = numbers()


@pytest.fixture(autouse=True)
def _no_hook() -> Iterator[None]:
    yield
    install_hook(None)


@pytest.fixture
def here(settings: Settings, apache_kafka: ApacheKafka) -> Settings:
    return settings.replaced(kafka_bootstrap_servers=apache_kafka.bootstrap_servers)


@pytest.fixture
def elsewhere(here: Settings, tmp_path: Path, new_database: Callable[[], str]) -> Callable[[], Settings]:
    """Makes settings of another, empty place."""
    return lambda: here.model_copy(
        update={
            "data_dir": tmp_path / f"elsewhere_{next(_numbers)}",
            "catalog": SecretStr(new_database()),
        }
    )


@pytest.fixture
def stream(apache_kafka: ApacheKafka) -> Stream:
    name = f"backed_up_{next(_numbers)}"
    apache_kafka.create_topic(name, partitions=1)
    return kafka_stream(name)


def numbers(lake: Lake, stream: Stream) -> list[int]:
    return [position for _, position in positions_of(lake, stream.name)]


def assert_sound(lake: Lake, stream: Stream, settings: Settings) -> None:
    assert prove(lake, stream.name).defects == ()
    log = open_log(stream, settings)
    try:
        assert verify(lake, stream, log=log).verdict == "ok"
    finally:
        log.close()


def spool(settings: Settings, *payloads: bytes, name: str = SPOOLED.name) -> None:
    writer = SpoolWriter(settings.data_dir / "spool" / name, segment_bytes=64)
    for payload in payloads:
        writer.append([SpoolEvent(b"spooled/a", payload, None, 0)])
        writer.commit()
    writer.close()


def test_either_of_two_backups_goes_on_from_its_own_rows(
    here: Settings,
    elsewhere: Callable[[], Settings],
    stream: Stream,
    apache_kafka: ApacheKafka,
    tmp_path: Path,
) -> None:
    with Lake(here) as lake:
        produce(apache_kafka.bootstrap_servers, stream.name, [b"0", b"{", b"2"])
        ingest(lake, stream, here)
        first = back_up(here, tmp_path / "backups", now=NOON)
        produce(apache_kafka.bootstrap_servers, stream.name, [b"3", b"4"])
        ingest(lake, stream, here)
        lake.query(f"create table changed as select * from raw.{stream.name}")
        lake.query("delete from changed where position = 0")
        second = back_up(here, tmp_path / "backups", now=NOON + timedelta(hours=1))
        assert (first.files_copied, second.files_copied) == (0, 0)
        produce(apache_kafka.bootstrap_servers, stream.name, [b"5"])
        ingest(lake, stream, here)
        everything = lake.query(f"select {OWN} from raw.{stream.name} order by position")
    for source, held in ((first.folder, [0, 2]), (tmp_path / "backups", [0, 2, 3, 4])):
        there = elsewhere()
        report = restore(there, source)
        with Lake(there) as lake:
            assert lake.snapshot_id() == report.manifest.snapshot_id
            assert numbers(lake, stream) == held
            if 3 in held:
                assert lake.query("select position from changed order by all") == [(2,), (3,), (4,)]
            ingest(lake, stream, there)
            assert numbers(lake, stream) == [0, 2, 3, 4, 5]
            assert lake.query(f"select {OWN} from raw.{stream.name} order by position") == everything
            old = f"select count(*) from raw.{stream.name} at (version => {first.manifest.snapshot_id})"
            assert lake.query(old) == [(2,)]
            assert_sound(lake, stream, there)
        with pytest.raises(BackupError, match="already"):
            restore(there, source)


def test_a_backup_while_events_land_is_one_instant(
    here: Settings,
    elsewhere: Callable[[], Settings],
    stream: Stream,
    apache_kafka: ApacheKafka,
    tmp_path: Path,
) -> None:
    small = here.model_copy(update={"batch_max_events": 10})
    produce(apache_kafka.bootstrap_servers, stream.name, [b"%d" % n for n in range(200)])
    begun, stop = threading.Event(), threading.Event()

    def keep_ingesting() -> None:
        with Lake(small) as lake:
            while not stop.is_set():
                ingest(lake, stream, small)
                begun.set()

    thread = threading.Thread(target=keep_ingesting)
    thread.start()
    try:
        assert begun.wait(60)
        reports = [
            back_up(here, tmp_path / "backups", now=NOON + timedelta(seconds=second)) for second in range(4)
        ]
    finally:
        stop.set()
        thread.join()
    there = elsewhere()
    restore(there, reports[1].folder)
    with Lake(there) as lake:
        assert prove(lake, stream.name).defects == ()
        held = len(numbers(lake, stream))
        assert 0 < held < 200
        ingest(lake, stream, there)
        assert numbers(lake, stream) == list(range(200))
        assert_sound(lake, stream, there)


def test_what_only_the_spool_holds_is_in_the_backup(
    here: Settings, elsewhere: Callable[[], Settings], tmp_path: Path
) -> None:
    with Lake(here) as lake:
        spool(here, b"0", b"1")
        ingest(lake, SPOOLED, here)
        spool(here, b"2", b"3")

        def land_and_trim(name: str) -> None:
            if name == "backup.instant":
                install_hook(None)
                ingest(lake, SPOOLED, here)

        install_hook(land_and_trim)
        back_up(here, tmp_path / "backups", now=NOON)
        assert numbers(lake, SPOOLED) == [0, 1, 2, 3]
        assert len(list((here.data_dir / "spool" / SPOOLED.name).glob("*.spool"))) == 1
    there = elsewhere()
    restore(there, tmp_path / "backups")
    with Lake(there) as lake:
        assert numbers(lake, SPOOLED) == [0, 1]
        spool(there, b"4")
        ingest(lake, SPOOLED, there)
        assert numbers(lake, SPOOLED) == [0, 1, 2, 3, 4]
        assert_sound(lake, SPOOLED, there)


def test_the_spools_and_sessions_of_further_collectors_are_in_the_backup(
    here: Settings, elsewhere: Callable[[], Settings], tmp_path: Path
) -> None:
    shared = Stream.model_validate({"name": "shared", "source": {"mqtt": "$share/g/shared/#"}})
    with Lake(here) as lake:
        for number in (0, 1):
            take_over(state_folder(here.data_dir, MQTT, number), f"client-{number}")
            spool(here, b"%d" % number, name=spool_name("shared", number))
        ingest(lake, shared, here)
        spool(here, b"2", name="shared-1")
        spool(here, b"3", name="collector-1.unrouted")
        back_up(here, tmp_path / "backups", now=NOON)
    there = elsewhere()
    restore(there, tmp_path / "backups", session=True)
    assert [known_client_id(state_folder(there.data_dir, MQTT, n)) for n in (0, 1)] == [
        "client-0",
        "client-1",
    ]
    assert count_open(there.data_dir / "spool" / "collector-1.unrouted") == 1
    with Lake(there) as lake:
        ingest(lake, shared, there)
        assert positions_of(lake, "shared") == [("shared-0", 0), ("shared-1", 0), ("shared-1", 1)]
        assert_sound(lake, shared, there)


def test_what_belongs_to_the_lake_comes_along_unless_the_folder_knows_more(
    here: Settings, elsewhere: Callable[[], Settings], tmp_path: Path
) -> None:
    """As who has heard of what (orchestration/reactions/kept.py)."""
    with Lake(here) as lake:
        lake.prepare(["a"])
    files = {"heard/of": b"1", "heard/more/of": b"2"}
    back_up(here, tmp_path / "backups", now=NOON, beside=lambda: files)
    fresh, kept = elsewhere(), elsewhere()
    (kept.data_dir / "heard").mkdir(parents=True)
    (kept.data_dir / "heard" / "of").write_bytes(b"newer")
    killed_at("restore.files", f"restore(settings, Path({str(tmp_path / 'backups')!r}))", fresh)
    for there in (fresh, kept):
        restore(there, tmp_path / "backups")
    assert {name: (fresh.data_dir / name).read_bytes() for name in files} == files
    assert (kept.data_dir / "heard" / "of").read_bytes() == b"newer"
    assert not (kept.data_dir / "heard" / "more").exists()
    (next((tmp_path / "backups").glob("*/beside/heard/of"))).write_bytes(b"torn")
    with pytest.raises(BackupError, match="has 4 bytes and not 1"):
        restore(elsewhere(), tmp_path / "backups")


def test_killed_anywhere_a_backup_or_a_restore_is_not_there_and_can_be_said_again(
    here: Settings,
    elsewhere: Callable[[], Settings],
    stream: Stream,
    apache_kafka: ApacheKafka,
    tmp_path: Path,
) -> None:
    produce(apache_kafka.bootstrap_servers, stream.name, [b"0"])
    with Lake(here) as lake:
        ingest(lake, stream, here)
    spool(here, b"0")
    backups, there = tmp_path / "backups", elsewhere()
    for point in ("backup.catalog", "backup.written"):
        killed_at(point, f"back_up(settings, Path({str(backups)!r}), now=datetime.now())", here)
        assert backups_of(backups) == []
    with pytest.raises(BackupError, match="holds no backup"):
        restore(there, backups)
    with upkeep_lock(here), pytest.raises(StreamBusy, match="upkeep"):
        back_up(here, backups, now=NOON)
    report = back_up(here, backups, now=NOON)
    with pytest.raises(BackupError, match="knows of no collector's session"):
        restore(there, backups, session=True)
    for point in ("restore.files", "restore.spool"):
        killed_at(point, f"restore(settings, Path({str(backups)!r}))", there)
    restore(there, backups)
    with Lake(there) as lake:
        assert numbers(lake, stream) == [0]
    name, size = next(iter(report.manifest.lake.items()))
    torn = report.folder / "lake" / name
    torn.unlink()
    torn.write_bytes(b"x" * (size - 1))
    with pytest.raises(BackupError, match=r"has .* bytes and not"):
        restore(elsewhere(), backups)


def test_checks_begin_anew_where_dagster_knows_later_batches_than_the_restored_lake(
    here: Settings, stream: Stream, apache_kafka: ApacheKafka
) -> None:
    instance, session = DagsterInstance.ephemeral(), LakeSession(here)
    checked = CheckedBatches(instance)
    checked.advance({stream.name: 7})
    produce(apache_kafka.bootstrap_servers, stream.name, [b"0"])
    log = open_log(stream, here)
    try:
        ingest(session.lake, stream, here)
        session.lake.query(f"insert into raw.{stream.name} (batch_id) values (1)")
        produce(apache_kafka.bootstrap_servers, stream.name, [b"1"])
        landed = ingest_batch(session, instance, stream, log, run_id="-")
    finally:
        log.close()
        session.lake.close()
    assert not all(check.passed for check in landed.checks)
    assert checked.last(stream.name) == 0


@pytest.mark.mosquitto
def test_a_restored_system_fetches_what_the_mqtt_broker_queued_where_it_takes_the_session_over(
    here: Settings, elsewhere: Callable[[], Settings], mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """Without being told so it is another client: the one that was backed up may run still."""
    broker = {"mqtt_host": mosquitto.host, "mqtt_port": mosquitto.port}
    was = here.replaced(**broker)
    with Lake(was) as lake:
        lake.prepare([SPOOLED.name])
    with running(mqtt_collector(was, [SPOOLED])):
        pass
    publish(mosquitto, [("spooled/a", b"queued")])
    report = back_up(was, tmp_path / "backups", now=NOON)
    fetched = {}
    for session in (False, True):
        there = elsewhere().replaced(**broker)
        restore(there, report.folder, session=session)
        with running(mqtt_collector(there, [SPOOLED])) as collector:
            mine = b"new %d" % session
            publish(mosquitto, [("spooled/a", mine)])
            wait_until(
                lambda there=there, mine=mine: (
                    [row["value"] for row in spooled(there.data_dir, SPOOLED.name)][-1:] == [mine]
                )
            )
            fetched[session] = collector.status()["messages"]
    assert fetched == {False: 1, True: 3}  # queued, the other's new, its own new


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than the lake's, one of which is in memory."""
    places = ("/dev/shm", "/var/tmp")
    other = next(place for place in places if os.stat(place).st_dev != tmp_path.stat().st_dev)
    folder = Path(tempfile.mkdtemp(dir=other))
    yield folder
    shutil.rmtree(folder)


def test_a_backup_on_another_disk_is_a_copy_and_only_of_what_is_new(
    here: Settings, stream: Stream, apache_kafka: ApacheKafka, other_disk: Path
) -> None:
    with Lake(here) as lake:
        produce(apache_kafka.bootstrap_servers, stream.name, [b"0"])
        ingest(lake, stream, here)
        first = back_up(here, other_disk, now=NOON)
        produce(apache_kafka.bootstrap_servers, stream.name, [b"1"])
        ingest(lake, stream, here)
        second = back_up(here, other_disk, now=NOON + timedelta(hours=1))
    assert first.files_copied == len(first.manifest.lake) > 0
    assert second.files_copied == len(second.manifest.lake) - len(first.manifest.lake) > 0


def killed_at(point: str, call: str, settings: Settings) -> None:
    """Run a call in a process of its own that kills itself at a fault point."""
    url = settings.catalog.get_secret_value() if settings.catalog else ""
    code = f"""
import os, signal
from datetime import datetime
from pathlib import Path
from ingestion.backup.backup import back_up, restore
from ingestion.faultpoints import install_hook
from ingestion.settings import load_settings
install_hook(lambda name: os.kill(os.getpid(), signal.SIGKILL) if name == {point!r} else None)
settings = load_settings(data_dir=Path({str(settings.data_dir)!r}), catalog={url!r})
{call}
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
