"""`millrace rebirth`: asks senders of a stream for what their messages are read by, once and by hand."""

import json
import sys
from collections.abc import Sequence

from ingestion.clock import utc_now
from ingestion.connectors.messages import Outgoing
from ingestion.declare.sources import open_sender
from ingestion.errors import ConfigError
from ingestion.formats.port import request_birth
from ingestion.formats.registry import find_format
from orchestration.cli.context import Globals, out
from orchestration.cli.ingest import choose


def rebirth(options: Globals, name: str, nodes: Sequence[str], *, as_json: bool) -> None:
    """Ask, and wait until the broker has accepted it.

    Args:
        options: The global options.
        name: The stream's.
        nodes: The senders, as its format names them.
        as_json: Say it as JSON.

    Raises:
        ConfigError: The stream's format has no births, or a sender's name is wrong.
        SourceUnavailable: The broker did not accept it.
    """
    settings = options.settings()
    (stream,) = choose(options.streams(settings), [name], settings=settings)
    chosen, at_ms = find_format(stream.format.name), int(utc_now().timestamp() * 1000)
    messages = []
    for node in nodes:
        try:
            request = request_birth(chosen, node, at_ms=at_ms)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        if request is None:
            raise ConfigError(
                f"stream '{name}' is {stream.format}, which has no births: name a stream of format sparkplug"
            )
        messages.append(Outgoing(request.destination, request.value))
    sender = open_sender(stream.source, settings)
    try:
        sender.send(messages)
    finally:
        sender.close()
    _report([each.destination for each in messages], as_json=as_json)


def _report(destinations: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        json.dump({"sent": list(destinations)}, sys.stdout)
        sys.stdout.write("\n")
        return
    for each in destinations:
        out.print(f"the broker has accepted the command for '{each}'", markup=False)
