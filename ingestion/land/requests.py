"""What a format wants to be sent to its source once a batch is in the lake: by the source's own sender.

It is sent at most once: what a killed process did not send is asked for again by later events.
"""

from collections.abc import Sequence

import structlog

from ingestion.connectors.messages import Outgoing
from ingestion.declare.sources import open_sender
from ingestion.declare.stream import Stream
from ingestion.errors import MillraceError
from ingestion.faultpoints import faultpoint
from ingestion.formats.port import Request
from ingestion.settings import Settings

_log = structlog.get_logger(__name__)


def send_requests(stream: Stream, requests: Sequence[Request], settings: Settings) -> None:
    """Send them. The lake has the events already: a failure is worth a warning only.

    Args:
        stream: The stream, which declares that its format may send.
        requests: Messages for its source.
        settings: How the source is reached.
    """
    if not requests:
        return
    faultpoint("batch.requests")
    destinations = [each.destination for each in requests]
    try:
        sender = open_sender(stream.source, settings)
        try:
            sender.send([Outgoing(each.destination, each.value) for each in requests])
        finally:
            sender.close()
    except MillraceError as error:
        _log.warning("requests not sent", stream=stream.name, destinations=destinations, error=str(error))
    else:
        _log.info("requests sent", stream=stream.name, destinations=destinations)
