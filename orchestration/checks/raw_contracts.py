"""The contracts of the raw tables, generated from the envelope: every declared stream has one without a file.

Contracts of the marts are files, beside the models. That windows join and counts agree is ledger.py's proof.
"""

from typing import Any

import pyarrow as pa
import yaml

from ingestion.declare.stream import Stream
from ingestion.formats.decode import TOO_LARGE, reasons
from ingestion.lake.lake import CATALOG_NAME
from ingestion.log.envelope import BATCH_SCHEMA, EVENT_SCHEMA, REJECT_SCHEMA, SQL_TYPES
from orchestration.checks.contracts import Contract

NEW_ROWS = "new_rows"
"""The variable with which `verify` restricts a raw contract to new batches; an SQL condition."""

# As DuckDB's information schema spells it; Soda compares words.
_SPELLING = {"timestamptz": "timestamp with time zone"}

_MISSING: dict[str, Any] = {"missing": None}
_NOT_NEGATIVE: dict[str, Any] = {"invalid": {"valid_min": 0}}
_IDENTITY = {
    "failed_rows": {
        "qualifier": "identity",
        "name": "event_id is partition@position",
        "expression": "event_id is distinct from source_partition || '@' || position",
    }
}


def raw_contract(stream: Stream) -> Contract:
    """The contract of raw.<stream>."""
    return _contract(
        stream.name,
        EVENT_SCHEMA,
        column_checks={
            "batch_id": [_MISSING],
            "source_partition": [_MISSING],
            "position": [_MISSING, _NOT_NEGATIVE],
            "event_id": [_MISSING, {"duplicate": None}],
            "ingested_at": [_MISSING],
        },
        checks=[_IDENTITY],
    )


def rejects_contract() -> Contract:
    """The contract of raw.rejects."""
    known = {"invalid": {"valid_values": sorted(reasons())}}
    return _contract(
        "rejects",
        REJECT_SCHEMA,
        column_checks={
            "stream": [_MISSING],
            "batch_id": [_MISSING],
            "source_partition": [_MISSING],
            "position": [_MISSING, _NOT_NEGATIVE],
            "event_id": [_MISSING],
            "reason": [_MISSING, known],
            "ingested_at": [_MISSING],
        },
        checks=[
            {"duplicate": {"columns": ["stream", "event_id"]}},
            _IDENTITY,
            {
                "failed_rows": {
                    "qualifier": "bytes",
                    "name": "the bytes are kept unless they are too many",
                    "expression": f"payload_raw is null and reason <> '{TOO_LARGE}'",
                }
            },
        ],
    )


def batches_contract() -> Contract:
    """The contract of raw.batches."""
    return _contract(
        "batches",
        BATCH_SCHEMA,
        column_checks={
            "stream": [_MISSING],
            "batch_id": [_MISSING],
            "source_partition": [_MISSING],
            "ingested_at": [_MISSING],
        },
        checks=[
            {"duplicate": {"columns": ["stream", "batch_id", "source_partition"]}},
            {
                "failed_rows": {
                    "qualifier": "window",
                    "name": "a window ends at or after its start",
                    "expression": "not coalesce(start_position between 0 and end_position, false)",
                }
            },
            {
                "failed_rows": {
                    "qualifier": "balance",
                    "name": "every event read has landed or was rejected",
                    "expression": "events_read is distinct from events_landed + events_rejected"
                    " or least(events_landed, events_rejected) < 0",
                }
            },
        ],
    )


def _contract(
    table: str,
    schema: pa.Schema,
    *,
    column_checks: dict[str, list[dict[str, Any]]],
    checks: list[dict[str, Any]],
) -> Contract:
    types = {field.name: SQL_TYPES[field.type] for field in schema} | {"_dlt_load_id": "varchar"}
    types = {name: _SPELLING.get(kind, kind) for name, kind in types.items()}
    columns: list[dict[str, Any]] = [
        {"name": name, "data_type": kind} | ({"checks": column_checks[name]} if name in column_checks else {})
        for name, kind in types.items()
    ]
    document = {
        "dataset": f"{CATALOG_NAME}/raw/{table}",
        "variables": {NEW_ROWS: {"default": "true"}},
        "filter": f"${{var.{NEW_ROWS}}}",
        "checks": [{"schema": {"allow_other_column_order": True}}, *checks],
        "columns": columns,
    }
    text = yaml.dump(document, Dumper=_NoAliases, sort_keys=False)
    return Contract("raw", table, text, f"the generated contract of raw.{table}")


class _NoAliases(yaml.SafeDumper):
    """Writes a check that stands in several places each time in full: the text is shown to users."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
