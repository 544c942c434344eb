"""Up to which batch a stream is checked, and up to which it is in the models.

Kept in Dagster's instance, next to Dagster's cursors. If it is lost, batches are checked and built again.
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar

from dagster import DagsterInstance


class _Marks:
    _name: ClassVar[str]

    def __init__(self, instance: DagsterInstance) -> None:
        self._storage = instance.daemon_cursor_storage

    def last(self, stream: str) -> int:
        """Number of the stream's newest batch up to which this is so; 0 when none is known."""
        return self.of([stream])[stream]

    def of(self, streams: Iterable[str]) -> dict[str, int]:
        """The same for several streams at once."""
        keys = {stream: f"millrace/{self._name}/{stream}" for stream in streams}
        stored = self._storage.get_cursor_values(set(keys.values())) if keys else {}
        texts = {stream: stored.get(key, "") for stream, key in keys.items()}
        return {stream: int(text) if text.isdigit() else 0 for stream, text in texts.items()}

    def advance(self, batches: Mapping[str, int]) -> None:
        """Record, for each stream, that this is so up to a batch."""
        if batches:
            named = {f"millrace/{self._name}/{stream}": str(batch) for stream, batch in batches.items()}
            self._storage.set_cursor_values(named)


class CheckedBatches(_Marks):
    """The newest batch per stream up to which every blocking check has passed.

    Args:
        instance: Dagster's instance.
    """

    _name = "checked_batch"


class ModelledBatches(_Marks):
    """The newest batch per stream that is in all models that follow from the stream.

    Args:
        instance: Dagster's instance.
    """

    _name = "modelled_batch"
