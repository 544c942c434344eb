"""A data folder of an earlier day (golden.tar.xz): today's code opens it, goes on and proves it.

What is in it is said in make_golden.py. A change that cannot open it needs a migration, not a new archive.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from tests.frozen import golden
from tests.frozen.commands import PROJECT, Commands, environment
from tests.frozen.conftest import Place
from tests.frozen.golden import KAFKA_STREAM, MQTT_STREAM, Golden
from tests.frozen.memory_log import MemoryLog, Part
from tests.frozen.product import COMMAND, Lake, MillraceError, declared, land, prove
from tests.servers.mosquitto import Mosquitto


def tables(place: Place, expected: dict[str, Any]) -> dict[str, Any]:
    """What the tables hold now, in the columns that they had."""
    return {
        name: golden.digest(place.query, name, known["columns"]) for name, known in expected["tables"].items()
    }


def defects(place: Place, stream: str) -> tuple[object, ...]:
    with Lake(place.settings(), read_only=True) as lake:
        return prove(lake, stream).defects


def positions(place: Place, stream: str) -> dict[str, list[int]]:
    """Partition → the position of every event in raw and in the rejects that did not land later."""
    found = place.query(
        f"select source_partition, position from raw.{stream} union all "
        f"select source_partition, position from raw.rejects where stream = '{stream}' and event_id not in "
        "(select event_id from raw.reject_resolutions where outcome = 'landed') order by all"
    ).to_pylist()
    names = sorted({row["source_partition"] for row in found})
    return {name: [row["position"] for row in found if row["source_partition"] == name] for name in names}


def test_every_table_reads_as_it_was_written(place: Place, unpacked: Golden) -> None:
    assert len(unpacked.expected["tables"]) > 10
    assert tables(place, unpacked.expected) == unpacked.expected["tables"]


def test_the_ledgers_are_proven_and_hold_what_the_topic_held(place: Place, unpacked: Golden) -> None:
    for stream in (KAFKA_STREAM, MQTT_STREAM):
        assert defects(place, stream) == ()
    state = place.query(
        "select source_partition, stream, max(end_position) as next, arg_max(log_id, batch_id) as log_id, "
        "max(batch_id) as last_batch_id from raw.batches group by all"
    )
    found = {row.pop("source_partition"): row for row in state.to_pylist()}
    assert found == unpacked.expected["positions"]
    held = {
        (each["partition"], each["position"]): each["value"]
        for each in unpacked.kafka
        if each["position"] < found[f"{KAFKA_STREAM}-{each['partition']}"]["next"]
    }
    landed = place.query(f"select source_partition, position, payload from raw.{KAFKA_STREAM}").to_pylist()
    for row in landed:
        sent = held[int(row["source_partition"].rpartition("-")[2]), row["position"]]
        text = None if sent is None else bytes.fromhex(sent).decode()
        assert row["payload"] == (
            text and text.replace("{'order_event_id': 'e7'}", '{"order_event_id": "e7"}')
        )
    assert {name: len(each) for name, each in positions(place, KAFKA_STREAM).items()} == {
        f"{KAFKA_STREAM}-0": 10,
        f"{KAFKA_STREAM}-1": 7,
    }


def test_it_is_backed_up_and_migrated_by_the_first_command_that_writes(
    place: Place, unpacked: Golden
) -> None:
    assert place.millrace("query", "select 1").err == ""  # reading leaves it as it is
    said = place.millrace("verify", MQTT_STREAM).err.splitlines()
    words = [line.split(" ")[0] for line in said]
    assert (words[0], {*words[1:-1]}, words[-1]) == ("backing", {"migrating"}, "going")
    (backup,) = (place.data / "backups" / "of-version-0").glob("*/manifest.json")
    assert str(backup.parent) in said[-1]
    assert tables(place, unpacked.expected) == unpacked.expected["tables"]
    assert place.millrace("verify", MQTT_STREAM).err == ""


def test_rejects_are_still_known_and_can_be_dismissed(place: Place) -> None:
    rows = json.loads(place.millrace("rejects", "list", KAFKA_STREAM, "--all", "--json").out)
    assert sorted((row["reason"], row["outcome"]) for row in rows) == [
        ("empty", "dismissed"),
        ("not_json", "landed"),
        ("not_utf8", "open"),
        ("too_large", "landed"),
    ]
    (waiting,) = [row["event_id"] for row in rows if row["outcome"] == "open"]
    shown = json.loads(place.millrace("rejects", "show", KAFKA_STREAM, waiting, "--json").out)
    assert bytes.fromhex(shown["payload_hex"]) == b"\xff\xfe no text"
    assert place.millrace("rejects", "retry", KAFKA_STREAM, waiting).code == 1
    assert place.millrace("rejects", "resolve", KAFKA_STREAM, waiting, "--note", "known").code == 0
    assert place.millrace("rejects", "list", KAFKA_STREAM).out == "no open rejects\n"


def test_what_waits_in_the_spool_lands_behind_the_shift(place: Place, unpacked: Golden) -> None:
    last = max(positions(place, MQTT_STREAM)[f"{MQTT_STREAM}-0"])
    landed = json.loads(place.millrace("ingest", MQTT_STREAM, "--json").out)
    assert landed["events_landed"] == unpacked.expected["waiting_in_spool"]
    assert landed["batch_id"] == unpacked.expected["positions"][f"{MQTT_STREAM}-0"]["last_batch_id"] + 1
    new = place.query(f"select payload from raw.{MQTT_STREAM} where position > {last} order by position")
    assert new["payload"].to_pylist() == unpacked.expected["waiting_payloads"]
    count = last + 1 + unpacked.expected["waiting_in_spool"]
    assert positions(place, MQTT_STREAM) == {f"{MQTT_STREAM}-0": list(range(count))}
    assert defects(place, MQTT_STREAM) == ()
    assert place.millrace("ingest", MQTT_STREAM).out == f"{MQTT_STREAM}: nothing new\n"
    assert len(list((place.data / "spool" / MQTT_STREAM).glob("*.spool"))) == 1  # trimmed: the newest stays


@pytest.mark.parametrize("first", [(), (("ingest", MQTT_STREAM),)], ids=["as it is", "after a batch"])
def test_the_recount_is_ok(place: Place, first: tuple[tuple[str, ...], ...]) -> None:
    for arguments in first:
        assert place.millrace(*arguments).code == 0
    result = place.millrace("verify", MQTT_STREAM, "--json")
    assert result.code == 0, result
    (count,) = json.loads(result.out)
    assert (count["verdict"], count["findings"]) == ("ok", [])
    (partition,) = count["partitions"]
    assert (partition["findings"], partition["unread"]) == ([], 0 if first else 9)


def test_what_has_no_bytes_beside_it_is_left_by_a_replay_from_raw(place: Place, unpacked: Golden) -> None:
    result = place.millrace("replay", KAFKA_STREAM, "--from-raw", "--no-models", "--json")
    assert result.code == 0, result
    assert json.loads(result.out)["read"] == 0
    assert tables(place, unpacked.expected) == unpacked.expected["tables"]
    refused = place.millrace("replay", KAFKA_STREAM, "--from-raw", "--from", "2026-03-01")
    assert (refused.code, "leave --from and --to out" in refused.err) == (1, True)


def test_an_adopted_spool_needs_no_second_adoption(place: Place, unpacked: Golden) -> None:
    assert place.millrace("verify", MQTT_STREAM).code == 0  # makes the table of writers, which adopt lacks
    result = place.millrace("adopt", MQTT_STREAM, "--json")
    assert result.code == 0, result
    adopted = json.loads(result.out)
    assert adopted["broken"] == ""
    assert adopted["position"] == unpacked.expected["positions"][f"{MQTT_STREAM}-0"]["next"]
    assert adopted["events"] == unpacked.expected["waiting_in_spool"]


@pytest.mark.mosquitto
def test_the_collector_goes_on_with_its_session_and_its_spool(
    place: Place, unpacked: Golden, mosquitto: Mosquitto
) -> None:
    """What the broker queued for the known client id comes; a client of another name would not get it."""
    ours = Client(
        CallbackAPIVersion.VERSION2, client_id=unpacked.expected["mqtt_client_id"], clean_session=False
    )
    subscribed: list[object] = []
    ours.on_subscribe = lambda *_: subscribed.append(True)
    ours.connect(mosquitto.host, mosquitto.port)
    ours.loop_start()
    ours.subscribe([(name, 1) for name in unpacked.expected["mqtt_subscriptions"]])
    until(lambda: subscribed)
    ours.disconnect()
    ours.loop_stop()
    sender = Client(CallbackAPIVersion.VERSION2)
    sender.connect(mosquitto.host, mosquitto.port)
    sender.loop_start()
    sender.publish("plant/line0/m0/telemetry", b'{"reading_id": "queued"}', qos=1).wait_for_publish(20)
    sender.disconnect()
    sender.loop_stop()

    variables = {
        "MILLRACE_DATA_DIR": str(place.data),
        "MILLRACE_STREAMS_FILE": str(golden.STREAMS_FILE),
        "MILLRACE_MQTT_HOST": mosquitto.host,
        "MILLRACE_MQTT_PORT": str(mosquitto.port),
    }
    collector = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "collect"],
        cwd=PROJECT, env=environment() | variables, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        until(lambda: collected(place.data) >= 1)
    finally:
        collector.send_signal(signal.SIGTERM)
        _, said = collector.communicate(timeout=60)
    assert collector.returncode == 0, said
    session = json.loads((place.data / "collector" / "session.json").read_text())
    assert session["client_id"] == unpacked.expected["mqtt_client_id"]
    landed = json.loads(place.millrace("ingest", MQTT_STREAM, "--json").out)
    assert landed["events_landed"] == unpacked.expected["waiting_in_spool"] + 1
    newest = place.query(f"select payload from raw.{MQTT_STREAM} order by position desc limit 1")
    assert newest["payload"].to_pylist() == ['{"reading_id": "queued"}']
    assert defects(place, MQTT_STREAM) == ()


@pytest.mark.parametrize("session", [True, False])
def test_the_backup_is_restored_and_goes_on(
    place: Place, unpacked: Golden, new_database: Callable[[], str], commands: Commands, tmp_path: Path,
    session: bool,
) -> None:  # fmt: skip
    there = Place(tmp_path / "there", new_database(), commands)
    options = ["--session"] if session else []
    result = there.millrace("restore", str(unpacked.backups), *options, "--json")
    assert result.code == 0, result
    assert tables(there, unpacked.expected) == unpacked.expected["tables"]
    file = there.data / "collector" / "session.json"
    known = json.loads(file.read_text())["client_id"] if file.exists() else ""
    assert known == (unpacked.expected["mqtt_client_id"] if session else "")
    landed = json.loads(there.millrace("ingest", MQTT_STREAM, "--json").out)
    assert landed["events_landed"] == unpacked.expected["waiting_in_spool"]
    for stream in (KAFKA_STREAM, MQTT_STREAM):
        assert defects(there, stream) == ()
    assert there.millrace("verify", MQTT_STREAM).code == 0


def test_a_backup_of_it_can_be_taken_and_restored(
    place: Place, unpacked: Golden, new_database: Callable[[], str], commands: Commands, tmp_path: Path
) -> None:
    assert place.millrace("backup", str(tmp_path / "backups")).code == 0
    there = Place(tmp_path / "there", new_database(), commands)
    assert there.millrace("restore", str(tmp_path / "backups")).code == 0
    assert tables(there, unpacked.expected) == unpacked.expected["tables"]


def test_the_topic_goes_on_where_the_ledger_ends(place: Place, unpacked: Golden) -> None:
    known = {
        name: row for name, row in unpacked.expected["positions"].items() if row["stream"] == KAFKA_STREAM
    }
    assert len(known) == 2
    log = MemoryLog(
        {name: Part(row["next"], [b"1", b"{", None], row["log_id"]) for name, row in known.items()}
    )
    settings = place.settings()
    report = land(settings, declared(settings, KAFKA_STREAM), log)
    assert (report.batch_id, report.events_landed, report.events_rejected) == (7, 4, 2)
    assert log.confirmed == {name: row["next"] + 3 for name, row in known.items()}
    assert positions(place, KAFKA_STREAM) == {
        name: list(range(row["next"] + 3)) for name, row in known.items()
    }
    assert defects(place, KAFKA_STREAM) == ()


@pytest.mark.parametrize(
    ("begin", "log_id", "words"),
    [(0, "another", "deleted and made again"), (1, None, "ends at"), (1000, None, "retention deleted")],
)
def test_a_topic_that_does_not_continue_it_is_refused(
    place: Place, unpacked: Golden, begin: int, log_id: str | None, words: str
) -> None:
    known = {
        name: row for name, row in unpacked.expected["positions"].items() if row["stream"] == KAFKA_STREAM
    }
    log = MemoryLog({name: Part(begin, [b"1"], log_id or row["log_id"]) for name, row in known.items()})
    settings = place.settings()
    with pytest.raises(MillraceError, match=words):
        land(settings, declared(settings, KAFKA_STREAM), log)
    assert tables(place, unpacked.expected) == unpacked.expected["tables"]


def collected(data: Path) -> int:
    """Messages that the running collector has taken, as its status says."""
    try:
        return int(json.loads((data / "collector" / "status.json").read_text())["messages"])
    except (OSError, ValueError):
        return 0


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
