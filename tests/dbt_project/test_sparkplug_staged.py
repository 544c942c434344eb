"""Sparkplug B in staging: a metric is a row, and what a node lost is a gap of its session."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import orjson
import pyarrow as pa
import pytest

from ingestion.clock import utc_now
from ingestion.declare.stream import Stream
from ingestion.formats.decode import decoder
from ingestion.log.envelope import SOURCE_SCHEMA
from tests.dbt_project.conftest import Warehouse
from tests.dbt_project.raw import START, Event
from tests.formats.edge_node import EdgeNode

SOURCE: dict[str, Any] = {"source": {"mqtt": "spBv1.0/#"}, "format": "sparkplug"}
METRICS = Stream.model_validate(
    SOURCE
    | {
        "name": "plant",
        "unnest": "metrics",
        "fields": {
            "type": {"type": "varchar", "path": "^.type"},
            "device": {"type": "varchar", "path": "^.device"},
            "name": "varchar",
            "value": "json",
        },
    }
)
MESSAGES = Stream.model_validate(
    SOURCE
    | {
        "name": "plant_messages",
        "fields": {
            "edge_group": {"type": "varchar", "path": "group"},
            "node": "varchar",
            "bd_seq": "bigint",
            "seq": "bigint",
        },
        "sequence": {"per": ["edge_group", "node", "bd_seq"], "field": "seq", "wraps_at": 255},
    }
)


def staged(sent: list[tuple[str, bytes]]) -> list[Event]:
    """What raw holds of messages that came one second after the other."""
    rows = [
        {
            "source_partition": "p", "position": at, "event_key": topic.encode(), "value": value,
            "headers": None, "event_time": None,
        }
        for at, (topic, value) in enumerate(sent)
    ]  # fmt: skip
    table = pa.Table.from_pylist(rows, schema=SOURCE_SCHEMA)
    decoded = decoder("sparkplug")(table, stream="s", batch_id=1, ingested_at=utc_now(), max_bytes=1 << 20)
    return [
        Event(orjson.loads(text), START + timedelta(seconds=at))
        for at, text in enumerate(decoded.events["payload"].to_pylist())
    ]


@pytest.mark.slow("builds with dbt")
def test_a_metric_is_a_row_and_what_was_lost_is_a_gap_of_its_session(
    new_warehouse: Callable[[], Warehouse],
) -> None:
    first, second = EdgeNode(bd_seq=1), EdgeNode(bd_seq=2)
    sent = [*first.birth(), *[first.data(number % 100) for number in range(300)], first.death()]
    del sent[254:260]  # 254 to 255, and 0 to 3 of the next round
    sent += [*second.birth(), second.measured(20.5), second.measured(21.5)]
    del sent[-2]
    warehouse = new_warehouse()
    for folder in ("models", "tests", "seeds"):
        shutil.rmtree(warehouse.project / folder)
    (warehouse.project / "models" / "staging").mkdir(parents=True)
    for each in (METRICS, MESSAGES):
        warehouse.write_model(f"staging/stg_{each.name}.sql", f"{{{{ staging('{each.name}') }}}}\n")
    warehouse.declare((METRICS, MESSAGES))
    for each in (METRICS, MESSAGES):
        warehouse.raw.add(each.name, staged(sent))
    warehouse.dbt("run")
    gaps = warehouse.rows("marts.ops_sequence_gaps", "sender, first_number, last_number, missing, state")
    assert gaps == [('["plant","edge","1"]', 254, 3, 6, "open"), ('["plant","edge","2"]', 2, 2, 1, "open")]
    figures = warehouse.rows("marts.ops_sequences", "sender, missing, duplicates, resets")
    assert [row[1:] for row in figures] == [(6, 0, 0), (1, 0, 0)]
    rows = warehouse.rows("staging.stg_plant where type = 'DDATA'", "device, name, value::varchar")
    assert rows == [("pump", "Temp", "21.5")]
    metrics = sum(len(event.payload["metrics"]) for event in staged(sent))
    assert warehouse.rows("staging.stg_plant", "count(*)") == [(metrics,)]
