"""`millrace doctor`: each part of the installation, examined by itself; every problem with its remedy.

It changes nothing but the rendered dbt sources. A part that another one needs is examined after it.
"""

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator, Sequence

from rich.text import Text

from ingestion.clock import utc_now
from ingestion.connectors.port import Finding
from ingestion.data_folder import demo_has_ended
from ingestion.errors import MillraceError
from orchestration.cli import examinations, examine_durability, examine_registry, examine_sources
from orchestration.cli.context import Globals, err, out
from orchestration.cli.declared import declared_or_in_use
from orchestration.cli.errors import sentence
from orchestration.cli.tables import table

Examination = Callable[[], Iterator[Finding]]


def examine(options: Globals) -> list[Finding]:
    """Examine everything; settings and streams first, for the rest needs them."""
    findings = _safely("versions", examinations.versions)
    try:
        settings = options.settings()
    except MillraceError as error:
        return [*findings, Finding("settings", "problem", str(error))]
    known, mistake, waiting = declared_or_in_use(settings)
    streams = known or ()
    names = ", ".join(stream.name for stream in streams) or "none"
    findings.append(
        Finding("streams", "problem", mistake)
        if mistake
        else Finding("streams", "ok", f"{settings.streams_file} declares {names}")
    )
    reads_dbt = not mistake and not waiting
    findings += [Finding("streams", "problem", sentence) for sentence in waiting]
    parts: dict[str, Examination] = {
        "extensions": examinations.extensions,
        "data folder": lambda: examinations.data_folder(settings),
        "system": lambda: examinations.system(settings),
        "conditions": lambda: examinations.conditions(settings),
        "reactions": lambda: examinations.reactions(settings),
        "catalog": lambda: examinations.catalog(settings),
        "lake": lambda: examinations.lake(settings),
        "sources": lambda: examine_sources.sources(settings, streams),
        "brokers": lambda: examine_sources.brokers(settings, streams),
        "schema registry": lambda: examine_registry.registry(settings, streams),
        "durability": lambda: examine_durability.brokers(settings, streams, now=utc_now()),
        "space": lambda: examine_durability.space(settings, now=utc_now()),
        "web UI": lambda: examinations.web_ui(settings),
    }
    if known is None:  # every spool would look as if no stream read it
        del parts["sources"], parts["brokers"], parts["durability"]
    if demo_has_ended(settings.data_dir):  # with everything else that could answer
        parts = {part: parts[part] for part in ("extensions", "data folder", "system")}
    if reads_dbt:  # else dbt would only miss the sources that the streams are
        parts["dbt"] = lambda: examinations.dbt(settings, streams)
    for part, examination in parts.items():
        with err.status(f"examining {part} …"):
            findings += _safely(part, examination)
    return findings


def show(findings: Sequence[Finding], *, as_json: bool) -> int:
    """Print what was found.

    Returns:
        The exit code: 1 when there is a problem.
    """
    if as_json:
        json.dump([dataclasses.asdict(finding) for finding in findings], sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        colours = {"ok": "green", "note": "yellow", "problem": "red"}
        made = table("state", "part", "")
        for finding in findings:
            made.add_row(Text(finding.state, colours[finding.state]), finding.part, Text(finding.message))
        out.print(made)
    return int(any(finding.state == "problem" for finding in findings))


def _safely(part: str, examination: Examination) -> list[Finding]:
    """An examination that fails is a finding, and the others go on."""
    found: list[Finding] = []
    try:
        found.extend(examination())
    except Exception as error:
        message = (
            sentence(error) or f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        )
        found.append(Finding(part, "problem", message))
    return found
