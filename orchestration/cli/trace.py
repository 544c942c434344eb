"""`millrace trace`: one event's way, from its log to the rows that it touched, and the seconds per hop.

Where the event is, ingestion/trace says; what is printed is in trace_view.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ingestion.declare.logs import open_logs
from ingestion.declare.stream import Stream
from ingestion.errors import MillraceError
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import read_states
from ingestion.log.port import Log
from ingestion.settings import Settings
from ingestion.trace.event import Event, follow
from ingestion.trace.named import Finder
from ingestion.trace.rows import Touched, touched
from ingestion.trace.versions import first_changes, moments
from orchestration.dbt.project import ParsedModels
from orchestration.dbt.reached import Reached, reached_from
from orchestration.records.judged import checks_of, last_check
from orchestration.records.reader import CheckRecord, DagsterRecords


@dataclass(frozen=True)
class Hop:
    """A step of the way.

    Attributes:
        name: Where the event was then.
        at: When, UTC; None where that is not known any more.
        seconds: Since the last hop before that is known; None where one of the two is not.
    """

    name: str
    at: datetime | None
    seconds: float | None


@dataclass(frozen=True)
class Mart:
    """A model that shows the event's stream.

    Attributes:
        model: What it is.
        rows: What of it the event touched.
        version: The first version of the lake after the event's staging that changed its table, as far as
            versions are kept; None where none is, and for a view.
        built_at: When that one was committed, UTC.
        is_there: It has been built at all.
    """

    model: Reached
    rows: Touched
    version: int | None
    built_at: datetime | None
    is_there: bool


@dataclass(frozen=True)
class Way:
    """An event's whole way.

    Attributes:
        event: Where it is.
        marts: The models that follow from its stream, those between staging and the marts included.
        checks: The first result of each check of the tables that it is in, since it was there.
        hops: When it was where.
        notes: What could not be looked at, as sentences.
    """

    event: Event
    marts: tuple[Mart, ...] = ()
    checks: tuple[CheckRecord, ...] = ()
    hops: tuple[Hop, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class _Sources:
    """What is asked about each event, read once for all of them."""

    lake: Lake
    logs: Mapping[str, Log]
    there: frozenset[tuple[str, str]]
    parsed: ParsedModels
    records: DagsterRecords


@dataclass(frozen=True)
class Trace:
    """The ways of the events that a text names.

    Attributes:
        text: The text.
        ways: The ways, at most as many as were asked for.
        count: How many events it names.
    """

    text: str
    ways: tuple[Way, ...]
    count: int


def trace(
    settings: Settings, streams: Sequence[Stream], text: str, *, parsed: ParsedModels, limit: int
) -> Trace:
    """Follow what a text names.

    Args:
        settings: Where everything is.
        streams: Those that are looked through.
        text: A receipt, an event id or a business id.
        parsed: The project's models.
        limit: Events at most.

    Raises:
        MillraceError: Nothing has that name, or the lake cannot be read.
    """
    with _sources(settings, streams, parsed) as sources:
        states = read_states(sources.lake) if ("raw", "batches") in sources.there else {}
        found = Finder(sources.lake, streams, logs=sources.logs, states=states).find(text, limit=limit)
        ways = [
            _way(
                sources,
                follow(
                    sources.lake, named, log=sources.logs[named.stream.name],
                    state=states.get(named.stream.name), there=sources.there,
                ),
            )
            for named in found.events
        ]  # fmt: skip
    return Trace(text, tuple(ways), found.count)


@contextmanager
def _sources(settings: Settings, streams: Sequence[Stream], parsed: ParsedModels) -> Iterator[_Sources]:
    records = DagsterRecords(settings, patience_seconds=5.0)
    try:
        with Lake(settings, read_only=True, time_travel=True) as lake, open_logs(streams, settings) as logs:
            yield _Sources(lake, logs, lake.tables(), parsed, records)
    finally:
        records.close()


def _way(sources: _Sources, event: Event) -> Way:
    """An event's way; what it has not reached is left out."""
    lake, batch, version = sources.lake, event.batch, event.staged_version
    models = reached_from(sources.parsed, event.named.stream.name)
    changes = first_changes(lake, after=version) if version is not None else {}
    built = {each.asset: changes.get((each.table.schema, each.table.name)) for each in models}
    wanted = {batch.version if batch else None, version, *built.values()} - {None}
    at = moments(lake, [number for number in wanted if number is not None])
    marts = tuple(_marts(sources, event, models, built, at)) if event.staged is not None else ()
    checks: tuple[CheckRecord, ...] = ()
    notes: list[str] = []
    try:
        checks = tuple(_checks(sources.records, event, marts, at))
    except MillraceError as error:
        notes.append(f"which checks judged it is not known: {error}")
    if sources.parsed.broken.everything:
        notes.append("no model can be read, so what it touched is not known: 'millrace doctor' says why")
    return Way(event, marts, checks, tuple(_hops(event, marts, checks, at)), tuple(notes))


def _marts(
    sources: _Sources,
    event: Event,
    models: Sequence[Reached],
    built: Mapping[str, int | None],
    at: Mapping[int, datetime],
) -> Iterator[Mart]:
    """What each model shows of an event; a row that is the event itself is known to the models after it."""
    business_id = event.named.stream.business_id
    known: dict[str, Mapping[str, Any]] = {}
    for model in models:
        values: dict[str, Any] = dict(event.staged or {})
        for asset in sorted(model.reads):
            values |= known.get(asset, {})
        known[model.asset] = values
        if model.is_staging:
            continue
        if (model.table.schema, model.table.name) not in sources.there:
            yield Mart(model, Touched("nothing", unknown="it has not been built"), None, None, is_there=False)
            continue
        number = built[model.asset]
        rows = touched(sources.lake, model.table, values, business_id=business_id, version=number)
        if rows.match == "event" and len(rows.rows) == 1:
            known[model.asset] = values | dict(rows.rows[0])
        yield Mart(model, rows, number, at.get(number) if number is not None else None, is_there=True)


def _checks(
    records: DagsterRecords, event: Event, marts: Sequence[Mart], at: Mapping[int, datetime]
) -> Iterator[CheckRecord]:
    batch, name = event.batch, event.named.stream.name
    places: list[tuple[str, int | None, datetime | None]] = []
    if batch is not None:
        places.append((f"raw/{name}", batch.version, at.get(batch.version) or batch.read_at))
    if event.staged_version is not None:
        places.append((f"staging/stg_{name}", event.staged_version, at.get(event.staged_version)))
    places += [(mart.model.asset, mart.version, mart.built_at) for mart in marts if mart.is_there]
    for asset, version, since in places:
        since = since or (batch.read_at if batch else None)
        if since is not None:
            yield from checks_of(records, asset, since=since, version=version)


def _hops(
    event: Event, marts: Sequence[Mart], checks: Sequence[CheckRecord], at: Mapping[int, datetime]
) -> Iterator[Hop]:
    batch, name = event.batch, event.named.stream.name
    moments: list[tuple[str, datetime | None]] = [("sent", event.sent_at)]
    if batch is not None:
        moments.append((f"batch {batch.number} begun", batch.started_at))
        moments.append(("read and decoded", batch.read_at))
        table = "raw.rejects" if event.state in ("rejected", "dismissed") else f"raw.{name}"
        if event.state not in ("no event", "lost"):
            moments.append((table, at.get(batch.version)))
    if event.staged_version is not None:
        moments.append((f"staging.stg_{name}", at.get(event.staged_version)))
    built = [mart for mart in marts if mart.built_at is not None]
    for mart in sorted(built, key=lambda each: each.built_at or datetime.max):
        moments.append((f"{mart.model.table.schema}.{mart.model.table.name}", mart.built_at))
    if (checked := last_check(checks)) is not None:
        moments.append(("last check", checked))
    before: datetime | None = None
    for hop, moment in moments:
        seconds = (moment - before).total_seconds() if moment is not None and before is not None else None
        yield Hop(hop, moment, seconds)
        before = moment or before
