"""Running a contract with Soda on the lake: exactly one outcome for every check, after any error too.

Soda is imported only when a contract is run (soda_library.py). What a contract is: contracts.py.
"Could not run" is a separate result, never a pass: outcomes.py.
"""

import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import duckdb

from ingestion.faultpoints import faultpoint
from ingestion.lake.lake import CATALOG_NAME
from orchestration.checks.contracts import Contract, ContractCheck, declares_variable, list_checks
from orchestration.checks.outcomes import Outcome, Statement, first_line, judge, unknown
from orchestration.checks.raw_contracts import NEW_ROWS
from orchestration.checks.reproduce import at_version, rows_at_version
from orchestration.checks.soda_library import complaints, parsed, root_handlers_kept, soda
from orchestration.checks.types import same_in_schema

_SESSION = threading.Lock()  # Soda resolves variables in the parsed contract, which later runs use again


def verify(
    connection: duckdb.DuckDBPyConnection,
    contract: Contract,
    *,
    since_batch: int | None = None,
    now: datetime | None = None,
) -> tuple[Outcome, ...]:
    """Check what a table promises, as of the last commit.

    Works on its own cursor: transaction, current schema and pending result of `connection` stay
    as they are, and what its open transaction wrote is not seen.

    Args:
        connection: A DuckDB connection with the DuckLake attached as `lake`.
        contract: What is promised.
        since_batch: Look only at batches with a greater number; raw tables only.
        now: What freshness and "recent" are measured against, with a time zone; the clock by default.

    Returns:
        One outcome for each of `list_checks(contract)`, in that order.

    Raises:
        ConfigError: The contract itself is malformed.
        ValueError: `since_batch` was given for a contract that does not know batches.
    """
    checks = list_checks(contract)
    variables = _variables(contract, since_batch)
    try:
        cursor = connection.cursor()
        cursor.execute(f"use {CATALOG_NAME}; set TimeZone = 'UTC'")
    except duckdb.Error as error:
        return tuple(unknown(contract, check, first_line(error)) for check in checks)
    with _SESSION:
        try:
            return _outcomes(_Job(cursor, contract, variables, now), checks)
        finally:
            cursor.close()


@dataclass(frozen=True)
class _Job:
    cursor: duckdb.DuckDBPyConnection
    contract: Contract
    variables: dict[str, str]
    now: datetime | None


@dataclass
class _Run:
    """What came out of one pass over a contract: Soda's results by check path, and how it got there."""

    results: dict[str, Any] = field(default_factory=dict)
    statements: list[Statement] = field(default_factory=list)
    snapshot_id: int | None = None
    complaints: list[str] = field(default_factory=list)

    @property
    def reason(self) -> str:
        """Why a check has no result: the statement's error, rather than Soda's message about it."""
        errors = [statement.error for statement in self.statements if statement.error]
        return (errors + self.complaints + ["Soda gave no result"])[0]


class _Recorder:
    """Soda's connection to DuckDB; keeps every statement with its error."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, statements: list[Statement]) -> None:
        self._cursor = cursor
        self._statements = statements

    def execute(self, sql: str) -> None:
        try:
            self._cursor.execute(sql)
        except duckdb.Error as error:
            self._statements.append(Statement(sql, first_line(error)))
            raise
        self._statements.append(Statement(sql, None))
        faultpoint("check.queried")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


def _outcomes(job: _Job, checks: tuple[ContractCheck, ...]) -> tuple[Outcome, ...]:
    """All checks in one pass, then each without a result alone: one bad column fails a whole query."""
    run = _run(job)
    outcomes = {check.name: _judge(job, check, run) for check in checks}
    unanswered = [check for check in checks if outcomes[check.name] is None]
    absent = _absent(job) if unanswered else None
    for check in unanswered:
        if absent:
            outcomes[check.name] = unknown(job.contract, check, absent)
            continue
        alone = _run(job, check.path) if len(checks) > 1 else run
        outcomes[check.name] = _judge(job, check, alone) or unknown(
            job.contract, check, alone.reason, alone.statements
        )
    return tuple(outcome for outcome in outcomes.values() if outcome)


def _judge(job: _Job, check: ContractCheck, run: _Run) -> Outcome | None:
    """A check's outcome in a pass, with the SQL that shows it again."""
    outcome = judge(job.contract, check, run.results.get(check.path), run.statements)
    if outcome is None or run.snapshot_id is None:
        return outcome
    sql = ""
    if outcome.result != "passed" and check.type != "schema":
        scope = job.variables.get(NEW_ROWS, "true")
        sql = (
            rows_at_version(
                job.contract.schema,
                job.contract.table,
                check.breach,
                scope=scope,
                snapshot_id=run.snapshot_id,
            )
            if check.breach
            else at_version(outcome.query, run.snapshot_id)
        )
    return replace(outcome, snapshot_id=run.snapshot_id, reproduce=sql)


def _absent(job: _Job) -> str | None:
    """Why there is no table to look at, or None."""
    try:
        found = job.cursor.execute(
            "select 1 from duckdb_columns()"
            " where database_name = ? and schema_name = ? and table_name = ? limit 1",
            [CATALOG_NAME, job.contract.schema, job.contract.table],
        ).fetchone()
    except duckdb.Error as error:
        return first_line(error)
    return None if found else f"the table {job.contract.dataset} does not exist yet"


def _run(job: _Job, path: str | None = None) -> _Run:
    """One pass of Soda over the contract, or over the one check at `path`."""
    library, run = soda(), _Run()
    token = complaints.set(run.complaints)
    try:
        # One version for all statements of a pass; the outcomes name it.
        job.cursor.execute("begin")
        with suppress(duckdb.Error):  # each check reports what is wrong with the lake
            found = job.cursor.execute(f"select id from {CATALOG_NAME}.current_snapshot()").fetchall()
            run.snapshot_id = int(found[0][0])
        source = library.data_source.from_existing_cursor(job.cursor, name=CATALOG_NAME)
        source.data_source_connection.connection = library.wrapper(_Recorder(job.cursor, run.statements))
        dialect = source.sql_dialect
        dialect.is_same_data_type_for_schema_check = same_in_schema
        dialect.format_metadata_data_type = str  # whole: Soda cuts precision, and what a list or struct holds
        with root_handlers_kept():
            session = library.session.execute(
                [parsed(job.contract)],
                data_source_impls=[source],
                variables=job.variables,
                data_timestamp=job.now.isoformat() if job.now else None,
                check_paths=[path] if path else None,
            )
        run.results.update(
            (result.check.relative_path, result)
            for contract_result in session.results
            for result in contract_result.check_results
            if not result.is_excluded
        )
    except Exception as error:  # drivers' errors and Soda's: each becomes the reason of a check
        run.complaints.append(first_line(error))
    finally:
        with suppress(duckdb.Error):
            job.cursor.execute("rollback")
        complaints.reset(token)
    return run


def _variables(contract: Contract, since_batch: int | None) -> dict[str, str]:
    if since_batch is None:
        return {}
    if not declares_variable(contract, NEW_ROWS):
        raise ValueError(f"{contract.origin} does not know batches: run it without since_batch")
    return {NEW_ROWS: f"batch_id > {since_batch:d}"}
