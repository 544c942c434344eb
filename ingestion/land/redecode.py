"""Replay from raw: the bytes that raw keeps are decoded again, and the text beside them is corrected.

Bytes, positions and identities stay as they are, and so does the ledger. Why: docs/decisions/007.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.clock import utc_now
from ingestion.faultpoints import faultpoint
from ingestion.formats.decode import Decode
from ingestion.lake.catalog import WriterLock, writer_lock
from ingestion.lake.flushing import flush, parquet_files
from ingestion.lake.lake import CATALOG_NAME, Lake
from ingestion.lake.storage import storage_of
from ingestion.land.redecode_in_order import as_source, correct_states, in_order, states_before
from ingestion.log.envelope import SOURCE_SCHEMA

_TEXTS = "redecoded_texts"


@dataclass(frozen=True)
class RedecodeReport:
    """What reading the kept bytes again did.

    Attributes:
        stream: The stream's name.
        read: Events whose bytes raw keeps.
        changed: Those of them that have another text now.
        refused: Those that today's decoder refuses; they keep the text that they had.
        example: Of these, the first: its id, the reason and the detail. Empty where there is none.
    """

    stream: str
    read: int = 0
    changed: int = 0
    refused: int = 0
    example: str = ""


def redecode(lake: Lake, stream: str, *, decode: Decode) -> RedecodeReport:
    """Decode what raw keeps the bytes of, and correct the texts that differ. Doing it twice changes nothing.

    Each part is a transaction: what is stopped half-way goes on where it is called again.

    Args:
        lake: The lake.
        stream: The stream's name.
        decode: The decoder of its format.

    Raises:
        StreamBusy: Another process writes this stream.
        FormatUnavailable: What the format needs does not answer; parts before it are in the lake.
        StorageError: What was written cannot be flushed; that part was rolled back.
    """
    with writer_lock(lake.settings, stream, application_name=lake.application_name) as lock:
        report, states = RedecodeReport(stream), dict[str, str]()
        if decode.keeps_state:
            parts, states = in_order(lake, stream), states_before(lake, stream)
        else:
            parts = (_read(lake, stream, *batches) for batches in _parts(lake, stream))
        for events in parts:
            decoded = decode(
                events.select(SOURCE_SCHEMA.names).cast(SOURCE_SCHEMA), stream=stream, batch_id=0,
                ingested_at=utc_now(), max_bytes=lake.settings.payload_max_bytes, states=states,
            )  # fmt: skip
            states |= decoded.states
            held = events.filter(events["in_raw"])
            texts = dict(zip(held["event_id"].to_pylist(), held["payload"].to_pylist(), strict=True))
            changed = _changed(texts, decoded.events)
            if changed.num_rows:
                _correct(lake, stream, changed, lock)
            refused = [row for row in decoded.rejects.to_pylist() if row["event_id"] in texts]
            example = "{event_id}: {reason}, {detail}".format(**refused[0]) if refused else ""
            report = replace(
                report,
                read=report.read + pc.count(held["value"]).as_py(),
                changed=report.changed + changed.num_rows,
                refused=report.refused + len(refused),
                example=report.example or example,
            )
        if decode.keeps_state:
            correct_states(lake, stream, states, lock)
        return report


def _parts(lake: Lake, stream: str) -> Iterator[tuple[int, int]]:
    """Ranges of batches, each at most as large as a batch may be, but for single batches."""
    settings = lake.settings
    sizes = lake.query(
        f'select batch_id, count(*), sum(octet_length(payload_raw)) from raw."{stream}" '
        "where payload_raw is not null group by all order by all"
    )
    part: list[int] = []
    events = size = 0
    for batch_id, count, count_bytes in sizes:
        full = events + count > settings.batch_max_events or size + count_bytes > settings.batch_max_bytes
        if part and full:
            yield part[0], part[-1]
            part, events, size = [], 0, 0
        part.append(batch_id)
        events, size = events + count, size + int(count_bytes)
    if part:
        yield part[0], part[-1]


def _read(lake: Lake, stream: str, first: int, last: int) -> pa.Table:
    """Some batches as a source would hand them over, with `event_id` and `payload`."""
    return as_source(
        lake.query_arrow(
            "select source_partition, position, event_key, payload_raw as value, headers, event_time, "
            f'event_id, payload, true as in_raw from raw."{stream}" where batch_id between ? and ? '
            "and payload_raw is not null order by source_partition, position",
            [first, last],
        )
    )


def _changed(texts: Mapping[str, str | None], decoded: pa.Table) -> pa.Table:
    """event_id and payload of those that have another text now than raw has."""
    pairs = zip(decoded["event_id"].to_pylist(), decoded["payload"].to_pylist(), strict=True)
    others = [event_id in texts and texts[event_id] != text for event_id, text in pairs]
    return decoded.select(["event_id", "payload"]).filter(pa.array(others, pa.bool_()))


def _correct(lake: Lake, stream: str, changed: pa.Table, lock: WriterLock) -> None:
    connection, before = lake.connection, _files(lake, stream)
    connection.register(_TEXTS, changed)
    connection.execute("begin")
    try:
        connection.execute(
            f'update raw."{stream}" as held set payload = texts.payload '
            f"from {_TEXTS} as texts where held.event_id = texts.event_id"
        )
        faultpoint("redecode.written")
        flush(_files(lake, stream) - before, folder=Path(lake.settings.resolved_lake_path))
        lock.assert_held()
        connection.execute("commit")
    except BaseException:
        lake.close()  # also rolls back
        raise
    faultpoint("redecode.committed")
    connection.unregister(_TEXTS)


def _files(lake: Lake, stream: str) -> frozenset[Path]:
    """The files in a raw table's folders, also uncommitted ones; none where storage flushes by itself."""
    if not storage_of(lake.settings).linkable:
        return frozenset()
    rows = lake.query(
        f"select data_file from ducklake_list_files('{CATALOG_NAME}', ?, schema => 'raw')", [stream]
    )
    return parquet_files({Path(path).parent for (path,) in rows})
