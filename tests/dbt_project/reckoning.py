"""Sequences by the book, event by event in Python, and the package's SQL on DuckDB alone: to be compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import duckdb
import pyarrow as pa
from jinja2 import Environment

from ingestion.declare.sequence import SequenceSpec
from orchestration.dbt.prepared import PACKAGE

AT = datetime(2026, 3, 1, 23, 59, 50, tzinfo=UTC)
_ACCEPTED = "stream varchar, sender varchar, opened_until timestamptz, note varchar"


@dataclass(frozen=True)
class Sent:
    """An event as staging has it: its number, the second at which it happened, its batch."""

    number: int
    second: float
    batch: int = 1
    sender: str = "a"

    @property
    def event_at(self) -> datetime:
        """When it happened."""
        return AT + timedelta(seconds=self.second)

    @property
    def ingested_at(self) -> datetime:
        """When its batch was read."""
        return AT + timedelta(days=1, minutes=self.batch)


@dataclass(frozen=True)
class Shown:
    """What is found: missing numbers (first, last) and totals of a sender."""

    missing: tuple[tuple[int, int], ...]
    expected: int
    received: int
    duplicates: int
    resets: int
    last_number: int


def reckon(spec: SequenceSpec, events: Sequence[Sent]) -> Shown:
    """What the events of one sender show, by going through them once."""
    meta = spec.meta()
    base, step, size, reorder = (meta[name] for name in ("base", "step", "size", "reorder"))
    lives: list[set[int]] = []
    former = place = 0
    ordered = sorted((each.event_at, (each.number - base) // step) for each in events)
    for _, index in ordered:
        distance = index - former
        if size:
            distance = (distance + size // 2) % size - size // 2
        begins = meta["has_start"] and index == 0 and (distance > reorder if size else distance < 0)
        if not lives or distance < -reorder or begins:
            lives.append(set())
            place = index
        else:
            place += distance
        lives[-1].add(place)
        former = index
    missing, expected = [], 0
    for number, life in enumerate(lives):
        low = min(life)
        if number and meta["has_start"]:
            low = min(low, 0)
        expected += max(life) - low + 1
        lacking = sorted(set(range(low, max(life) + 1)) - life)
        for at, lost in enumerate(lacking):
            if at and lacking[at - 1] == lost - 1:
                missing[-1][1] = lost
            else:
                missing.append([lost, lost])
    shown = tuple(sorted((_number(spec, low), _number(spec, high)) for low, high in missing))
    distinct = sum(map(len, lives))
    last = base + ordered[-1][1] * step
    return Shown(shown, expected, len(events), len(events) - distinct, len(lives) - 1, last)


def _number(spec: SequenceSpec, place: int) -> int:
    return (spec.start or 0) + (place % spec.size if spec.size else place) * spec.step


def shown(spec: SequenceSpec, events: Sequence[Sent]) -> dict[str, Shown]:
    """What the SQL shows of events, by sender."""
    found: dict[str, list[Any]] = {}
    with duckdb.connect(":memory:") as connection:
        _fill(connection, spec, events)
        missing = connection.sql(_gaps(spec)).filter("state <> 'filled'")
        rows = missing.project("sender, first_number, last_number, missing").fetchall()
        totals = connection.sql(macros().sequence_totals("runs", {"s": spec.meta()}))
        wanted = "sender, missing, expected, received, duplicates, resets, last_number"
        for sender, lost, *rest in totals.project(wanted).fetchall():
            own = [row[1:] for row in rows if row[0] == sender]
            assert lost == sum(row[2] for row in own), sender
            found[sender] = [tuple(sorted(row[:2] for row in own)), *rest]
    return {sender: Shown(*values) for sender, values in found.items()}


def gaps(spec: SequenceSpec, events: Sequence[Sent], columns: str, *, accepted: str = "") -> list[Any]:
    """Columns of the gaps that the SQL shows, in the order of their numbers."""
    with duckdb.connect(":memory:") as connection:
        connection.execute("set TimeZone = 'UTC'")
        _fill(connection, spec, events, accepted)
        return connection.sql(
            f"select {columns} from ({_gaps(spec)}) order by first_number, state"
        ).fetchall()


def _gaps(spec: SequenceSpec) -> str:
    return str(macros().sequence_gaps("runs", {"s": spec.meta()}, "accepted"))


def _fill(
    connection: duckdb.DuckDBPyConnection, spec: SequenceSpec, events: Sequence[Sent], accepted: str = ""
) -> None:
    connection.execute(f"create table accepted ({_ACCEPTED})")
    make_runs(connection, "runs", spec, events)
    if accepted:
        connection.execute(f"insert into accepted values {accepted}")


def make_runs(
    connection: duckdb.DuckDBPyConnection, table: str, spec: SequenceSpec, events: Sequence[Sent]
) -> None:
    """Make the table of runs of a stream `s` that has brought these events."""
    base, step = spec.start or 0, spec.step
    rows = [(e.sender, (e.number - base) // step, e.event_at, e.batch, e.ingested_at) for e in events]
    names = ("sender", "index", "event_at", "batch_id", "ingested_at")
    sent = pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
    connection.register("sent", sent)
    made = macros().sequence_runs(spec.meta(), "sent")
    columns = "'s' as stream, *, null::varchar as declared"
    connection.execute(f"create or replace table {table} as select {columns} from ({made})")
    connection.unregister("sent")


class _Package:
    macros: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.macros, name)


@cache
def macros() -> Any:
    """The package's macros about runs and gaps."""
    package = _Package()
    source = "\n".join(
        (PACKAGE / "macros" / f"{name}.sql").read_text() for name in ("sequences", "sequence_gaps")
    )
    environment = Environment(extensions=["jinja2.ext.do"])
    package.macros = environment.from_string(source).make_module({"millrace": package})
    return package.macros
