"""The kinds of conditions: the only list of them. docs/operations.md has a paragraph for each.

The order is that of importance: what stands above is shown first.
"""

from collections.abc import Mapping
from dataclasses import dataclass

CONDITIONS_ASSET = "millrace/conditions"
"""The asset that shows them in the web UI: a check for each kind."""

_DOCS = "docs/operations.md"


@dataclass(frozen=True)
class Kind:
    """A kind of condition.

    Attributes:
        name: As in the journal, in JSON and in alerts.
        title: What is the matter, in a few words.
        patience_seconds: How long it has to last before it is worth an alert; it is shown at once.
        severity: error or warning: quiet hours may let one of them through.
    """

    name: str
    title: str
    patience_seconds: float = 0.0
    severity: str = "error"

    @property
    def docs(self) -> str:
        """Where the operations manual is about it."""
        return f"{_DOCS}#{self.name.replace('_', '-')}"


_RESTART_SECONDS = 15.0  # a process that died is back within a few
_OUTAGE_SECONDS = 30.0  # brokers and databases restart

KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("service_down", "a process does not run", _RESTART_SECONDS),
        Kind("service_stuck", "a process lives and does not work", _RESTART_SECONDS),
        Kind("catalog_unreachable", "a database does not answer", _OUTAGE_SECONDS),
        Kind("files_not_writable", "a file of the data folder cannot be written"),
        Kind("disk_low", "a disk is nearly full"),
        Kind("streams_file_refused", "streams.yml cannot be used"),
        Kind("stream_waiting", "a stream waits for the schema that its fields come from"),
        Kind("code_not_loaded", "edited files are not in use", severity="warning"),
        Kind("sensor_off", "a sensor was switched off", severity="warning"),
        Kind("sensor_failing", "a sensor fails", _OUTAGE_SECONDS),
        Kind("source_unreachable", "a stream's source does not answer", _OUTAGE_SECONDS),
        Kind("collector_in_trouble", "a collector cannot do its work", _OUTAGE_SECONDS),
        Kind("spool_blocked", "nothing more can be stored of what senders wait for", _RESTART_SECONDS),
        Kind("stream_stalled", "a stream has unread events and does not go on"),
        Kind("messages_unrouted", "messages came that no stream takes", severity="warning"),
        Kind("partition_stopped", "a part of a stream does not go on"),
        Kind("stream_paused", "a stream fails and waits for its next try"),
        Kind("rejects_flood", "much of what a stream brings cannot be decoded", severity="warning"),
        Kind("stream_silent", "a stream brings nothing for longer than usual", severity="warning"),
        Kind("schema_changed", "senders' newest schema lacks declared fields", severity="warning"),
        Kind("sequence_gap", "events that a sender has numbered are missing", severity="warning"),
        Kind("project_file_broken", "a file of the dbt project is left out"),
        Kind("model_failing", "a model fails when it is built"),
        Kind("serving_behind", "marts in PostgreSQL are not the newest", _OUTAGE_SECONDS, severity="warning"),
        Kind("budget_broken", "a mart is later than it promises", severity="warning"),
        Kind("job_failing", "a job's last run failed"),
        Kind("run_stuck", "a run does not go on"),
        Kind("check_failing", "a check failed"),
        Kind("rule_alert", "a rule of the project has an open alert"),
        Kind("reactions_file_refused", "reactions.yml cannot be used"),
        Kind("alert_undelivered", "alerts do not reach somebody", _OUTAGE_SECONDS),
    )
}


def as_metadata(name: str, sentences: Mapping[str, str]) -> dict[str, str | int]:
    """What the web UI shows of a kind.

    Args:
        name: The kind.
        sentences: Subject → what is said of it, of the open conditions.
    """
    return {
        "what": KINDS[name].title,
        "open": len(sentences),
        "sentences": "\n".join(f"{subject}: {text}" for subject, text in sentences.items()) or "none",
    }
