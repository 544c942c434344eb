"""What does not work about marts in PostgreSQL, from what the publisher says of itself."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ingestion.clock import StampAges
from orchestration.conditions.condition import Finding
from orchestration.records.serving_status import read_status
from orchestration.records.system_state import ServiceRow

_LATE = timedelta(minutes=1)
_UNFINISHED = timedelta(minutes=10)
_SUBJECT = "marts in PostgreSQL"


class Serving:
    """Looks again and again.

    Args:
        data_dir: The data folder.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir, self._ages = data_dir, StampAges()

    def look(self, services: Iterable[ServiceRow]) -> Iterator[Finding]:
        """What is wrong now.

        Args:
            services: The processes.
        """
        status = read_status(self._data_dir)
        if status is None or status.pid not in {row.pid for row in services if row.name == "serving"}:
            return  # that it does not run is a finding of its own
        if status.error:
            yield Finding("serving_behind", _SUBJECT, f"{_SUBJECT} stay as they are: {status.error}")
        elif status.waits_since is not None and self._older(status.waits_since, _LATE):
            yield Finding(
                "serving_behind", _SUBJECT,
                f"{_SUBJECT} are more than a minute behind the lake",
                "The log 'serving.log' may say why; it goes on by itself.",
            )  # fmt: skip
        elif waiting := sorted(
            name for name, since in status.unfinished.items() if self._older(since, _UNFINISHED)
        ):
            named = ", ".join(waiting[:5]) + (" and others" if len(waiting) > 5 else "")
            yield Finding(
                "serving_behind", _SUBJECT,
                f"{_SUBJECT} that follow from the same streams as {named} stay as they are: for more than "
                "10 min these models have not been built, or do not pass their checks",
                "Mend the model or its data; the next run that builds it and passes ends this.",
            )  # fmt: skip

    def _older(self, since: float, age: timedelta) -> bool:
        return self._ages.of(datetime.fromtimestamp(since, UTC)) > age
