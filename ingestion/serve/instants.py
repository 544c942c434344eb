"""Instants: versions of the lake at which every model of some streams was built and passed its checks.

Runs note them in the catalog's database, publishers listen. What a killed run left half built is known from
what it noted before it began. What a mart looks like at an instant is in changes.py.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import psycopg2
from psycopg2 import extensions

from ingestion.errors import CatalogUnavailable
from ingestion.lake.catalog import Connection, connect_catalog, process_name
from ingestion.settings import Settings

_T = TypeVar("_T")

CHANNEL = "millrace_instants"
"""Where PostgreSQL notifies of each new instant."""
NO_STREAM = ""
"""Stands for what follows from no stream: seeds, and models of them alone."""

_TURN = "select pg_advisory_xact_lock(hashtext('millrace instants'))"
_BEGIN = """
insert into millrace.unfinished (model, builder) select unnest(%s::text[]), %s on conflict do nothing
"""
_END = """
delete from millrace.unfinished as left_over
where model = any(%s) and (builder = %s or not exists (
    select from pg_stat_activity where application_name = left_over.builder
))
"""
_UNFINISHED = "select distinct model from millrace.unfinished"
_NOTE = """
insert into millrace.instants (stream, snapshot, noted_at, shown) values (%s, %s, now(), %s)
on conflict (stream) do update
set snapshot = excluded.snapshot, noted_at = excluded.noted_at, shown = excluded.shown
"""
_READ = "select stream, snapshot, extract(epoch from noted_at)::float8, shown from millrace.instants"


@dataclass(frozen=True)
class Instant:
    """Of one stream.

    Attributes:
        snapshot: The version of the lake.
        noted_at: When, in seconds since 1970.
        shown: Mart → stream → its newest batch that the mart holds then.
    """

    snapshot: int
    noted_at: float
    shown: Mapping[str, Mapping[str, int]]


class Builder:
    """A process that builds models, and says when it begins and when all are done. Opens on first use.

    Args:
        settings: Where the catalog is.
        groups: Streams that belong together → the models that follow from them.
    """

    def __init__(self, settings: Settings, groups: Mapping[tuple[str, ...], frozenset[str]]) -> None:
        self._settings, self._name = settings, process_name()
        self._groups = groups
        self._open: Connection | None = None

    def begin(self, models: Iterable[str]) -> None:
        """Note what is going to be built, and what follows from it: until it is, there is no instant.

        Args:
            models: Names.

        Raises:
            CatalogUnavailable: The catalog does not answer.
        """
        self._in_turn(lambda cursor: cursor.execute(_BEGIN, (sorted(models), self._name)))

    def end(
        self,
        built: Iterable[str],
        *,
        failed: Iterable[str] = (),
        snapshot: Callable[[], int],
        shown: Mapping[str, Mapping[str, int]],
    ) -> frozenset[str]:
        """Note what was built and passed its checks, and the instant of all streams that lack nothing.

        Args:
            built: Names of models.
            failed: Names of others, which did not pass.
            snapshot: Asks for the newest version of the lake.
            shown: Mart → stream → its newest batch that the mart holds.

        Returns:
            Those streams.

        Raises:
            CatalogUnavailable: The catalog does not answer.
        """

        def note(cursor: extensions.cursor) -> frozenset[str]:
            cursor.execute(_END, (sorted(built), self._name))
            cursor.execute(_BEGIN, (sorted(failed), self._name))
            cursor.execute(_UNFINISHED)
            unfinished = {model for (model,) in cursor.fetchall()}
            complete = [streams for streams, models in self._groups.items() if not models & unfinished]
            streams = [stream for group in complete for stream in group]
            if streams:
                # Nobody begins to build between the look at what is unfinished and this: it is our turn.
                version, text = snapshot(), json.dumps(shown)
                for stream in streams:
                    cursor.execute(_NOTE, (stream, version, text))
                cursor.execute("select pg_notify(%s, %s)", (CHANNEL, str(version)))
            return frozenset(streams)

        return self._in_turn(note)

    def close(self) -> None:
        """Close its connection: what it has not built by now is left over."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _in_turn(self, work: Callable[[extensions.cursor], _T]) -> _T:
        """Do something in a transaction that no other builder has at the same time; it may be done twice."""
        for is_last in (False, True):
            try:
                connection = self._connection()
                with connection, connection.cursor() as cursor:
                    cursor.execute(_TURN)
                    return work(cursor)
            except psycopg2.Error as error:  # the server was restarted since it was last asked
                self.close()
                if is_last:
                    reason = (str(error).strip().splitlines() or ["no answer"])[0]
                    raise CatalogUnavailable(f"the catalog does not answer ({reason})") from None
        raise AssertionError

    def _connection(self) -> Connection:
        if self._open is None:
            self._open = connect_catalog(self._settings, application_name=self._name)
            self._open.autocommit = False
        return self._open


def read_instants(connection: Connection) -> dict[str, Instant]:
    """Stream → its newest instant.

    Args:
        connection: To the catalog's database.
    """
    with connection.cursor() as cursor:
        cursor.execute(_READ)
        return {
            stream: Instant(int(snapshot), at, json.loads(shown))
            for stream, snapshot, at, shown in cursor.fetchall()
        }


def unfinished_models(connection: Connection) -> dict[str, float]:
    """Model → since when it waits to be built and checked, in seconds since 1970.

    Args:
        connection: To the catalog's database.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "select model, extract(epoch from min(since))::float8 from millrace.unfinished group by model"
        )
        return dict(cursor.fetchall())
