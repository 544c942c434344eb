"""`millrace replay` and the models: what landed is in them, as if they had been built from nothing."""

import json
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from ingestion.declare.file import load_streams
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from orchestration.cli.app import run
from orchestration.dbt.project import FULL_SCAN, NO_ASSETS, parse_models
from orchestration.dbt.runner import build_args, invoke
from orchestration.services.kafka import EmbeddedKafka
from tests.ingestion.helpers import ingest, produce
from tests.ingestion.planted import forget_versions
from tests.servers.ports import free_ports

TOPIC = "production_orders"  # of the project's own streams.yml
MART = "select * from marts.order_progress order by order_id"
STAGED = "select * from staging.stg_production_orders order by event_id"


def order(number: int, event: str, minute: int, product: str = "gear") -> bytes:
    return json.dumps(
        {
            "order_event_id": f"{number}-{event}", "order_id": f"order-{number}", "machine_id": "press-01",
            "product": product, "quantity": 5, "event": event,
            "occurred_at": f"2026-03-01T08:{minute:02}:00Z",
        }
    ).encode()  # fmt: skip


@pytest.mark.slow("the plant is built, replayed and built again")
def test_marts_after_a_replay_are_those_of_a_full_refresh(
    lake: Lake,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    broker = EmbeddedKafka(tmp_path / "kafka", port=free_ports(1)[0])
    broker.start()
    try:
        assert settings.catalog is not None
        monkeypatch.setenv("MILLRACE_DATA_DIR", str(settings.data_dir))
        monkeypatch.setenv("MILLRACE_CATALOG", settings.catalog.get_secret_value())
        monkeypatch.setenv("MILLRACE_KAFKA_BOOTSTRAP_SERVERS", broker.bootstrap_servers)
        admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
        admin.create_topics([NewTopic(TOPIC, 1, 1)])
        admin.close()
        lost = order(1, "created", 1, "g" * 2000)  # too large for the first batch's limit
        events = [lost, order(1, "started", 2), order(2, "created", 3)]
        produce(broker.bootstrap_servers, TOPIC, events, batch_size=0)
        small = settings.replaced(kafka_bootstrap_servers=broker.bootstrap_servers, payload_max_bytes=1024)
        streams = load_streams(small.streams_file)
        (stream,) = (each for each in streams if each.name == TOPIC)
        lake.settings = small
        assert ingest(lake, stream, small).events_rejected == 1

        assert run(["replay", TOPIC, "--to", f"{TOPIC}-0@0", "--json"]) == 0  # the other stream has no models
        told = json.loads(capsys.readouterr().out)
        assert (told["partitions"][0]["end"], told["batch_ids"]) == (0, [])
        before = lake.query(MART)
        assert [row[0] for row in before] == ["order-1", "order-2"]
        lake.query(
            "delete from marts.order_progress where order_id = 'order-2'"
        )  # no increment brings it back

        assert run(["replay", TOPIC, "--no-models", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (len(told["batch_ids"]), told["models_rebuilt"]) == (1, None)
        assert told["partitions"][0]["landed"] == 1
        assert lake.query(MART) == before[:1]

        assert run(["replay", TOPIC, "--from", f"{TOPIC}-0@0", "--to", f"{TOPIC}-0@1", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["partitions"][0]["in_raw"], told["partitions"][0]["landed"]) == (1, 0)
        assert told["models_rebuilt"] >= 2
        replayed = [lake.query(MART), lake.query(STAGED)]
        assert [(row[0], row[1][:1]) for row in replayed[0]] == [("order-1", "g"), ("order-2", "g")]
        assert replayed[0] != before
        assert len(replayed[1]) == 3
        everything = build_args("build", exclude=[FULL_SCAN, NO_ASSETS], full_refresh=True)
        invoke(parse_models(settings, streams).project, everything)
        assert [lake.query(MART), lake.query(STAGED)] == replayed
    finally:
        broker.stop()


def test_status_and_verify_read_the_lake_of_an_earlier_release(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert settings.catalog is not None
    monkeypatch.setenv("MILLRACE_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("MILLRACE_CATALOG", settings.catalog.get_secret_value())
    lake.prepare([TOPIC])
    lake.query("drop table raw.reject_resolutions")
    lake.query("alter table raw.batches drop column positions_skipped")
    forget_versions(settings)
    lake.query(
        "insert into raw.batches by name "
        f"select '{TOPIC}' as stream, 1 as batch_id, '{TOPIC}-0' as source_partition, 0 as start_position, "
        "5 as end_position, 5 as events_read, 2 as events_landed, 3 as events_rejected"
    )
    assert run(["status", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    row = next(each for each in told["streams"] if each["stream"] == TOPIC)
    assert (row["rows"], row["rejects"], row["open_rejects"]) == (2, 3, 3)
    assert run(["verify", "plant_telemetry", "--json"]) == 0
    assert [count["stream"] for count in json.loads(capsys.readouterr().out)] == ["plant_telemetry"]
