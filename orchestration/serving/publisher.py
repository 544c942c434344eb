"""The process that publishes: it sleeps until the catalog notifies of an instant, and publishes the newest.

What one publication is, is in publication.py. It holds up nobody: runs only note instants.
"""

import logging
import os
import select
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace

import duckdb
import psycopg2

from ingestion.errors import CatalogUnavailable, MillraceError, ServingUnavailable, StorageError
from ingestion.faultpoints import faultpoint
from ingestion.lake.catalog import Connection, lock_session, process_name
from ingestion.lake.lake import WATCHER_SECONDS, Lake
from ingestion.serve.consumers import SERVING, note_read
from ingestion.serve.instants import CHANNEL, Instant, read_instants, unfinished_models
from ingestion.serve.shelf import Mart, served_marts
from ingestion.settings import Settings
from ingestion.telemetry.spans import open_spans
from orchestration.records.serving_status import ServingStatus, read_status, write_status
from orchestration.serving.address import connect
from orchestration.serving.publication import MartChanged, Publication, publish, wanted_versions
from orchestration.serving.role import prepare_reader
from orchestration.serving.traced import trace_publication

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 5.0
_REST_PER_WORK = 9
"""It works a tenth of the time at most, so that marts get the machine; after a long look `_LOOK_SECONDS`."""
_FIRST_REST_SECONDS, _LONGEST_REST_SECONDS = 1.0, 30.0
_MEMORY = "256MB"


class Publisher:
    """Publishes while it is asked to; one for a data folder.

    Args:
        settings: Where the lake is, and the database for BI tools.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lake, self._opened_s = Lake(settings, read_only=True, time_travel=True), 0.0
        self._catalog: Connection | None = None
        self._target: Connection | None = None
        self._whole = set[str]()
        self._spans = open_spans(settings, part="serving")
        before = read_status(settings.data_dir) or ServingStatus(0, 0.0)
        self._status = ServingStatus(os.getpid(), time.time(), noted=before.noted, shown=before.shown)

    def run(self, stop: int, ended: Callable[[], bool]) -> None:
        """Go on until it is ended.

        Args:
            stop: A file descriptor that is readable then.
            ended: Whether that is so.
        """
        rest = _FIRST_REST_SECONDS
        while not ended():
            began = time.monotonic()
            try:
                self.look()
                rest = _FIRST_REST_SECONDS
                self._sleep(stop, at_least=min(_REST_PER_WORK * (time.monotonic() - began), _LOOK_SECONDS))
            except (MillraceError, psycopg2.Error, duckdb.Error) as error:
                self._failed(error)
                select.select([stop], [], [], rest)
                rest = min(2 * rest, _LONGEST_REST_SECONDS)
        self.close()

    def look(self) -> Publication | None:
        """Publish the newest instants if they are not published; None if they are.

        Raises:
            MillraceError: A database does not answer, or refuses.
            psycopg2.Error: The same.
            duckdb.Error: The lake cannot be read.
        """
        catalog = self._listening()
        marts = {name: m for name, m in served_marts(self._settings.data_dir).items() if m.published}
        instants = read_instants(catalog)
        wanted = wanted_versions(marts, instants)
        waiting = [each for name, each in wanted.items() if self._status.versions.get(name) != each.snapshot]
        gone = self._status.versions.keys() - marts.keys()
        done = None
        if waiting or gone or self._status.published_at is None:
            self._await(wanted, waiting)
            done = self._publish(catalog, marts, instants)
        unfinished = unfinished_models(catalog)
        self._say(waits_since=None, unfinished=unfinished, error="")
        return done

    def _await(self, wanted: Mapping[str, Instant], waiting: Iterable[Instant]) -> None:
        """Say what waits, and since when; an instant that an earlier process has published does not."""
        noted, known = {name: each.noted_at for name, each in wanted.items()}, self._status
        self._say(
            waits_since=min((each.noted_at for each in waiting), default=None),
            noted=noted,
            shown={mart: at for mart, at in known.shown.items() if noted.get(mart) == known.noted.get(mart)},
        )

    def close(self) -> None:
        """Close its connections."""
        for connection in (self._catalog, self._target):
            if connection is not None:
                connection.close()
        self._catalog = self._target = None
        self._lake.close()
        if self._spans is not None:
            self._spans.close()

    def _publish(
        self, catalog: Connection, marts: Mapping[str, Mart], instants: Mapping[str, Instant]
    ) -> Publication:
        target = self._connected()
        before, began, now = self._status.versions, time.time(), time.monotonic()
        if now - self._opened_s >= WATCHER_SECONDS:  # between publications: in one it must stay the same
            self._lake.close()
            self._opened_s = now
        lake = self._lake.connection
        lake.execute(f"set memory_limit = '{_MEMORY}'")
        lake.execute("set threads = 1")
        lake.execute("begin transaction")
        try:
            with target, target.cursor() as cursor:
                done = publish(cursor, self._lake, marts, instants, whole=frozenset(self._whole))
                faultpoint("serving.written")
        except MartChanged as error:
            self._whole.add(error.mart)
            _log.warning("mart '%s' is not as it was published: it is published as a whole", error.mart)
            raise ServingUnavailable(
                f"mart '{error.mart}' in the database for BI tools is not as it was published: it is "
                "published as a whole next"
            ) from None
        finally:
            with suppress(duckdb.Error):
                lake.execute("rollback")
        faultpoint("serving.committed")
        self._whole.clear()
        if done.versions:
            note_read(catalog, SERVING, min(done.versions.values()))
        published_at = time.time()
        if self._spans is not None:
            trace_publication(
                self._spans, self._settings.data_dir, done.versions,
                before=before, rows=done.rows, began=began, ended=published_at,
            )  # fmt: skip
        self._say(
            published_at=published_at,
            versions=done.versions,
            shown={mart: self._status.shown.get(mart, published_at) for mart in self._status.noted},
            rows=sum(done.rows.values()),
            seconds=done.seconds,
        )
        return done

    def _listening(self) -> Connection:
        if self._catalog is None:
            self._catalog = lock_session(self._settings, application_name=process_name())
            with self._catalog.cursor() as cursor:
                cursor.execute(f"listen {CHANNEL}")
        return self._catalog

    def _connected(self) -> Connection:
        if self._target is None:
            self._target = connect(self._settings)
            prepare_reader(self._target, self._settings)
        return self._target

    def _sleep(self, stop: int, *, at_least: float) -> None:
        """Until there is something new."""
        select.select([stop], [], [], at_least)
        catalog = self._listening()
        catalog.poll()
        if not catalog.notifies:
            select.select([catalog, stop], [], [], _LOOK_SECONDS)
            catalog.poll()
        catalog.notifies.clear()

    def _failed(self, error: Exception) -> None:
        sentence = str(error) if isinstance(error, MillraceError) else _sentence(error)
        _log.warning("%s", sentence)
        if isinstance(error, duckdb.Error | CatalogUnavailable) or self._is_lost(self._catalog):
            self.close()
        elif self._is_lost(self._target):
            self._target = None
        self._say(error=sentence)

    @staticmethod
    def _is_lost(connection: Connection | None) -> bool:
        return connection is not None and bool(connection.closed)

    def _say(self, **changes: object) -> None:
        self._status = replace(self._status, looked_at=time.time(), **changes)  # type: ignore[arg-type]
        with suppress(StorageError):  # a full disk is reported elsewhere
            write_status(self._settings.data_dir, self._status)


def _sentence(error: Exception) -> str:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if isinstance(error, psycopg2.errors.LockNotAvailable):
        return (
            "a mart has new columns, and somebody has been reading from the database for BI tools without a "
            "pause: it is tried again until nobody does"
        )
    if isinstance(error, duckdb.Error):
        return f"the lake cannot be read for serving ({reason}): it is tried again"
    return f"the database for BI tools refuses the marts ({reason}): it is tried again"
