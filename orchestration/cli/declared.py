"""The declared streams for commands that examine: with a mistake in streams.yml, those that are in use."""

from ingestion.declare.file import declared_streams
from ingestion.declare.stream import Stream
from ingestion.errors import MillraceError
from ingestion.settings import Settings
from orchestration.records.system_state import streams_in_use


def declared_or_in_use(settings: Settings) -> tuple[tuple[Stream, ...] | None, str]:
    """The streams, and what is wrong with their file.

    Returns:
        The declared streams and an empty text; else those that are in use, or None where that is unknown.
    """
    try:
        return declared_streams(settings), ""
    except MillraceError as error:
        try:
            return declared_streams(settings, streams_in_use(settings.data_dir)), str(error)
        except MillraceError:
            return None, str(error)
