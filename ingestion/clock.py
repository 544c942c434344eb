"""The present. It is an argument wherever time matters, so that tests can set it."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The present, UTC."""
    return datetime.now(UTC)
