"""Which models hold alerts, and a look at their open ones after what they show was built.

What becomes of them: conditions/rule_alerts.py. What a rule is: docs/rules.md.
"""

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import duckdb
from dagster import AssetKey

from ingestion.errors import MillraceError, StorageError
from ingestion.lake.lake import CATALOG_NAME, Lake
from orchestration.conditions.rule_alerts import OpenAlert, Progress, note_rule_alerts
from orchestration.dbt.alert_tables import alert_tables
from orchestration.dbt.lineage import Lineage
from orchestration.dbt.project import ParsedModels

_log = logging.getLogger(__name__)
_MOST_ROWS = 100_000
"""No more open alerts of one model are looked at: what is beyond changes no condition."""


@dataclass(frozen=True)
class AlertModel:
    """A model whose rows are alerts.

    Attributes:
        name: Its name.
        relation: Schema and name of its table or view.
        key: The column that says what breaks the rule.
        severities: Those that are conditions.
        after: The models after whose build it may show something new; none: after every one.
        needs: Stream that it follows from → the tables on the way, itself among them if it is one.
    """

    name: str
    relation: str
    key: str
    severities: tuple[str, ...]
    after: frozenset[AssetKey]
    needs: Mapping[str, AbstractSet[AssetKey]] = field(default_factory=dict)


def alert_models(parsed: ParsedModels, lineage: Lineage) -> list[AlertModel]:
    """The models with `meta: {rule_alerts: …}`, by name.

    Args:
        parsed: The project.
        lineage: What follows from what.
    """
    return sorted(_alert_models(parsed, lineage), key=lambda each: each.name)


def _alert_models(parsed: ParsedModels, lineage: Lineage) -> Iterator[AlertModel]:
    for table in alert_tables(parsed.manifest):
        asset = lineage.keys.get(table.unique_id)
        if asset is None:
            continue
        before = {key for key, models in lineage.following.items() if asset in models} | {asset}
        after = before if before & lineage.tables else ()  # a view of the ledger changes without a build
        yield AlertModel(
            table.name,
            f"{_quoted(CATALOG_NAME)}.{_quoted(table.schema)}.{_quoted(table.table)}",
            table.key,
            table.severities,
            frozenset(after),
            lineage.tables_before(asset),
        )


def look_at_alerts(
    lake: Lake, models: Sequence[AlertModel], *, built: AbstractSet[AssetKey], traceparent: str = ""
) -> None:
    """Note the open alerts of models that may show something new; what cannot be read stays as it was.

    Args:
        lake: The lake.
        models: The models of alerts.
        built: What has just been built.
        traceparent: Of the cycle that built it, where it is traced.
    """
    for model in models:
        if not model.severities or (model.after and not model.after & built):
            continue
        try:
            note_rule_alerts(
                lake.settings.data_dir, model.name, _open_alerts(lake, model, traceparent),
                progress=partial(_progress, lake, model.needs, built=built, built_at=datetime.now(UTC)),
            )  # fmt: skip
        except (duckdb.Error, StorageError) as error:
            _log.warning("The open alerts of %s are not known: %s", model.name, str(error).splitlines()[0])


class EarlyLook:
    """Looks at alerts while a build goes on: at once when all is built that they are read from.

    What is built after that may take as long again, and whoever waits for an alert would wait for it.

    Args:
        lake: The lake; nobody else may use it while dbt works.
        models: The models of alerts.
        tables: Those of the models that this build makes, which are tables.
        traceparent: Of the cycle, where it is traced.
    """

    def __init__(
        self, lake: Lake, models: Sequence[AlertModel], *, tables: AbstractSet[AssetKey], traceparent: str
    ) -> None:
        self._lake, self._traceparent = lake, traceparent
        self._awaited = {each.name: (each, each.after & tables) for each in models if each.after & tables}
        self._built: set[AssetKey] = set()
        self._lock = threading.Lock()
        self.seen: set[str] = set()

    def note(self, key: AssetKey) -> None:
        """A model has been built; called from dbt's thread, or from several."""
        with self._lock:
            self._built.add(key)
            due = [
                model
                for name, (model, after) in self._awaited.items()
                if name not in self.seen and after <= self._built
            ]
            with suppress(MillraceError):  # the build goes on; who looks at its end says what is wrong
                look_at_alerts(self._lake, due, built=frozenset(self._built), traceparent=self._traceparent)
                self.seen |= {model.name for model in due}


def _progress(
    lake: Lake,
    needs: Mapping[str, AbstractSet[AssetKey]],
    *,
    built: AbstractSet[AssetKey],
    built_at: datetime,
) -> Progress:
    if not needs:
        return Progress(built_at=built_at, built={})
    wanted = ", ".join("?" for _ in needs)
    rows = lake.query(
        "select stream || ' ' || source_partition, max(end_position), epoch_us(max(ingested_at)) "
        f"from raw.batches where stream in ({wanted}) group by 1",
        [*needs],
    )
    reached = {str(place): int(end) for place, end, _ in rows if end is not None}
    landed = [found for _, _, at in rows if (found := _time(at)) is not None]
    whole = {stream: tables <= built for stream, tables in needs.items()}
    return Progress(reached, max(landed, default=None), built_at, whole)


def _open_alerts(lake: Lake, model: AlertModel, traceparent: str) -> list[OpenAlert]:
    wanted = ", ".join("?" for _ in model.severities)
    # A column that a model lacks is none of its table's: the outer name gives null in its place.
    sql = f"""
        select rule_id, key, severity, epoch_us(opened_at), description
        from (
            select
                rule_id::varchar as rule_id, {_quoted(model.key)}::varchar as key, severity,
                opened_at::timestamptz as opened_at, description::varchar as description
            from (select * from {model.relation} union all by name select null as description where false)
            where closed_at is null and severity in ({wanted})
        )
        where rule_id is not null and key is not null
        order by opened_at, rule_id, key
        limit {_MOST_ROWS}
    """
    rows = lake.query(sql, [*model.severities])
    return [
        OpenAlert(rule, key, severity, _time(at), text or "", traceparent=traceparent)
        for rule, key, severity, at, text in rows
    ]


def _time(microseconds: int | None) -> datetime | None:
    try:
        return None if microseconds is None else datetime.fromtimestamp(microseconds / 1e6, UTC)
    except (OverflowError, ValueError, OSError):  # an infinite time
        return None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
