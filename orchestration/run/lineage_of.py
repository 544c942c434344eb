"""What batches, dbt's nodes and checks read and write, for a catalog that takes OpenLineage.

How events are made and sent: ingestion/telemetry/lineage.py. Where it is off, nothing here costs anything.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dagster import AssetCheckResult, AssetKey

from ingestion.connectors.registry import connector
from ingestion.declare.stream import Stream
from ingestion.errors import ConfigError, MillraceError
from ingestion.lake.lake import CATALOG_NAME, Lake
from ingestion.land.report import BatchReport
from ingestion.land.session import LakeSession
from ingestion.log.envelope import EVENT_SCHEMA, SQL_TYPES
from ingestion.settings import Settings
from ingestion.telemetry.jobs import Assertion, Dataset, Job
from orchestration.dbt.lineage import NodeKeys
from orchestration.dbt.project import BUILT_TYPES
from orchestration.dbt.results import NodeResult, why_failed

_RAW_COLUMNS = tuple((column.name, SQL_TYPES[column.type]) for column in EVENT_SCHEMA)
_COLUMNS = (
    "select table_schema, table_name, column_name, data_type from information_schema.columns "
    f"where table_catalog = '{CATALOG_NAME}' order by ordinal_position"
)


def note_load(
    session: LakeSession,
    stream: Stream,
    *,
    run_id: str,
    began: float,
    report: BatchReport | None = None,
    error: Exception | None = None,
) -> None:
    """A batch: from its source to its raw table.

    Args:
        session: The run's.
        stream: Its stream.
        run_id: Dagster's run.
        began: When it began, in seconds since 1970.
        report: What it did; None where it failed.
        error: Why it failed.
    """
    if not session.lineage.is_on:
        return
    job = Job(f"load.{stream.name}", "LOAD", (source_of(stream, session.settings),), (_raw(stream.name),))
    session.lineage.did(
        job,
        parent=run_id,
        began=began,
        rows=report.events_landed if report else None,
        bytes=report.bytes_read if report else None,
        version=_version(session.lake) if report else None,
        failure="" if error is None else _sentence(error),
    )


def note_raw_checks(
    session: LakeSession, stream: Stream, results: Sequence[AssetCheckResult], *, run_id: str, began: float
) -> None:
    """The checks of a raw table.

    Args:
        session: The run's.
        stream: The table's stream.
        results: What they found.
        run_id: Dagster's run.
        began: When they began, in seconds since 1970.
    """
    if session.lineage.is_on:
        job = Job(f"check.raw.{stream.name}", "CHECK", (_raw(stream.name),))
        session.lineage.did(job, parent=run_id, began=began, assertions=_assertions(results))


class ModelLineage:
    """Of the models' op in one run.

    Args:
        session: The run's.
        manifest: dbt's, of the project.
        nodes: dbt's ids → Dagster's keys.
        run_id: Dagster's run.
    """

    def __init__(
        self, session: LakeSession, manifest: Mapping[str, Any], nodes: NodeKeys, *, run_id: str
    ) -> None:
        self._session, self._manifest, self._nodes, self._run_id = session, manifest, nodes, run_id
        self._columns: dict[tuple[str, str], tuple[tuple[str, str], ...]] | None = None

    def note_build(self, results: Iterable[NodeResult]) -> None:
        """What dbt did: each model it built, and each test.

        Args:
            results: dbt's.
        """
        if not self._session.lineage.is_on:
            return
        version = _version(self._session.lake)
        tests = defaultdict[AssetKey, list[NodeResult]](list)
        for result in results:
            check = self._nodes.checks.get(result.unique_id)
            if check is not None:
                tests[check.asset_key].append(result)
            elif result.unique_id in self._nodes.assets and result.began_at is not None:
                self._session.lineage.did(
                    self._job(result),
                    parent=self._run_id,
                    began=result.began_at.timestamp(),
                    rows=result.rows_affected,
                    version=version,
                    failure=why_failed(result) if result.failed else "",
                )
        for key, found in tests.items():
            ran = [result for result in found if result.began_at is not None]
            assertions = [
                Assertion(self._nodes.checks[result.unique_id].name, result.status == "pass")
                for result in ran
            ]
            began = min((result.began_at.timestamp() for result in ran if result.began_at), default=0.0)
            self._note_checks(key, assertions, began=began)

    def noted(self, results: Iterable[AssetCheckResult]) -> Iterator[AssetCheckResult]:
        """Pass on the results of contracts, and note them.

        Args:
            results: In order of their assets.
        """
        began, found = time.time(), defaultdict[AssetKey, list[AssetCheckResult]](list)
        for result in results:
            if result.asset_key is not None:
                found[result.asset_key].append(result)
            yield result
        for key, checks in found.items():
            self._note_checks(key, _assertions(checks), began=began)

    def _note_checks(self, key: AssetKey, assertions: Sequence[Assertion], *, began: float) -> None:
        unique_id = next((each for each, asset in self._nodes.assets.items() if asset == key), None)
        if assertions and unique_id is not None and self._session.lineage.is_on:
            dataset = self._dataset(unique_id)
            job = Job(f"check.{dataset.name}", "CHECK", (dataset,))
            self._session.lineage.did(job, parent=self._run_id, began=began, assertions=assertions)

    def _job(self, result: NodeResult) -> Job:
        output = self._dataset(result.unique_id)
        inputs = tuple(self._dataset(each) for each in sorted(self._read_by(result.unique_id)))
        return Job(f"build.{output.name}", "MODEL", inputs, (output,), sql=result.sql or "")

    def _read_by(self, unique_id: str) -> set[str]:
        """The tables and views that a model reads, also through ephemeral models."""
        found = set[str]()
        for parent in self._manifest["nodes"][unique_id].get("depends_on", {}).get("nodes", ()):
            node = self._manifest["nodes"].get(parent)
            if node is None:
                found |= {parent} & self._manifest["sources"].keys()
            elif node["config"].get("materialized") == "ephemeral":
                found |= self._read_by(parent)
            elif node["resource_type"] in BUILT_TYPES:
                found.add(parent)
        return found

    def _dataset(self, unique_id: str) -> Dataset:
        source = self._manifest["sources"].get(unique_id)
        node = source or self._manifest["nodes"][unique_id]
        table = node["identifier"] if source else node["alias"]
        return Dataset(f"{node['schema']}.{table}", columns=self._columns_of(node["schema"], table))

    def _columns_of(self, schema: str, table: str) -> tuple[tuple[str, str], ...]:
        if self._columns is None or (schema, table) not in self._columns:
            found = defaultdict[tuple[str, str], list[tuple[str, str]]](list)
            for there, name, column, type_ in self._session.lake.query(_COLUMNS):
                found[there, name].append((column, type_.lower()))
            self._columns = {place: tuple(columns) for place, columns in found.items()}
            self._columns.setdefault((schema, table), ())
        return self._columns[schema, table]


def source_of(stream: Stream, settings: Settings) -> Dataset:
    """Where a stream's events come from: a topic with the declared fields.

    Args:
        stream: The stream.
        settings: Say where its broker is.
    """
    try:
        name = stream.source.destination()
    except (ConfigError, NotImplementedError):  # several topics
        name = stream.source.origin
    try:
        namespace = settings.access(stream.kind, connector(stream.kind).access).namespace
    except MillraceError:
        namespace = ""
    columns = tuple((field, spec.type) for field, spec in stream.fields.items())
    return Dataset(name, namespace or f"{stream.kind}://", columns)


def _raw(stream: str) -> Dataset:
    return Dataset(f"raw.{stream}", columns=_RAW_COLUMNS)


def _version(lake: Lake) -> int | None:
    try:
        return lake.snapshot_id()
    except MillraceError:
        return None


def _assertions(results: Iterable[AssetCheckResult]) -> list[Assertion]:
    return [Assertion(str(result.check_name), bool(result.passed)) for result in results]


def _sentence(error: Exception) -> str:
    return str(error) if isinstance(error, MillraceError) else type(error).__name__
