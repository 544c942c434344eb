"""A declared stream → its decoder: the format of its values, the one of its keys, and what they need."""

from ingestion.declare.stream import Stream
from ingestion.formats.decode import Decode, decoder
from ingestion.settings import Settings


def decoder_of(stream: Stream, settings: Settings | None, *, with_keys: bool = True) -> Decode:
    """The decoder of a stream.

    Args:
        stream: The stream.
        settings: How what its formats need is reached.
        with_keys: Keys are decoded as the stream declares it; without, they are left as they are, because raw
            has no other bytes of them.
    """
    place = stream.topic_place
    return decoder(
        stream.format,
        settings,
        key=stream.key if with_keys else None,
        topic_column=place.column if place else "",
    )
