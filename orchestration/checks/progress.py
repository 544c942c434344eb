"""Which batches of a stream have passed their checks; what failed stays in the next check's scope.

Kept in Dagster's instance, beside its own cursors. It may be lost: then everything is checked again.
"""

from dagster import DagsterInstance


class CheckedBatches:
    """The newest batch per stream up to which every blocking check has passed.

    Args:
        instance: Dagster's instance.
    """

    def __init__(self, instance: DagsterInstance) -> None:
        self._instance = instance

    def last(self, stream: str) -> int:
        """Number of the newest batch known to be good; 0 when none is."""
        key = _key(stream)
        stored = self._instance.daemon_cursor_storage.get_cursor_values({key}).get(key, "")
        return int(stored) if stored.isdigit() else 0

    def advance(self, stream: str, batch_id: int) -> None:
        """Record that all batches up to `batch_id` are good."""
        self._instance.daemon_cursor_storage.set_cursor_values({_key(stream): str(batch_id)})


def _key(stream: str) -> str:
    return f"millrace/checked_batch/{stream}"
