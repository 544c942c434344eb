"""Why a run failed, from the events that Dagster recorded of it, as a sentence.

Reading them is reader.py's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

_LONGEST = 600


@dataclass(frozen=True)
class FailedRun:
    """A run that did not succeed.

    Attributes:
        run_id: Dagster's id.
        job: The job's name.
        status: FAILURE or CANCELED.
        streams: Those that it was asked to ingest, with commas between; empty for other jobs.
        seconds: How long it ran.
        ended_at: UTC.
        cause: Why, as the failing step says it; empty where nothing was recorded.
    """

    run_id: str
    job: str
    status: str
    streams: str
    seconds: float
    ended_at: datetime
    cause: str

    @property
    def sentence(self) -> str:
        """Which run, of what, how it ended and why."""
        streams = f" of {self.streams.replace(',', ', ')}" if self.streams else ""
        end = "failed" if self.status == "FAILURE" else "was cancelled"
        why = f": {self.cause}" if self.cause else ""
        return f"run {self.run_id[:8]} ({self.job}{streams}) {end} after {self.seconds:.0f} s{why}"


def cause_of(events: Sequence[Mapping[str, Any]]) -> str:
    """The causes that the failing steps give; what ended the run itself only where no step failed.

    Args:
        events: Failures of steps and of the run, as Dagster stores them.
    """
    steps = [_cause(event) for event in events if event.get("event_type_value") == "STEP_FAILURE"]
    causes = steps or [_cause(event) for event in events]
    return "; ".join(dict.fromkeys(filter(None, causes)))[:_LONGEST]


def _cause(event: Mapping[str, Any]) -> str:
    data = event.get("event_specific_data") or {}
    given = (data.get("user_failure_data") or {}).get("description")
    if given:
        return " ".join(str(given).split())
    return message_of(data.get("error") or {}) or str(event.get("message") or "").split("\n")[0]


def message_of(error: Mapping[str, Any]) -> str:
    """The first line of what an error's innermost cause says.

    Args:
        error: As Dagster stores it: SerializableErrorInfo.
    """
    causes = [error]
    while causes[-1].get("cause"):
        causes.append(causes[-1]["cause"])
    sentences = [text for each in reversed(causes) if (text := _first_line(each))]
    said = [text for text in sentences if not text.startswith("<")]  # gRPC's innermost one is a repr
    return next(iter(said or sentences), "")


def _first_line(error: Mapping[str, Any]) -> str:
    # Dagster puts the class before the message: `module.LogTruncated: stream 'orders': …`.
    first, _, rest = str(error.get("message") or "").strip().partition("\n")
    name, colon, message = first.partition(": ")
    text = message if colon and " " not in name else first
    return text or rest.split("\n")[0]
