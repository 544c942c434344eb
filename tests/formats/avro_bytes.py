"""Avro for tests: written by fastavro, decoded by the product's decoder."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
from fastavro.schema import fingerprint, parse_schema, to_parsing_canonical_form

from ingestion.clock import utc_now
from ingestion.formats.decode import Decoded, decoder
from ingestion.formats.registry import choose_format
from ingestion.log.envelope import SOURCE_SCHEMA


def encode(schema: Any, value: Any) -> bytes:
    """A value alone, as Kafka's producers without a registry send it."""
    file = io.BytesIO()
    fastavro.schemaless_writer(file, parse_schema(schema), value)
    return file.getvalue()


def single_object(schema: Any, value: Any) -> bytes:
    name = fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO")
    return b"\xc3\x01" + bytes.fromhex(name) + encode(schema, value)


def container(schema: Any, values: Sequence[Any], codec: str = "null", **options: Any) -> bytes:
    file = io.BytesIO()
    fastavro.writer(file, parse_schema(schema), values, codec=codec, **options)
    return file.getvalue()


def declare(folder: Path, schema: Any, **options: Any) -> dict[str, Any]:
    """What `format:` says of a schema that is put into a file."""
    (folder / "schema.avsc").write_text(json.dumps(schema))
    return {"avro": {"schema": {"file": "schema.avsc"}} | options}


def decode(
    declared: Any, values: Sequence[bytes | None], folder: Path | str = "", *, max_bytes: int = 1 << 20
) -> Decoded:
    rows = [
        {
            "source_partition": "log-0", "position": position, "event_key": None, "value": value,
            "headers": None, "event_time": None,
        }
        for position, value in enumerate(values)
    ]  # fmt: skip
    return decoder(choose_format(declared, folder))(
        pa.Table.from_pylist(rows, schema=SOURCE_SCHEMA),
        stream="s", batch_id=1, ingested_at=utc_now(), max_bytes=max_bytes,
    )  # fmt: skip


def texts(declared: Any, values: Sequence[bytes | None], folder: Path | str = "") -> list[str]:
    """The texts of values that all land."""
    decoded = decode(declared, values, folder)
    assert decoded.rejects["detail"].to_pylist() == []
    found: list[str] = decoded.events["payload"].to_pylist()
    return found


def refusals(
    declared: Any, values: Sequence[bytes | None], folder: Path | str = "", **limits: int
) -> list[Any]:
    """Reason and detail of values of which none lands."""
    decoded = decode(declared, values, folder, **limits)
    assert decoded.events.num_rows == 0
    return list(
        zip(decoded.rejects["reason"].to_pylist(), decoded.rejects["detail"].to_pylist(), strict=True)
    )
