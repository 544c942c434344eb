"""Asset keys, job names and run tags: every name that Dagster shows or that two files share.

Dagster is imported with the first key: who wants a name alone, as `millrace up` does, starts without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dagster import AssetKey

    from ingestion.declare.stream import Stream

REFRESH_JOB = "refresh"
AUDIT_JOB = "audit"
UPKEEP_JOB = "maintain"
RETRY_JOB = "retry_rejects"
REPLAY_JOB = "replay"
REPORT_JOB = "report"
ARRIVALS_SENSOR = "arrivals"

HANGING_TAG = "millrace/hanging"
"""Of a run that was ended because it did not get on: the stream whose batch it was at."""
STREAMS_TAG = "millrace/streams"
"""On a run: the streams that it ingests, with commas between."""

STREAM_TAG = "stream/"
"""Before a stream's name, on a run that ingests it: Dagster's page of runs shows and filters by it."""

WARNING = "only a warning: "
"""How a warning's sentence begins: Dagster's pages call each check Failed that did not pass."""

NOTE = "note: "
"""How the sentence of a check begins that has passed and has something to say."""

GOES_ON_TAG = "millrace/goes_on"
"""On a run that goes on while events keep coming: the streams that it may ingest then."""

UNTIL_TAG = "millrace/until"
"""On a run that goes on: when it has to end, because a failing stream is due then (Unix seconds)."""

CODE_TAG = "millrace/code"
"""On a run that goes on: the state of the files that its plan was made from; it ends when they change."""

REPAIR_TAG = "millrace/repair"
"""On a run that follows a repair: when the repair ended (ISO)."""

LEFT_OUT_TAG = "millrace/left_out"
"""On a run: the models that it leaves out which failed before or follow from one that did."""

STREAM_METADATA = "millrace_stream"
"""On a step's failure: the streams that failed → why, if the step does more than one."""

MODELS_METADATA = "millrace_models"

RUNS_METADATA = "runs"
"""Of a check and its results: hourly, where the schedule runs it and not every build."""

CPU_METADATA = "cpu_seconds"
"""Of a batch, a model or a check: the CPU-seconds that the run's process spent on it."""
"""On a step's failure: the models that failed, or EVERY_MODEL → why."""

EVERY_MODEL = "*"
"""Stands for all models where a failure names none."""

MODELS_TAG = "millrace/models"
"""On a run that builds every model and seed: the fingerprint of their text."""

SOURCES_GROUP = "sources"
RAW_GROUP = "raw"
EXPOSURES_GROUP = "exposures"
OPS_GROUP = "ops"
"""The models over the ledger; their contracts read all of it, too slow for every run."""

LEDGER_CHECK = "ledger_proof"
LEDGER_AUDIT = "ledger_audit"
ANOMALIES = "anomalies"
FRESHNESS_CHECK = "freshness_budget"


def source_key(stream: Stream) -> AssetKey:
    """The broker's topic (or topics) that a stream reads."""
    from dagster import AssetKey

    return AssetKey([stream.kind, stream.name])


def raw_key(stream_name: str) -> AssetKey:
    """The stream's raw table."""
    from dagster import AssetKey

    return AssetKey(["raw", stream_name])


def raw_op_name(stream_name: str) -> str:
    """The op, and step, that ingests a stream."""
    return f"raw__{stream_name}"


def stream_of_step(step_key: str) -> str | None:
    """The stream that a step ingests, or None for any other step."""
    prefix = raw_op_name("")
    return step_key.removeprefix(prefix) if step_key.startswith(prefix) else None
