"""What Kinesis may have deleted before it was read, as sentences."""

from collections.abc import Iterable
from datetime import UTC, datetime


def made_again(stream: str, created: datetime) -> str:
    """The data stream is another one of the same name."""
    return (
        f"data stream '{stream}' was deleted and made again at {_shown(created)}; it is read from its "
        "beginning, and what was unread in the former one is lost"
    )


def outlived(stream: str, complete_to: float, *, retention_hours: int) -> str:
    """It was read last longer ago than it keeps events.

    Args:
        stream: The data stream.
        complete_to: Unix seconds.
        retention_hours: How long it keeps an event.
    """
    return (
        f"data stream '{stream}' was last read to {_shown(datetime.fromtimestamp(complete_to, UTC))}, longer "
        f"ago than the {retention_hours} hours that it keeps events: unread ones may be lost"
    )


def shards_gone(stream: str, shards: Iterable[str]) -> str:
    """Shards that were not read to their end are not there any more."""
    return (
        f"data stream '{stream}' has {', '.join(shards)} no more, which was not read to its end: unread "
        "events of it may be lost"
    )


def _shown(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
