"""Notes once a minute what Prometheus would read, for those who ask in SQL: ops.metrics, a week of it."""

import logging
import math
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client.core import Metric

from ingestion.errors import StorageError
from orchestration.metrics.exporter import Exporter
from orchestration.records.metric_samples import Sample, note_minute

_PAUSE_SECONDS = 60.0
_LEFT_OUT = ("millrace_build", "millrace_stream_event_age_seconds", "millrace_check_timestamp_seconds")
"""What says the same every minute, is a histogram, or has a table of its own (Dagster's results)."""
_ONLY_WHEN_NOT_ZERO = (
    "millrace_open_conditions", "millrace_reaction_alerts", "millrace_check_failed", "millrace_check_warned",
)  # fmt: skip
"""Each has a series for all there could be; nearly all of them are 0."""
_log = logging.getLogger(__name__)


def history(families: Iterable[Metric]) -> Iterator[Sample]:
    """What is kept of a scrape.

    Args:
        families: As the exporter collects them.
    """
    for family in families:
        if family.name in _LEFT_OUT:
            continue
        for sample in family.samples:
            is_kept = sample.value != 0 or family.name not in _ONLY_WHEN_NOT_ZERO
            if is_kept and math.isfinite(sample.value):
                yield Sample(sample.name, sample.labels, float(sample.value))


def keep_history(exporter: Exporter, data_dir: Path) -> threading.Thread:
    """Note a minute after the other on a thread of its own, until the process ends.

    Args:
        exporter: Its figures.
        data_dir: The data folder.
    """

    def run() -> None:
        while True:
            time.sleep(_PAUSE_SECONDS)
            try:
                note_minute(data_dir, list(history(exporter.collect())), at=time.time())
            except StorageError as error:
                _log.warning("%s", error)
            except Exception as error:  # whatever it is, the next minute may be noted
                _log.warning("A minute of metrics was not noted: %s", type(error).__name__)

    thread = threading.Thread(target=run, name="history", daemon=True)
    thread.start()
    return thread
