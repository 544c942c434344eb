"""What of dbt's nodes and of checks becomes spans of the run's trace: names and figures.

A batch's span is in ingestion/land/traced.py; how spans are made and sent: ingestion/telemetry. Where traces
are off, nothing here costs more than a call.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import duckdb
from dagster import AssetCheckResult

from ingestion.errors import MillraceError
from ingestion.lake.lake import Lake
from ingestion.telemetry.handed_on import hand_on
from ingestion.telemetry.run_trace import RunTrace, Step
from orchestration.dbt.results import NodeResult, why_failed
from orchestration.run.breaks import breaks

_log = logging.getLogger(__name__)
_TESTS = ("test", "unit_test")


def trace_nodes(trace: RunTrace, nodes: Iterable[NodeResult]) -> None:
    """A span for each node that dbt ran.

    Args:
        trace: Of the run.
        nodes: Their results.
    """
    if not trace.is_on:
        return
    for node in nodes:
        if node.began_at is None:  # it was skipped
            continue
        kind, _, rest = node.unique_id.partition(".")
        name = rest.split(".")[1] if kind in _TESTS else rest.rpartition(".")[2]
        values: dict[str, str | int | float] = {"millrace.status": node.status}
        for key, value in (
            ("rows", node.rows_affected), ("failures", node.failures), ("cpu_seconds", node.cpu_seconds),
        ):  # fmt: skip
            if value is not None:
                values[f"millrace.{key}"] = value
        began = node.began_at.timestamp()
        failure = why_failed(node) if node.failed else ""
        trace.record(
            f"{kind} {name}", began=began, ended=began + node.seconds, values=values, failure=failure
        )


def trace_checks(trace: RunTrace, results: Iterable[AssetCheckResult]) -> Iterator[AssetCheckResult]:
    """Pass results on, and make a span of what one asset's took.

    Args:
        trace: Of the run.
        results: In order of their assets; each is computed when it is asked for.
    """
    began = time.time()
    for key, group in groupby(results, key=lambda result: result.asset_key):
        found: list[AssetCheckResult] = []
        for result in group:
            found.append(result)
            yield result
        ended = time.time()
        name = key.path[-1] if key is not None else ""
        trace.record(
            f"check {name}", began=began, ended=ended, values=_verdict(found), failure=_broken(found)
        )
        began = time.time()


def say_checks(step: Step, results: Sequence[AssetCheckResult]) -> None:
    """Say what some checks found.

    Args:
        step: Theirs.
        results: All of them.
    """
    step.add(_verdict(results))
    step.failure = _broken(results)


def hand_on_trace(trace: RunTrace, lake: Lake, marts: Iterable[str]) -> None:
    """Let the processes that publish marts know which trace built them.

    Args:
        trace: Of the run.
        lake: That holds them.
        marts: Their names.
    """
    if not trace.traceparent:
        return
    try:
        data_dir, snapshot = lake.settings.data_dir, lake.snapshot_id()
        hand_on(data_dir, marts, traceparent=trace.traceparent, snapshot=snapshot)
    except (MillraceError, duckdb.Error) as error:
        _log.warning("What is published of this cycle has no trace: %s", str(error).splitlines()[0])


def _verdict(results: Sequence[AssetCheckResult]) -> dict[str, int | list[str]]:
    failed = [str(result.check_name) for result in results if not result.passed]
    return {"millrace.checks": len(results), "millrace.checks_failed": failed}


def _broken(results: Sequence[AssetCheckResult]) -> str:
    return ", ".join(str(result.check_name) for result in results if breaks(result))
