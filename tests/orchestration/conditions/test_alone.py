"""What watches a system needs nothing of it: it reports while PostgreSQL, Dagster and a disk are dead."""

import dataclasses
import time
from collections import Counter
from pathlib import Path

import pytest

from ingestion.declare.stream import Stream
from ingestion.settings import load_settings
from orchestration.conditions.kinds import KINDS
from orchestration.observe import sources
from orchestration.observe.watch import Watch
from orchestration.records.system_state import ServiceRow
from tests.servers.webhook import Webhook
from tests.waiting import eventually


def test_openings_and_ends_reach_the_webhook_once_while_everything_else_is_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, kind in list(KINDS.items()):
        monkeypatch.setitem(KINDS, name, dataclasses.replace(kind, patience_seconds=0.0))  # type: ignore[attr-defined]
    monkeypatch.setattr(sources, "STALE_SECONDS", 0.0)
    monkeypatch.setattr(sources, "_BROKER_SECONDS", 0.2)
    lake = tmp_path / "disk"
    lake.mkdir()
    stream = Stream.model_validate({"name": "orders", "source": {"kafka": "orders"}})
    with Webhook() as hook:
        settings = load_settings(
            data_dir=tmp_path, catalog="postgresql://nobody@127.0.0.1:1/lake", lake_path=str(lake),
            alert_webhook_url=hook.url, kafka_bootstrap_servers="127.0.0.1:1",
        )  # fmt: skip
        watch = Watch(settings)
        watch.start(settings, None, questions={}, streams=lambda: [stream])
        pids: dict[str, int | None] = {"daemon": None, "warm": None}

        def look() -> Counter[tuple[str, str]]:
            rows = [ServiceRow(name, pid is not None, pid, 0, "") for name, pid in pids.items()]
            watch.look(rows, [])
            return Counter((each["event"], each["name"]) for each in hook.taken)

        def posted(event: str, *names: str) -> None:
            wanted = {(f"condition_{event}", name) for name in names}
            eventually(lambda: wanted <= look().keys(), f"{names}")

        posted("opened", "catalog_unreachable", "service_down", "source_unreachable")
        lake.rmdir()
        posted("opened", "files_not_writable")
        lake.mkdir()
        posted("closed", "files_not_writable")
        pids.update(dict.fromkeys(pids, 1))
        monkeypatch.setattr("orchestration.observe.machine._PROVEN_SECONDS", 0.0)
        both = [("condition_opened", "service_down"), ("condition_closed", "service_down")]
        eventually(lambda: [look()[each] for each in both] == [2, 2], "both services were down and are back")
        for _ in range(10):
            time.sleep(0.1)
            counts = look()
        watch.stop()
    assert counts["condition_opened", "files_not_writable"] == 1
    assert counts["condition_closed", "files_not_writable"] == 1
    assert counts["condition_opened", "service_down"] == counts["condition_closed", "service_down"] == 2
    assert counts["condition_opened", "catalog_unreachable"] == 1
    assert counts["condition_opened", "source_unreachable"] == 1
