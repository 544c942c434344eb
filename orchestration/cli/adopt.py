"""`millrace adopt`: go on with another spool after a collected stream's own was lost."""

import dataclasses
import json
import sys

from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.land.adoption import Adoption
from ingestion.land.adoption import adopt as adopt_spool
from ingestion.migrate.prepare import prepare_lake
from ingestion.settings import Settings
from orchestration.cli.context import announce, out


def adopt(settings: Settings, stream: Stream, *, as_json: bool) -> None:
    """Adopt a stream's spool and say what became of it."""
    with Lake(settings) as lake:
        prepare_lake(lake, [stream.name], progress=announce)
        adoption = adopt_spool(lake, stream)
    if as_json:
        json.dump(dataclasses.asdict(adoption), sys.stdout)
        sys.stdout.write("\n")
    else:
        out.print(_sentence(adoption), markup=False)


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
