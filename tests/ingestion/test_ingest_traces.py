"""`millrace ingest` is a trace: a span for each stream's load, linked to producers, or why it failed."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from ingestion.declare.stream import Stream
from ingestion.settings import Settings, load_settings
from ingestion.spool.writer import SpoolEvent, SpoolWriter
from orchestration.cli.ingest import ingest
from tests.servers.otlp import Collector

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADERS = json.dumps({"traceparent": f"00-{TRACE}-{SPAN}-01"})
STREAMS = [
    Stream.model_validate({"name": "readings", "source": {"mqtt": "home/+"}}),
    Stream.model_validate({"name": "orders", "source": {"kafka": "orders"}}),
]


def settings_with(settings: Settings, url: str) -> Settings:
    """Settings whose .env may name a collector; of the brokers none is there."""
    (settings.data_dir.parent / ".env").write_text(f"OTEL_EXPORTER_OTLP_ENDPOINT={url}\n")
    return load_settings(
        project=settings.data_dir.parent, data_dir=settings.data_dir, catalog=settings.catalog,
        kafka_bootstrap_servers="127.0.0.1:1", source_timeout_seconds=1,
    )  # fmt: skip


def test_a_command_is_a_trace_with_a_load_for_each_stream(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_ENV_FILE", str(tmp_path / ".env"))
    with closing(SpoolWriter(settings.data_dir / "spool" / "readings")) as writer:
        writer.append([SpoolEvent(b"home/1", b"{}", HEADERS, 1), SpoolEvent(b"home/2", b"{}", None, 2)])
        writer.commit()
    with Collector() as collector:
        assert ingest(settings_with(settings, collector.url), STREAMS, as_json=True) == 1
        # Nothing is waited for: what the command has not sent when it ends is lost.
        (cycle,), (read,) = collector.spans("cycle"), collector.spans("load readings")
        (failed,) = collector.spans("load orders")
    assert (cycle.parent, read.parent, failed.parent) == ("", cycle.id, cycle.id)
    assert cycle.resource["millrace.part"] == "ingest"
    assert read.links == [(TRACE, SPAN)]
    assert read.failure is None
    assert read.values["millrace.events_landed"] == 2
    assert read.values["millrace.events_with_trace"] == 1
    assert failed.failure is not None
    assert "'orders'" in failed.failure
    steps = {each.name for each in collector.spans() if each.parent == read.id}
    assert steps == {"plan", "read", "decode", "load", "confirm"}


def test_a_collector_that_refuses_fails_no_command(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_ENV_FILE", str(tmp_path / ".env"))
    with Collector("refuses") as collector:
        assert ingest(settings_with(settings, collector.url), STREAMS[:1], as_json=True) == 0
        assert collector.asked > 0
        assert collector.spans() == []
