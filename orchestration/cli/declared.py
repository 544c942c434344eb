"""The declared streams for commands that examine: with a mistake in streams.yml, those that are in use."""

from typing import NamedTuple

from ingestion.declare.file import read_declared
from ingestion.declare.stream import Stream
from ingestion.errors import MillraceError
from ingestion.settings import Settings
from orchestration.records.system_state import streams_in_use


class Known(NamedTuple):
    """What is known of the streams.

    Attributes:
        streams: The declared ones; with a mistake those that are in use, or None where that is unknown.
        mistake: What is wrong with their file; empty where it is right.
        waiting: A sentence for each stream that is left out until its schema can be had.
    """

    streams: tuple[Stream, ...] | None
    mistake: str = ""
    waiting: tuple[str, ...] = ()


def declared_or_in_use(settings: Settings) -> Known:
    """The streams, and what is wrong with their file."""
    try:
        found = read_declared(settings)
    except MillraceError as error:
        try:
            found = read_declared(settings, streams_in_use(settings.data_dir))
        except MillraceError:
            return Known(None, str(error))
        return Known(found.streams, str(error))
    return Known(found.streams, waiting=tuple(each.sentence for each in found.waiting))
