"""`millrace adopt`: go on after a loss that only a person may accept: of a spool, of a partition."""

import dataclasses
import json
import sys
from collections.abc import Mapping

from ingestion.connectors.registry import is_collected
from ingestion.declare.logs import open_logs
from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.land.adoption import Adoption
from ingestion.land.adoption import adopt as adopt_spool
from ingestion.land.retirement import accept_loss
from ingestion.migrate.prepare import prepare_lake
from ingestion.settings import Settings
from orchestration.cli.context import announce, out


def adopt(settings: Settings, stream: Stream, *, as_json: bool) -> None:
    """Adopt a stream's spool and say what became of it."""
    with Lake(settings) as lake:
        prepare_lake(lake, [stream.name], progress=announce)
        if not is_collected(stream.source):
            with open_logs([stream], settings) as logs:
                lost = accept_loss(lake, stream, logs[stream.name])
            _accept(stream, lost, as_json=as_json)
            return
        adoption = adopt_spool(lake, stream)
    if as_json:
        json.dump(dataclasses.asdict(adoption), sys.stdout)
        sys.stdout.write("\n")
    else:
        out.print(_sentence(adoption), markup=False)


def _accept(stream: Stream, lost: Mapping[str, int], *, as_json: bool) -> None:
    """Say which partitions were given up."""
    if as_json:
        json.dump({"stream": stream.name, "lost": dict(lost)}, sys.stdout)
        sys.stdout.write("\n")
        return
    if not lost:
        out.print(
            f"{stream.name}: nothing unread is gone at the broker, there is nothing to accept", markup=False
        )
    for partition, positions in sorted(lost.items()):
        out.print(
            f"{stream.name}: goes on without {partition}, {positions:,} unread positions are lost",
            markup=False,
        )


def _sentence(adoption: Adoption) -> str:
    if not adoption.broken:
        return f"{adoption.stream}: its spool continues the lake, there is nothing to adopt"
    lost = (
        f"{adoption.lost:,} positions that were seen in the other spool are lost unread, beside what it got "
        "after the last batch"
        if adoption.lost
        else "what the other spool got after the last batch is lost unread"
    )
    return (
        f"{adoption.stream}: the lake goes on at position {adoption.position:,} with the spool that is "
        f"there; {adoption.events:,} events wait in it, {adoption.skipped:,} before them are in the lake "
        f"already; {lost}"
    )
