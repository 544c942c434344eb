"""The golden data folder: where it is, how it is unpacked and its catalog loaded, how tables are summed up.

It is made by make_golden.py and opened by the tests. Plain files and SQL: nothing of the product.
"""

import hashlib
import json
import tarfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pyarrow as pa
from psycopg2 import sql

HERE = Path(__file__).parent
ARCHIVE = HERE / "golden.tar.xz"
EXPECTED = HERE / "expected.json"
STREAMS_FILE = HERE / "golden_streams.yml"
MQTT_STREAM, KAFKA_STREAM = "plant_telemetry", "production_orders"
PLACE = "/golden/lake/"
"""Stands in the dumps for the lake's folder, which `load_dump` writes over."""
_SCHEMA = sql.Identifier("ducklake")

Query = Callable[[str], pa.Table]


@dataclass(frozen=True)
class Golden:
    """An unpacked golden folder.

    Attributes:
        data: The data folder: lake, spool, collector.
        catalog: The catalog's dump.
        backups: A folder of backups, with one in it.
        kafka: Every record of the Kafka topic: partition, offset, key, value (hex or null), timestamp.
        expected: What expected.json says.
    """

    data: Path
    catalog: Path
    backups: Path
    kafka: list[dict[str, Any]]
    expected: dict[str, Any]


def unpack(folder: Path) -> Golden:
    """Unpack the archive into an empty folder."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    (folder / "data").chmod(0o700)
    return Golden(
        folder / "data",
        folder / "catalog",
        folder / "backups",
        json.loads((folder / "kafka.json").read_text()),
        json.loads(EXPECTED.read_text()),
    )


def load_dump(url: str, dump: Path, *, lake: Path) -> None:
    """Make the catalog from a dump, with the lake's files in a folder.

    Args:
        url: An empty database.
        dump: A folder of schema.sql and a .copy file for each table.
        lake: Folder of the lake's files.
    """
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL("create schema {}").format(_SCHEMA))
        cursor.execute((dump / "schema.sql").read_text())
        for path in sorted(dump.glob("*.copy")):
            with path.open("rb") as file:
                table = sql.SQL("{}.{}").format(_SCHEMA, sql.Identifier(path.stem))
                cursor.copy_expert(sql.SQL("copy {} from stdin").format(table), file)
        cursor.execute(
            sql.SQL("update {}.ducklake_metadata set value = %s where key = 'data_path'").format(_SCHEMA),
            (f"{lake}/",),
        )
        assert cursor.rowcount == 1
    connection.close()


def summary(query: Query, tables: Iterable[tuple[str, str]]) -> dict[str, dict[str, Any]]:
    """Each table's columns, rows, span of positions, and a checksum over everything in it.

    Args:
        query: Runs a SELECT on the lake.
        tables: Schema and name of each.
    """
    return {
        f"{schema}.{name}": digest(query, f'{schema}."{name}"', columns_of(query, schema, name))
        for schema, name in sorted(tables)
    }


def columns_of(query: Query, schema: str, name: str) -> list[str]:
    """A table's columns, in order."""
    return query(f'select * from {schema}."{name}" limit 0').column_names


def digest(query: Query, table: str, columns: Sequence[str]) -> dict[str, Any]:
    """Rows, positions and a checksum of these columns; times count as microseconds since 1970."""
    quoted = ", ".join(f'"{name}"' for name in columns)
    found = query(f"select {quoted} from {table}")
    plain = [
        column.cast(pa.timestamp("us", getattr(column.type, "tz", None))).cast(pa.int64())
        if pa.types.is_timestamp(column.type)
        else column
        for column in found.columns
    ]
    rows = pa.table(plain, names=list(columns)).to_pylist() if columns else []
    lines = sorted(json.dumps(row, sort_keys=True, default=_text) for row in rows)
    result: dict[str, Any] = {
        "columns": list(columns),
        "rows": found.num_rows,
        "sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
    }
    if "position" in columns and rows:
        positions = [row["position"] for row in rows]
        result |= {"positions": [min(positions), max(positions)], "sum_of_positions": sum(positions)}
    return result


def _text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
