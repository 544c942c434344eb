"""The generated contracts hold for what ingestion writes, and break when rows do."""

from collections.abc import Callable, Iterator

import pyarrow as pa
import pytest

from ingestion.formats.decode import decoder
from ingestion.lake.lake import Lake
from ingestion.log.envelope import BATCH_SCHEMA, SOURCE_SCHEMA
from orchestration.checks.raw_contracts import batches_contract, raw_contract, rejects_contract
from orchestration.checks.soda import verify
from tests.orchestration.checks.helpers import CONTRACTS, NOW, STREAM, not_passed


def raw_rows(batch_id: int, positions: range, *, values: list[bytes | None]) -> tuple[pa.Table, pa.Table]:
    """What decoding makes of values: rows of the stream and of raw.rejects."""
    chunk = pa.table(
        {
            "source_partition": ["readings-0"] * len(values),
            "position": list(positions),
            "event_key": [None] * len(values),
            "value": values,
            "headers": [None] * len(values),
            "event_time": [NOW] * len(values),
        },
        schema=SOURCE_SCHEMA,
    )
    decoded = decoder("json")(chunk, stream=STREAM.name, batch_id=batch_id, ingested_at=NOW, max_bytes=100)
    return decoded.events, decoded.rejects


def ledger_row(batch_id: int, start: int, end: int, **other: object) -> dict[str, object]:
    counts = {"events_read": end - start, "events_landed": end - start, "events_rejected": 0}
    row = {"stream": STREAM.name, "batch_id": batch_id, "source_partition": "readings-0", "ingested_at": NOW}
    return row | {"start_position": start, "end_position": end} | counts | other


@pytest.fixture
def raw(shared_lake: Lake) -> Iterator[Callable[..., None]]:
    """Appends rows to a raw table; they are gone after the test."""
    connection = shared_lake.connection

    def append(table: str, rows: pa.Table) -> None:
        connection.register("new_rows", rows)
        connection.execute(f"insert into raw.{table} by name select *, 'load' as _dlt_load_id from new_rows")
        connection.unregister("new_rows")

    yield append
    for table in (STREAM.name, "rejects", "batches"):
        connection.execute(f"delete from raw.{table}")


def test_what_ingestion_writes_keeps_the_contracts(shared_lake: Lake, raw: Callable[..., None]) -> None:
    values = [b"{}", None, b'"\xff"', b"", b"{", b"1" * 200]
    events, rejects = raw_rows(1, range(6), values=values)
    assert (events.num_rows, rejects.num_rows) == (2, 4)
    raw(STREAM.name, events)
    raw("rejects", rejects)
    ledger = [ledger_row(1, 0, 6, events_landed=2, events_rejected=4), ledger_row(2, 6, 6)]
    raw("batches", pa.Table.from_pylist(ledger, schema=BATCH_SCHEMA))
    for contract in (raw_contract(STREAM), rejects_contract(), batches_contract()):
        assert not_passed(verify(shared_lake.connection, contract)) == {}, contract.dataset
        assert not_passed(verify(shared_lake.connection, contract, since_batch=0)) == {}, contract.dataset


def test_only_new_batches_are_looked_at(shared_lake: Lake, raw: Callable[..., None]) -> None:
    contract = raw_contract(STREAM)
    good, _ = raw_rows(1, range(3), values=[b"1"] * 3)
    raw(STREAM.name, good)
    raw(STREAM.name, good.slice(0, 1))
    raw(STREAM.name, raw_rows(2, range(3, 6), values=[b"1"] * 3)[0])

    everything = {one.check: one for one in verify(shared_lake.connection, contract)}
    assert not_passed(tuple(everything.values())) == {"event_id_duplicate": "failed"}
    assert everything["event_id_duplicate"].measured == 1
    assert not_passed(verify(shared_lake.connection, contract, since_batch=1)) == {}
    assert not_passed(verify(shared_lake.connection, contract, since_batch=0)) == {
        "event_id_duplicate": "failed"
    }

    broken = raw_rows(3, range(-1, 1), values=[b"1"] * 2)[0].set_column(4, "event_key", pa.array(["a", "b"]))
    raw(STREAM.name, broken.set_column(9, "ingested_at", pa.array([NOW, None], broken.schema.types[9])))
    found = {one.check: one for one in verify(shared_lake.connection, contract, since_batch=2)}
    assert not_passed(tuple(found.values())) == {
        "position_invalid": "failed",
        "ingested_at_missing": "failed",
    }
    assert "batch_id > 2" in found["position_invalid"].query


def test_the_ledger_is_restricted_to_new_batches(shared_lake: Lake, raw: Callable[..., None]) -> None:
    contract = batches_contract()
    rows = [ledger_row(1, 9, 3, events_read=0, events_landed=0), ledger_row(2, 3, 5)]
    raw("batches", pa.Table.from_pylist(rows, schema=BATCH_SCHEMA))
    assert not_passed(verify(shared_lake.connection, contract)) == {"failed_rows_window": "failed"}
    assert not_passed(verify(shared_lake.connection, contract, since_batch=1)) == {}


def test_a_raw_table_of_another_shape_is_noticed(shared_lake: Lake) -> None:
    stream = STREAM.model_copy(update={"name": "reshaped"})
    shared_lake.prepare([stream.name])
    assert not_passed(verify(shared_lake.connection, raw_contract(stream))) == {}
    shared_lake.connection.execute("alter table raw.reshaped drop column headers")
    shared_lake.connection.execute("alter table raw.reshaped add column headers bigint")
    schema = verify(shared_lake.connection, raw_contract(stream))[0]
    assert (schema.check, schema.result) == ("schema", "failed")
    assert schema.measured == "column headers is bigint and not varchar"


def test_batches_mean_nothing_to_a_mart(shared_lake: Lake) -> None:
    with pytest.raises(ValueError, match=r"machine_minute\.yml does not know batches"):
        verify(shared_lake.connection, CONTRACTS["machine_minute"], since_batch=1)
