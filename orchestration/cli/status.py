"""`millrace status`: what does not work, what runs, how far each stream is, what was built and checked."""

import dataclasses
import json
import os
import sys
from datetime import UTC, datetime

from ingestion.errors import ConfigError
from ingestion.settings import Settings
from orchestration.cli.context import err, out
from orchestration.cli.declared import declared_or_in_use
from orchestration.cli.tables import overview_tables
from orchestration.reactions.declared import load_reactions, reactions_file
from orchestration.records.overview import Overview, OverviewReader

_BROKER_SECONDS = 2.0
_WITHIN_SECONDS = 3.0


def status(settings: Settings, *, as_json: bool, check: bool) -> int:
    """Look at everything and print it, within a few seconds whatever hangs.

    Args:
        settings: Where everything is.
        as_json: Whether to print JSON.
        check: Whether something that does not work counts as a failure.

    Returns:
        The exit code: 0; with `check`, 1 when nothing runs, a condition is open or a part did not answer.
    """
    known = declared_or_in_use(settings)
    streams = known.streams or ()
    reader = OverviewReader(settings, streams, broker_seconds=_BROKER_SECONDS)
    overview = reader.read(within_seconds=_WITHIN_SECONDS)
    said = {condition.finding.sentence for condition in overview.conditions}
    sentences = (known.mistake, *known.waiting, _reactions_mistake(settings))
    errors = [each for each in sentences if each and each not in said]
    overview = dataclasses.replace(overview, errors=(*errors, *overview.errors))
    show(overview, as_json=as_json)
    code = int(check and not is_well(overview))
    if reader.hangs:  # closing would wait for what hangs
        sys.stdout.flush()
        err.file.flush()
        os._exit(code)
    reader.close()
    return code


def is_well(overview: Overview) -> bool:
    """Whether a system runs and everything works."""
    return overview.running and not overview.conditions and not overview.errors


def show(overview: Overview, *, as_json: bool) -> None:
    """Print an overview."""
    if as_json:
        content = {
            field.name: getattr(overview, field.name) for field in dataclasses.fields(Overview)
        }  # not asdict, which would take conditions apart
        content["conditions"] = [condition.as_json() for condition in overview.conditions]
        json.dump(content, sys.stdout, default=_plain, indent=2)
        sys.stdout.write("\n")
    else:
        out.print(overview_tables(overview, now=datetime.now(UTC)))


def _reactions_mistake(settings: Settings) -> str:
    """What is wrong with reactions.yml; empty when nothing is."""
    try:
        load_reactions(reactions_file(settings))
    except ConfigError as error:
        return str(error)
    return ""


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"JSON has no form for {type(value).__name__}")
