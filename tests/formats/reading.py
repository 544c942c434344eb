"""One value through a format, as a batch reads it."""

from typing import Any

import duckdb
import orjson
import pyarrow as pa

from ingestion.clock import utc_now
from ingestion.formats.decode import decoder
from ingestion.formats.registry import choose_format
from ingestion.log.envelope import SOURCE_SCHEMA


def text_of(declared: Any, value: bytes, *, headers: str | None = None, max_bytes: int = 1 << 20) -> str:
    """Its JSON text.

    Raises:
        ValueError: It is refused; the reason and what was wrong.
    """
    row = {"source_partition": "log-0", "position": 0, "event_key": None, "value": value, "headers": headers}
    events = pa.Table.from_pylist([row | {"event_time": None}], schema=SOURCE_SCHEMA)
    decoded = decoder(choose_format(declared))(
        events, stream="s", batch_id=1, ingested_at=utc_now(), max_bytes=max_bytes
    )
    if decoded.rejects.num_rows:
        (reject,) = decoded.rejects.to_pylist()
        assert reject["payload_raw"] == value
        raise ValueError(f"{reject['reason']}: {reject['detail']}")
    assert decoded.events["payload_raw"].to_pylist() == [value]
    text: str = decoded.events["payload"][0].as_py()
    assert duckdb.execute("select json_valid(?)", [text]).fetchone() == (True,)
    return text


def read(declared: Any, value: bytes, **how: Any) -> Any:
    """What JSON says of it."""
    return orjson.loads(text_of(declared, value, **how))
