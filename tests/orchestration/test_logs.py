"""`millrace logs`: lines of every program that runs here in one format, and failed runs as sentences."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dagster import DagsterInstance, Failure, asset, job, materialize, op

from ingestion.errors import ConfigError, LogTruncated
from ingestion.settings import Settings
from orchestration.cli.logs import logs, parse_since
from orchestration.keys import STREAMS_TAG
from orchestration.records.log_lines import read_lines
from orchestration.records.logs import ServiceLogs
from orchestration.records.reader import DagsterRecords
from orchestration.system.logs import close_log, own_log

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
UTC_NOON = "2026-11-26 12:00:00.000 UTC [19]"
LOCAL = f"{NOON.astimezone():%Y-%m-%d %H:%M:%S}"
"""Noon UTC as a program writes it that uses this machine's time zone."""


@pytest.mark.parametrize(
    ("line", "level", "text"),
    [
        (f"{UTC_NOON} LOG:  listening", "info", "listening"),
        (f"{UTC_NOON} FATAL:  no such role", "error", "no such role"),
        (f"{UTC_NOON} FATAL:  the database system is starting up", "info", "the database"),
        (f'{UTC_NOON} ERROR:  relation "ducklake.millrace_versions" does not exist', "info", "relation"),
        (
            f'{UTC_NOON} ERROR:  duplicate key value violates unique constraint "ducklake_x"',
            "info", "duplicate key",
        ),
        (f"{LOCAL} [info     ] connected                      broker=b:1", "info", "connected  broker=b:1"),
        (f"\x1b[2m{LOCAL}\x1b[0m [\x1b[33mwarning  \x1b[0m] rejected", "warning", "rejected"),
        ("2026-11-26 13:00:00 +0100 - dagster.daemon - ERROR - lost it", "error", "lost it"),
        (f"{LOCAL},000 WARNING amqtt.client closed", "warning", "amqtt.client closed"),
        ("2026-11-26T12:00:00.000000Z  WARN tansu: slow", "warning", "tansu: slow"),
        ("INFO:     Uvicorn running", "info", "Uvicorn running"),
        ("/usr/lib/x.py:254: UserWarning: careful", "warning", "careful"),
        ("tansu broker 0.6.0", "info", "tansu broker 0.6.0"),
    ],
)  # fmt: skip
def test_each_program_begins_a_line_in_its_own_way(line: str, level: str, text: str) -> None:
    (record,) = read_lines([line], service="s", otherwise=NOON)
    assert (record.at, record.level) == (NOON, level)
    assert record.text.startswith(text)


def test_a_traceback_is_one_record_that_says_how_it_ended() -> None:
    lines = [
        "2026-11-26 12:00:00 +0000 - dagster.daemon - ERROR - Sensor failed:",
        "Traceback (most recent call last):",
        '  File "x.py", line 1, in x',
        "psycopg2.OperationalError: server closed the connection",
        "",
        "2026-11-26 12:00:01.000 UTC [1] LOG:  next",
        "2026-11-26 12:00:01.000 UTC [1] DETAIL:  of it",
    ]
    first, second = read_lines(lines, service="daemon", otherwise=LONG_AGO)
    assert first.text == "Sensor failed: | psycopg2.OperationalError: server closed the connection"
    assert (first.level, first.more, second.text, second.more) == ("error", 3, "next", 1)


def test_files_are_read_from_where_the_last_look_ended(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    file = folder / "web.log"

    def look() -> list[str]:
        return [line.text for line in reader.new(since=LONG_AGO)]

    reader = ServiceLogs(tmp_path)
    file.with_suffix(".log.1").write_text("2026-11-26 11:00:00.000 UTC [1] LOG:  older\n")
    file.write_text(
        "2026-11-26 12:00:00.000 UTC [1] LOG:  one\n2026-11-26 12:00:00.000 UTC [1] LOG:  half a li"
    )
    assert look() == ["older", "one"]
    with file.open("a") as writing:
        writing.write("ne\n")
    assert look() == ["half a line"]
    assert look() == []
    os.truncate(file, 0)  # as trim_logs does
    file.write_text("2026-11-26 13:00:00.000 UTC [1] LOG:  anew\n")
    assert look() == ["anew"]
    assert reader.services() == {"web"}
    (folder / "runs").mkdir()
    (folder / "runs" / "0123456789.log").write_text(
        "2026-11-26 13:00:00 +0000 - dagster - ERROR - refresh - STEP_FAILURE - x\n"
        "Traceback (most recent call last):\n"
        "2026-11-26 13:00:01 +0000 - kafka - WARNING - odd\n"
        "2026-11-26 13:00:01 +0000 - kafka - INFO - usual\n"
    )
    assert look() == ["run 01234567: odd"]


def test_the_supervisor_has_a_log(tmp_path: Path) -> None:
    import logging

    handler = own_log(tmp_path / "logs")
    logging.getLogger("orchestration.services.supervisor").warning("%s ended by itself", "kafka")
    close_log(handler)
    (line,) = ServiceLogs(tmp_path).new(since=datetime.now(UTC) - timedelta(minutes=5))
    assert (line.service, line.level, line.text) == ("supervisor", "warning", "kafka ended by itself")


def test_a_failed_run_is_a_sentence(
    settings: Settings, instance: DagsterInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    @asset
    def broken() -> None:
        raise LogTruncated("stream 'orders': orders-0 was deleted and made again")

    @op
    def given() -> None:
        raise Failure("model marts/x: a column is missing", allow_retries=False)

    @job
    def build() -> None:
        given()

    tags = {STREAMS_TAG: "orders,payments"}
    first = materialize([broken], instance=instance, tags=tags, raise_on_error=False)
    second = build.execute_in_process(instance=instance, raise_on_error=False)
    records = DagsterRecords(settings)
    failed = records.failures(since=datetime.now(UTC) - timedelta(hours=1))
    assert [run.run_id for run in failed] == [first.run_id, second.run_id]
    assert [run.cause for run in failed] == [
        "stream 'orders': orders-0 was deleted and made again", "model marts/x: a column is missing",
    ]  # fmt: skip
    assert "of orders, payments) failed after" in failed[0].sentence
    assert records.failures(since=datetime.now(UTC) + timedelta(hours=1)) == []
    assert records.run_ids(first.run_id[:8]) == [first.run_id]
    records.close()
    folder = settings.data_dir / "logs"
    folder.mkdir()
    (folder / "web.log").write_text(f"{datetime.now():%Y-%m-%d %H:%M:%S} [info     ] usual\n")
    capsys.readouterr()
    code = logs(settings, service=None, since="1h", errors=True, follow=False, as_json=True)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert [(line["service"], line["level"]) for line in lines] == [("runs", "error")] * 2
    assert lines[1]["text"].endswith("a column is missing")
    logs(settings, service="web", since="1h", errors=False, follow=False, as_json=False)
    assert capsys.readouterr().out.split()[2:] == ["web", "info", "usual"]
    with pytest.raises(ConfigError, match="no log of 'wbe'; there are runs, web"):
        logs(settings, service="wbe", since="1h", errors=False, follow=False, as_json=False)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30min", 1800), ("2h", 7200), ("7d", 604_800), ("1.5 h", 5400)]
)
def test_how_far_back(text: str, seconds: float) -> None:
    assert parse_since(text, now=NOON) == NOON - timedelta(seconds=seconds)


def test_how_far_back_as_a_time() -> None:
    assert parse_since("2026-11-26T12:00", now=NOON) == NOON
    assert parse_since("2026-11-26T13:00+01:00", now=NOON) == NOON
    with pytest.raises(ConfigError, match="--since 'soon' is neither a span nor a time"):
        parse_since("soon", now=NOON)
