"""Columns from a record batch are what kafka-python's own record objects say."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.errors import CorruptRecordError
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from ingestion.connectors.kafka.blocks import Block
from ingestion.connectors.kafka.rows import Rows, headers_as_text
from ingestion.log.port import Window

EVERYTHING = Window(0, 2**62)
_BYTES = st.none() | st.binary(max_size=70) | st.integers(0, 20_000).map(bytes)
_RECORDS = st.lists(
    st.tuples(
        st.integers(0, 2**41),
        _BYTES,
        _BYTES,
        st.lists(st.tuples(st.text(max_size=4), st.none() | st.binary(max_size=70)), max_size=3),
    ),
    min_size=1,
    max_size=30,
)


def _batch(records: list[tuple], gap: int = 1) -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=False, producer_id=-1, producer_epoch=-1,
        base_sequence=-1, batch_size=10**9,
    )  # fmt: skip
    for index, (timestamp, key, value, headers) in enumerate(records):
        builder.append(index * gap, timestamp, key, value, headers)
    return bytes(builder.build())


@given(_RECORDS, st.integers(1, 300))
def test_columns_equal_the_clients_own_records(records: list[tuple], gap: int) -> None:
    data = _batch(records, gap)
    rows = Rows()
    Block(DefaultRecordBatch(data)).add_to(rows, "t-0", EVERYTHING)
    table = rows.table()
    own = list(DefaultRecordBatch(data))
    assert table["position"].to_pylist() == [record.offset for record in own]
    assert table["event_key"].to_pylist() == [record.key for record in own]
    assert table["value"].to_pylist() == [record.value for record in own]
    assert table["headers"].to_pylist() == [headers_as_text(record.headers) for record in own]
    times = [value // 1000 for value in table["event_time"].cast("int64").to_pylist()]
    assert times == [record.timestamp for record in own]
    assert rows.size == sum(len(record.value or b"") for record in own)


@given(st.integers(0, 25), st.integers(0, 25))
def test_a_window_cuts_a_batch_at_both_ends(one: int, other: int) -> None:
    window = Window(min(one, other), max(one, other))
    rows = Rows()
    Block(DefaultRecordBatch(_batch([(0, None, b"1", [])] * 10, gap=2))).add_to(rows, "t-0", window)
    assert rows.table()["position"].to_pylist() == [
        n for n in range(0, 20, 2) if window.start <= n < window.end
    ]


@pytest.mark.parametrize("damage", [-1, 1])
def test_a_batch_that_says_another_number_of_records_is_corrupt(damage: int) -> None:
    batch = DefaultRecordBatch(_batch([(0, None, b"1", [])] * 3))
    batch._header_data = (*batch._header_data[:12], 3 + damage)
    with pytest.raises(CorruptRecordError):
        Block(batch).add_to(Rows(), "t-0", EVERYTHING)


def test_a_time_stamp_that_is_no_date_is_kept_as_a_header() -> None:
    """A sender that counts microseconds, or a damaged clock, must not stop its stream for good."""
    stamps = [1_793_000_000_000_000, 2**62, -(10**15), -1, 1000]
    rows = Rows()
    rows.add(
        "t-0", list(range(5)), keys=[None] * 5, values=[b"1"] * 5, timestamps=stamps,
        headers=iter([[("a", b"b")], *[None] * 4]),
    )  # fmt: skip
    table = rows.table()
    assert table["event_time"].to_pylist() == [None] * 4 + [datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)]
    assert table["headers"].to_pylist() == [
        '{"a":"b","kafka_timestamp":"1793000000000000"}',
        f'{{"kafka_timestamp":"{2**62}"}}',
        f'{{"kafka_timestamp":"{-(10**15)}"}}',
        None,
        None,
    ]
