"""What the exporter says of a lake whose contents are known, and of one that does not answer."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from confluent_kafka.schema_registry import Schema
from pydantic import SecretStr

from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from ingestion.spool.writer import SpoolEvent, SpoolWriter
from orchestration.conditions.kinds import KINDS
from orchestration.metrics.exporter import Exporter
from orchestration.metrics.families import model_families
from orchestration.records.overview import Overview
from orchestration.records.reader import AssetRecord
from orchestration.records.system_state import streams_in_use
from orchestration.web.access import Access
from tests.formats.registering import client, record
from tests.ingestion.helpers import ingest
from tests.orchestration.metrics.scrape import labels, scrape, served
from tests.repository import REPOSITORY
from tests.servers.schema_registry import SchemaRegistry

STREAM = Stream.model_validate({"name": "things", "source": {"mqtt": "t/#"}})
THINGS = labels(stream="things")
GOOD, BAD = b'{"n": 1}', b"{"
DOCUMENTED = re.compile(r"^\| `(millrace_\w+)`", re.MULTILINE)


class Spool:
    """The stream's spool, and batches from it."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.lake = settings, Lake(settings)
        self._writer = SpoolWriter(settings.data_dir / "spool" / STREAM.name)

    def receive(self, values: list[bytes], *, age_seconds: float) -> None:
        """Store events that came so long ago."""
        at = int((datetime.now(UTC) - timedelta(seconds=age_seconds)).timestamp() * 1e6)
        self._writer.append([SpoolEvent(b"t/1", value, None, at) for value in values])
        self._writer.commit()

    def land(self) -> None:
        """One batch."""
        ingest(self.lake, STREAM, self.settings)

    def close(self) -> None:
        self._writer.close()
        self.lake.close()


@pytest.fixture
def spool(settings: Settings) -> Iterator[Spool]:
    in_use = streams_in_use(settings.data_dir)
    in_use.parent.mkdir(parents=True, exist_ok=True)
    in_use.write_text('things: {source: {mqtt: "t/#"}}\n')
    spool = Spool(settings)
    yield spool
    spool.close()


def test_every_figure_is_the_lake_s(spool: Spool) -> None:
    spool.receive([GOOD] * 3 + [BAD], age_seconds=100)
    spool.land()
    with served(Exporter(spool.settings, version="1.2.3"), Access()) as port:
        first = scrape(port)
        assert first["millrace_build_info"] == {labels(version="1.2.3"): 1}
        assert first["millrace_running"] == {labels(): 0}
        assert first["millrace_part_answers"] == {labels(part="lake"): 1, labels(part="dagster"): 1}
        assert first["millrace_open_conditions"] == {labels(kind=kind): 0 for kind in KINDS}
        assert first["millrace_stream_source_answers"] == {labels(stream="things", kind="mqtt"): 1}
        assert first["millrace_stream_landed_events_total"] == {THINGS: 3}
        assert first["millrace_stream_rejected_events_total"] == {THINGS: 1}
        assert first["millrace_stream_open_rejects"] == {THINGS: 1}
        assert first["millrace_stream_batches_total"] == {THINGS: 1}
        assert first["millrace_stream_lag_events"] == {THINGS: 0}
        assert first["millrace_stream_oldest_unread_seconds"] == {THINGS: 0}
        ((read,),) = spool.lake.query("select sum(bytes_read) from raw.batches")
        assert first["millrace_stream_read_bytes_total"] == {THINGS: read}
        assert first["millrace_stream_event_age_seconds_count"] == {THINGS: 0}  # it counts from now on


def test_ages_and_lag_follow_what_comes(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestration.metrics.exporter._SHARED_SECONDS", 0.0)
    with served(Exporter(spool.settings, version="0"), Access()) as port:
        spool.lake.prepare([STREAM.name])
        assert "millrace_stream_event_age_seconds_count" not in scrape(port)
        spool.receive([GOOD] * 2, age_seconds=100)
        spool.land()
        spool.receive([GOOD], age_seconds=7200)
        spool.land()
        spool.receive([GOOD] * 5, age_seconds=40)
        after = scrape(port)
        assert after["millrace_stream_lag_events"] == {THINGS: 5}
        (age,) = after["millrace_stream_oldest_unread_seconds"].values()
        assert 40 <= age < 100
        buckets = {
            dict(key)["le"]: value for key, value in after["millrace_stream_event_age_seconds_bucket"].items()
        }
        assert (buckets["60.0"], buckets["300.0"], buckets["3600.0"], buckets["+Inf"]) == (0, 2, 2, 3)
        assert after["millrace_stream_event_age_seconds_sum"][THINGS] >= 2 * 100 + 7200
        assert scrape(port)["millrace_stream_event_age_seconds_count"] == {THINGS: 3}, "counted once"


def test_it_answers_without_catalog_and_says_so(spool: Spool) -> None:
    nowhere = SecretStr("postgresql://me@127.0.0.1:1/lake")
    away = spool.settings.replaced(catalog=nowhere, dagster_catalog=nowhere)
    with served(Exporter(away, version="0"), Access()) as port:
        found = scrape(port)
    assert found["millrace_part_answers"] == {labels(part="lake"): 0, labels(part="dagster"): 0}
    assert "millrace_stream_landed_events_total" not in found
    assert found["millrace_disk_free_bytes"].keys() >= {labels(of="data")}


def test_a_stream_whose_fields_are_in_a_schema_registry_is_there(spool: Spool, tmp_path: Path) -> None:
    registry = SchemaRegistry(tmp_path / "registry").start()
    try:
        client(registry).register_schema("t-value", Schema(json.dumps(record(("id", "long"))), "AVRO"))
        streams_in_use(spool.settings.data_dir).write_text(
            "things: {source: {mqtt: t}, format: {avro: {schema: {subject: t-value}}}}\n"
        )
        spool.lake.prepare([STREAM.name])
        at = spool.settings.replaced(schema_registry_url=registry.url)
        with served(Exporter(at, version="0"), Access()) as port:
            assert scrape(port)["millrace_stream_lag_events"] == {THINGS: 0}
    finally:
        registry.stop()


def test_a_published_mart_has_a_hop_to_postgresql() -> None:
    overview = Overview(
        "/data", running=True, demo=False, ui_url="",
        models=(AssetRecord("marts/totals", None), AssetRecord("staging/stg_orders", None)),
        publishing={"totals": 0.25, "gone": 9.0},
    )  # fmt: skip
    (family,) = (each for each in model_families(overview) if each.name == "millrace_mart_hop_seconds")
    samples = [(each.labels, each.value) for each in family.samples]
    assert samples == [({"mart": "marts/totals", "hop": "publishing"}, 0.25)]


def test_the_manual_lists_every_name(spool: Spool) -> None:
    spool.receive([GOOD], age_seconds=1)
    spool.land()
    names = {family.name for family in Exporter(spool.settings, version="0").collect()}
    page = DOCUMENTED.findall((REPOSITORY / "docs" / "metrics.md").read_text(encoding="utf-8"))
    assert len(page) == len(set(page))
    assert {name.removesuffix("_total").removesuffix("_info") for name in page} == names
