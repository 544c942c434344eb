"""Error texts that a user may see, each with the situation that gives it.

Nearly all come from the command line; logs that a broker could hold are in memory. How they are compared
and stored again: snapshot.py.
"""

import fcntl
import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest

from tests.frozen.book import Book
from tests.frozen.commands import Commands
from tests.frozen.conftest import Place
from tests.frozen.golden import KAFKA_STREAM, MQTT_STREAM, Golden
from tests.frozen.memory_log import MemoryLog, Part
from tests.frozen.product import MillraceError, declared, land
from tests.frozen.snapshot import check
from tests.frozen.stream_mistakes import MISTAKES

CLOSED = "127.0.0.1:1"


@pytest.mark.slow("a hundred and more commands, each with a mistake of its own")
def test_errors(
    place: Place, unpacked: Golden, new_database: Callable[[], str], commands: Commands, tmp_path: Path
) -> None:
    book = Book(place, tmp_path)
    assert place.millrace("verify", MQTT_STREAM).code == 0  # makes the table of writers, which adopt lacks
    streams_file(book, tmp_path)
    usage(book)
    brokers_and_catalog(book, new_database, tmp_path)
    spools(book, place)
    topics(book, place, unpacked)
    rejects_and_replays(book)
    queries(book)
    held_locks(book, place)
    backups(book, place, unpacked, new_database, tmp_path)
    damage(book, place)
    text = book.text()
    assert str(tmp_path) not in text
    check("errors.txt", text)


def streams_file(book: Book, tmp_path: Path) -> None:
    book.chapter("streams.yml")
    file = tmp_path / "streams.yml"
    for mistake, text in MISTAKES.items():
        file.write_text(text)
        book.run(mistake, "ingest", streams_file=file)
    file.write_bytes(b"a: \xff")
    book.run("the file is not UTF-8", "ingest", streams_file=file)
    book.run("the file is missing", "ingest", streams_file=tmp_path / "none.yml")
    file.write_text("")
    book.run("no stream at all, and one is named", "ingest", "orders", streams_file=file)
    book.run("no MQTT stream to collect", "collect", streams_file=file, mqtt_host="127.0.0.1")


def usage(book: Book) -> None:
    book.chapter("wrong usage")
    book.run("unknown option", "--bad")
    book.run("unknown option of a command", "status", "--bad")
    book.run("unknown command", "nonsense")
    book.run("unknown command below rejects", "rejects", "nonsense")
    book.run("missing argument", "backup")
    book.run("missing stream", "replay")
    book.run("missing note", "rejects", "resolve", KAFKA_STREAM)
    book.run("no number", "query", "select 1", "--limit", "few")
    book.run("number too small", "demo", "--for", "1")
    book.run("number too large", "demo", "--rate", "99")
    book.run("no file of a service", "service")
    book.run("no time", "verify", "--from", "yesterday")
    book.run("two formats", "query", "select 1", "--json", "--csv")
    for command in ("ingest", "verify", "replay", "adopt"):
        book.run("misspelt stream", command, "production_order")
    book.run("misspelt stream", "rejects", "list", "plant_telemetri")
    book.run("unknown stream", "rejects", "show", "nowhere", "nowhere-0@1")


def brokers_and_catalog(book: Book, new_database: Callable[[], str], tmp_path: Path) -> None:
    book.chapter("brokers and the catalog")
    book.run("no Kafka is configured", "ingest", KAFKA_STREAM)
    away = {"kafka_bootstrap_servers": CLOSED, "source_timeout_seconds": 0.3}
    for client in ("kafka-python", "librdkafka"):
        book.run(f"Kafka is away ({client})", "ingest", KAFKA_STREAM, kafka_client=client, **away)
    book.run("Kafka is away: only the lake is recounted", "verify", KAFKA_STREAM, **away)
    book.run("Kafka is away: nothing is replayed", "replay", KAFKA_STREAM, "--no-models", **away)
    book.run("no MQTT broker is configured", "collect")
    book.run(
        "a certificate that is missing",
        "collect", mqtt_host="127.0.0.1", mqtt_tls="true", mqtt_ca_file="/nonexistent/ca.pem",
    )  # fmt: skip
    book.run("no catalog", "query", "select 1", catalog="")
    book.run("no catalog", "ingest", MQTT_STREAM, catalog="")
    book.run("catalog is not a PostgreSQL", "query", "select 1", catalog="mysql://me@there/lake")
    book.run("catalog is away", "query", "select 1", catalog=f"postgresql://me@{CLOSED}/lake")
    empty = new_database()
    refused = re.sub("//[^@]*@", "//stranger:wrong@", empty).partition("&passfile")[0]
    book.run("catalog refuses the user", "query", "select 1", catalog=refused)
    book.run("database is missing", "query", "select 1", catalog=re.sub(r"test_\d+", "nowhere", empty))
    book.run("there is no lake yet", "query", "select 1", catalog=empty)
    book.run("another data folder", "query", "select 1", data_dir=tmp_path / "other")
    book.run("data path of a bucket", "query", "select 1", lake_path="s3://bucket/lake")


@contextmanager
def changed(folder: Path) -> Iterator[Path]:
    """A folder that may be changed: afterwards it is what it was."""
    copy = folder.with_name(f"{folder.name}.copy")
    shutil.copytree(folder, copy)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        copy.rename(folder)


def spools(book: Book, place: Place) -> None:
    book.chapter("spools")
    book.run("a Kafka stream's broker is away when it is to adopt", "adopt", KAFKA_STREAM)
    spool = place.data / "spool" / MQTT_STREAM
    with changed(spool):
        shutil.rmtree(spool)
        book.run("the spool is gone", "ingest", MQTT_STREAM)
        book.run("the spool is gone", "verify", MQTT_STREAM)
        book.run("the spool is gone", "adopt", MQTT_STREAM)
    with changed(spool):
        (spool / "continues.json").unlink()
        book.run("another spool", "ingest", MQTT_STREAM)
    with changed(spool):
        make_older(spool)
        book.run("an older copy of the spool", "ingest", MQTT_STREAM)
    with changed(spool):
        for segment in sorted(spool.glob("*.spool"))[:-1]:
            segment.unlink()
        book.run("segments were removed", "ingest", MQTT_STREAM)
        book.run("segments were removed", "verify", MQTT_STREAM)
    with changed(spool):
        sorted(spool.glob("*.spool"))[-2].unlink()
        book.run("a segment in the middle was removed", "ingest", MQTT_STREAM)
    with changed(spool):
        segment = sorted(spool.glob("*.spool"))[-2]
        whole = bytearray(segment.read_bytes())
        whole[len(whole) // 2] ^= 0xFF
        segment.write_bytes(whole)
        book.run("a segment is damaged", "ingest", MQTT_STREAM)
    with changed(spool):
        (spool / "continues.json").write_text("{")
        book.run("continues.json is damaged", "ingest", MQTT_STREAM)
    with changed(spool):
        (spool / "log_id").unlink()
        book.run("the spool's identity is missing", "ingest", MQTT_STREAM)
    session = place.data / "collector" / "session.json"
    with changed(session.parent):
        session.write_text("{")
        book.run("the MQTT session is damaged", "collect", mqtt_host="127.0.0.1")
    # The ledger remembers these: last.
    with changed(spool):
        (spool / "continues.json").unlink()
        book.run("another spool is adopted", "adopt", MQTT_STREAM)
    with changed(spool):
        make_older(spool)
        book.run("an older copy of the spool is adopted", "adopt", MQTT_STREAM)
    book.run("the right spool again after that", "ingest", MQTT_STREAM)


def make_older(spool: Path) -> None:
    """Leave what the spool held when half of its oldest segment was written."""
    oldest, *newer = sorted(spool.glob("*.spool"))
    for segment in newer:
        segment.unlink()
    with oldest.open("r+b") as file:
        file.truncate(oldest.stat().st_size // 2)


def topics(book: Book, place: Place, unpacked: Golden) -> None:
    book.chapter("logs that do not continue the lake, and too many rejects")
    known = {
        name: row for name, row in unpacked.expected["positions"].items() if row["stream"] == KAFKA_STREAM
    }
    first = min(known)
    whole = {name: Part(row["next"], [], row["log_id"]) for name, row in known.items()}
    ended = known[first]["next"] - 3
    logs = {
        "the topic was made again": whole | {first: Part(0, [b"1"], "another")},
        "the topic ends before our position": whole | {first: Part(ended, [b"1"], known[first]["log_id"])},
        "retention deleted unread events": whole | {first: Part(1000, [b"1"], known[first]["log_id"])},
    }
    settings = place.settings()
    stream = declared(settings, KAFKA_STREAM)
    for situation, parts in logs.items():
        book.add(situation, refusal(lambda parts=parts: land(settings, stream, MemoryLog(parts))))
    strict = place.data.parent / "strict.yml"
    strict.write_text(f"{KAFKA_STREAM}: {{source: {{kafka: {KAFKA_STREAM}}}, max_reject_share: 0.1}}\n")
    half = whole | {first: Part(known[first]["next"], [b"{", b"1"] * 20, known[first]["log_id"])}
    careful = declared(settings.model_copy(update={"streams_file": strict}), KAFKA_STREAM)
    book.add("too many rejects", refusal(lambda: land(settings, careful, MemoryLog(half))))


def refusal(attempt: Callable[[], object]) -> str:
    """What a refused call says."""
    try:
        attempt()
    except MillraceError as error:
        return str(error)
    raise AssertionError("it was not refused")


def rejects_and_replays(book: Book) -> None:
    book.chapter("rejects and replays")
    book.run("no such reject", "rejects", "show", KAFKA_STREAM, f"{KAFKA_STREAM}-0@99")
    book.run("no such reject", "rejects", "retry", KAFKA_STREAM, f"{KAFKA_STREAM}-0@99")
    book.run(
        "no such reject of this reason",
        "rejects", "retry", KAFKA_STREAM, f"{KAFKA_STREAM}-0@6", "--reason", "not_json",
    )  # fmt: skip
    book.run("nothing says which", "rejects", "resolve", KAFKA_STREAM, "--note", "why")
    book.run("an empty note", "rejects", "resolve", KAFKA_STREAM, f"{KAFKA_STREAM}-0@7", "--note", " ")
    book.run("still no JSON", "rejects", "retry", MQTT_STREAM)
    book.run("neither a position nor a time", "replay", KAFKA_STREAM, "--from", "soon")
    book.run(
        "two partitions",
        "replay", KAFKA_STREAM, "--from", f"{KAFKA_STREAM}-0@1", "--to", f"{KAFKA_STREAM}-1@5",
    )  # fmt: skip
    book.run("unknown partition", "replay", KAFKA_STREAM, "--from", f"{KAFKA_STREAM}-7@1")


def queries(book: Book) -> None:
    book.chapter("queries")
    book.run("a change", "query", f"delete from raw.{KAFKA_STREAM}")
    book.run("two statements", "query", "select 1; select 2")
    book.run("no SQL", "query", "selec 1")
    book.run("an unknown table", "query", "select * from marts.machine_statuses")
    book.run("another file", "query", "select * from read_text('/etc/hostname')")


def held_locks(book: Book, place: Place) -> None:
    book.chapter("somebody else is at work")
    with closing(psycopg2.connect(place.catalog)) as other, other.cursor() as cursor:
        cursor.execute("select pg_advisory_lock(%s, hashtext(%s))", (0x4D494C4C, MQTT_STREAM))
        book.run("a batch is being written", "ingest", MQTT_STREAM)
    for name, arguments in (
        ("collector/lock", ("collect",)),
        ("system.lock", ("restore", "backups")),
        ("system.lock", ("up", "--no-ui")),
    ):
        path = place.data / name
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            book.run(f"{name} is held", *arguments, mqtt_host="127.0.0.1")
        path.unlink()


def backups(
    book: Book, place: Place, unpacked: Golden, new_database: Callable[[], str], tmp_path: Path
) -> None:
    book.chapter("backups")
    there = {"data_dir": tmp_path / "there", "catalog": new_database()}
    (backup,) = unpacked.backups.iterdir()
    empty = tmp_path / "empty"
    empty.mkdir()
    book.run("no lake", "backup", str(empty), **there)
    book.run("into the lake's own folder", "backup", str(place.data / "lake" / "backups"))
    book.run("no backup", "restore", str(empty), **there)
    book.run("the catalog holds a lake", "restore", str(backup), data_dir=tmp_path / "there")
    (tmp_path / "there" / "lake" / "other.parquet").write_text("x")
    book.run("the folder is not empty", "restore", str(backup), **there)
    shutil.rmtree(tmp_path / "there")
    (tmp_path / "file").write_text("x")
    other = there | {"data_dir": tmp_path / "file"}
    book.run("the data folder is a file", "restore", str(backup), **other)
    manifest = backup / "manifest.json"
    for situation, change in (
        ("the manifest is damaged", lambda known: "{"),
        ("a later release wrote it", lambda known: json.dumps(known | {"format": 99, "millrace": "9.9"})),
        ("it knows no MQTT session", lambda known: json.dumps(known | {"mqtt_client_id": ""})),
    ):
        with changed(backup):
            manifest.write_text(change(json.loads(manifest.read_text())))
            book.run(situation, "restore", str(backup), "--session", **there)
    data = min((backup / "lake").rglob("*.parquet"))
    with changed(backup):
        data.unlink()
        book.run("a data file is missing", "restore", str(backup), **there)
    with changed(backup):
        data.write_bytes(b"x")
        book.run("a data file is cut", "restore", str(backup), **there)
    with changed(backup):
        (backup / "catalog" / "ducklake_data_file.copy").write_text("")
        book.run("the catalog's dump is cut", "restore", str(backup), **there)


def damage(book: Book, place: Place) -> None:
    book.chapter("a data folder in the way, and damage")
    book.run("the demo would wipe a lake", "--data-dir", str(place.data), "demo", "--for", "5", "--no-ui")
    (place.data / "demo").touch()
    book.run("a demo's folder is not a system's", "up", "--no-ui")
    (place.data / "demo").unlink()
    min((place.data / "lake" / "raw" / MQTT_STREAM).rglob("*.parquet")).unlink()
    book.run("a file of the lake is missing", "verify", MQTT_STREAM)
    book.run("a file of the lake is missing", "query", f"from raw.{MQTT_STREAM}")
