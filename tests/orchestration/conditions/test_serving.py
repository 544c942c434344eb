"""Marts in PostgreSQL that stay behind are a condition, with the reason."""

import time
from pathlib import Path

from orchestration.observe.serving import Serving
from orchestration.records.serving_status import ServingStatus, publishing_seconds, write_status
from orchestration.records.system_state import ServiceRow

RUNNING = [ServiceRow("serving", True, 7, 0, "")]


def said(folder: Path, services: list[ServiceRow] = RUNNING, *, pid: int = 7, **status: object) -> list[str]:
    write_status(folder, ServingStatus(pid, time.time(), **status))  # type: ignore[arg-type]
    return [finding.sentence for finding in Serving(folder).look(services)]


def test_what_stands_is_said_and_why(tmp_path: Path) -> None:
    now = time.time()
    assert list(Serving(tmp_path).look(RUNNING)) == []  # it has not begun
    assert said(tmp_path, waits_since=now - 5, unfinished={"orders": now - 60}) == []
    assert said(tmp_path, error="the server is away") == [
        "marts in PostgreSQL stay as they are: the server is away"
    ]
    (behind,) = said(tmp_path, waits_since=now - 120)
    assert "more than a minute behind the lake" in behind
    (unfinished,) = said(tmp_path, unfinished={"orders": now - 3_600, "lines": now})
    assert "same streams as orders stay" in unfinished
    assert said(tmp_path, [], error="what an earlier process said") == []
    assert said(tmp_path, pid=8, error="what an earlier process said") == []


def test_what_waits_grows_and_what_is_published_stays() -> None:
    status = ServingStatus(7, 100.0, noted={"orders": 90.0, "lines": 95.0}, shown={"orders": 92.5})
    assert publishing_seconds(status, now=100.0) == {"orders": 2.5, "lines": 5.0}
    assert publishing_seconds(status, now=160.0) == {"orders": 2.5, "lines": 65.0}
