"""Many values at once, and those around one that cannot be read so, one by one."""

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.formats.each import read_quickly
from ingestion.formats.port import Refusal, Surroundings
from ingestion.log.envelope import SOURCE_SCHEMA

COUNT, BAD = 70_000, {33_000, 69_999}


def test_only_what_is_around_a_fault_is_read_one_by_one() -> None:
    values: list[bytes | None] = [b"%d" % number for number in range(COUNT)]
    values[5] = values[40_000] = None
    for row in BAD:
        values[row] = b"bad"
    events = pa.Table.from_arrays(
        [pa.array(values, field.type) if field.name == "value" else pa.nulls(COUNT, field.type)
         for field in SOURCE_SCHEMA], names=SOURCE_SCHEMA.names,
    )  # fmt: skip
    tried: list[int] = []
    alone: list[bytes] = []

    def quick(some: pa.Array) -> pa.Array | None:
        tried.append(len(some))
        return None if pc.any(pc.equal(some, b"bad")).as_py() else some.cast(pa.string())

    def read(value: bytes, _: str | None) -> bytes | Refusal:
        alone.append(value)
        return Refusal("bad", "it is") if value == b"bad" else value

    found = read_quickly(events, Surroundings(100), quick, read)
    assert set(found.refused) == BAD
    expected = [None if row in BAD or value is None else value.decode() for row, value in enumerate(values)]
    assert found.payload.to_pylist() == expected
    assert b"33001" in alone
    assert b"69000" in alone
    assert len(alone) <= 2 * 2_000
    assert len(tried) <= 3 + 16 + 3, "the rest goes the quick way, many at a time"


def test_of_no_events_nothing_is_read() -> None:
    def never(*_: object) -> None:
        raise AssertionError

    found = read_quickly(SOURCE_SCHEMA.empty_table(), Surroundings(100), never, never)  # type: ignore[arg-type]
    assert (len(found.payload), found.refused) == (0, {})
