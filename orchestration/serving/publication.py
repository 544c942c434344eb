"""One publication: every mart at its newest instant, in one transaction of the database for BI tools."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import psycopg2

from ingestion.faultpoints import faultpoint
from ingestion.lake.lake import Lake
from ingestion.serve.changes import relation
from ingestion.serve.instants import NO_STREAM, Instant
from ingestion.serve.moments import Moments
from ingestion.serve.shelf import Mart
from ingestion.serve.texts import Columns, quoted
from orchestration.serving import books
from orchestration.serving.books import SERVED, ServedRow
from orchestration.serving.delta import NotBuilt, Published, delta_of, version_times
from orchestration.serving.table import (
    TableChanged,
    apply_delta,
    comment_table,
    drop_table,
    lock_tables,
    make_table,
    shape,
    show_table,
)


@dataclass(frozen=True)
class Publication:
    """What one publication did.

    Attributes:
        versions: Mart → the version of the lake that it shows.
        rows: Mart → how many rows were deleted and inserted.
        seconds: Wall time.
    """

    versions: Mapping[str, int] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0


def wanted_versions(marts: Mapping[str, Mart], instants: Mapping[str, Instant]) -> dict[str, Instant]:
    """Mart → the instant that it is to show; without those whose streams have none in common."""
    wanted = {}
    for name, mart in marts.items():
        found = [instants.get(stream) for stream in mart.streams or (NO_STREAM,)]
        first = found[0]
        if first is not None and all(each is not None and each.snapshot == first.snapshot for each in found):
            wanted[name] = first
    return wanted


def publish(
    cursor: Any,
    lake: Lake,
    marts: Mapping[str, Mart],
    instants: Mapping[str, Instant],
    *,
    whole: frozenset[str] = frozenset(),
) -> Publication:
    """Write it, without committing.

    Args:
        cursor: In a transaction that has done nothing yet.
        lake: In a transaction too.
        marts: Those that are to be there, by name.
        instants: Stream → its newest instant.
        whole: Marts of which what is there does not count.

    Raises:
        ServingUnavailable: This database is not ours to write.
        MartChanged: A mart does not hold what was published; to be published as a whole.
        psycopg2.Error: PostgreSQL refuses; nothing is changed once the caller has rolled back.
        duckdb.Error: The lake does not answer.
    """
    return _Publishing(cursor, lake, marts, instants, whole).run()


class MartChanged(Exception):
    """What PostgreSQL has of a mart is not what was published.

    Attributes:
        mart: Its name.
    """

    def __init__(self, mart: str) -> None:
        super().__init__(mart)
        self.mart = mart


class _Publishing:
    def __init__(
        self,
        cursor: Any,
        lake: Lake,
        marts: Mapping[str, Mart],
        instants: Mapping[str, Instant],
        whole: frozenset[str],
    ) -> None:
        self._cursor, self._lake, self._marts = cursor, lake, marts
        self._wanted, self._whole = wanted_versions(marts, instants), whole
        self._rows: dict[str, int] = {}
        self._made: list[Mart] = []

    def run(self) -> Publication:
        begun, cursor = time.monotonic(), self._cursor
        published = books.begin(cursor)
        gone = published.keys() - self._marts.keys()
        due = {
            name: instant
            for name, instant in self._wanted.items()
            if name not in published or published[name].snapshot != instant.snapshot or name in self._whole
        }
        known = {each.snapshot for each in published.values()} | {each.snapshot for each in due.values()}
        times = version_times(self._lake, known)
        done = {
            name: self._publish_one(self._marts[name], due[name], published.get(name), times)
            for name in sorted(due)
            if due[name].snapshot in times
        }
        shown = {name: each for name, each in done.items() if each is not None}
        faultpoint("serving.filled")
        if gone or self._made:
            swapped = {mart.name for mart in self._made} & published.keys()
            if gone or swapped:
                lock_tables(cursor, [*published, SERVED])
            for mart in self._made:
                show_table(cursor, mart)
            for name in gone:
                drop_table(cursor, name)
                books.forget(cursor, name)
        made = {mart.name for mart in self._made}
        for name, each in shown.items():
            if name in made or published[name].described != each.described:
                comment_table(cursor, self._marts[name], [column for column, _ in each.columns])
            books.note(cursor, name, each)
        books.write_served(cursor, [*shown, *gone], self._served(shown))
        versions = {name: each.snapshot for name, each in (published | shown).items() if name not in gone}
        return Publication(versions, self._rows, round(time.monotonic() - begun, 3))

    def _publish_one(
        self, mart: Mart, instant: Instant, before: Published | None, times: Mapping[int, datetime]
    ) -> Published | None:
        """Write one mart; None where it was not built at that version."""
        version, at_all = instant.snapshot, mart.name in self._whole
        continues = before is not None and times.get(before.snapshot) == before.snapshot_at
        since = before.snapshot if before is not None and continues and not at_all else None
        try:
            delta = delta_of(self._lake, mart, version, since=since)
        except NotBuilt:
            return None
        now = Published(
            version, times[version], shape(delta.columns), self._key(mart, delta.columns),
            described=(("", mart.description), *mart.columns),
        )  # fmt: skip
        fits = before is not None and (before.columns, before.key) == (now.columns, now.key)
        if at_all or not fits:  # else what it was when its table was made
            now = replace(now, keyed=self._is_key(mart, version, now.key))
        elif before is not None:
            now = replace(now, keyed=before.keyed)
        if before is None or not fits or before.keyed != now.keyed:
            if delta.gone is not None:
                delta = delta_of(self._lake, mart, version, since=None)
            self._rows[mart.name] = make_table(self._cursor, self._lake, mart, delta, key=now.primary_key)
            self._made.append(mart)
            return now
        try:
            changed = apply_delta(self._cursor, self._lake, mart, delta, key=now.primary_key)
        except (TableChanged, psycopg2.IntegrityError):
            raise MartChanged(mart.name) from None
        self._rows[mart.name] = changed
        return now

    def _key(self, mart: Mart, columns: Columns) -> tuple[str, ...]:
        names = {name.lower(): name for name, _ in columns}
        key = [names.get(name.lower()) for name in mart.key]
        return tuple(name for name in key if name is not None) if None not in key else ()

    def _is_key(self, mart: Mart, version: int, key: tuple[str, ...]) -> bool:
        """Whether the rows keep to it."""
        if not key:
            return True
        names = ", ".join(map(quoted, key))
        null = " or ".join(f"{quoted(name)} is null" for name in key)
        sql = (
            f"select count(*), count(distinct ({names})), count(*) filter ({null}) "
            f"from {relation(mart, version)}"
        )
        ((rows, different, nulls),) = self._lake.query(sql)
        return bool(rows == different and not nulls)

    def _served(self, shown: Mapping[str, Published]) -> list[ServedRow]:
        batches = {
            (name, stream): self._wanted[name].shown.get(name, {}).get(stream)
            for name in shown
            for stream in self._marts[name].streams or (NO_STREAM,)
        }
        pairs = {(stream, batch) for (_, stream), batch in batches.items() if batch is not None}
        newest = max((each.snapshot for each in shown.values()), default=0)
        found = Moments().of(self._lake, pairs, version=newest)
        rows = []
        for (name, stream), batch in batches.items():
            fresh, complete = (None, None) if batch is None else found[stream, batch]
            each = shown[name]
            rows.append(ServedRow(name, stream, each.snapshot, each.snapshot_at, fresh, complete))
        return rows
