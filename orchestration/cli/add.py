"""`millrace add`: looks at real messages, proposes a stream, and writes it with its first models."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import typer
from rich.text import Text

from ingestion.connectors.messages import Look, Message
from ingestion.connectors.spec import SourceSpec
from ingestion.declare.sources import peek as peek_at
from ingestion.declare.sources import read_messages, read_source
from ingestion.declare.stream import DEFAULT_FORMAT
from ingestion.errors import ConfigError, SourceUnavailable
from ingestion.formats.likeness import Sample as Shown
from ingestion.formats.recognise import Recognised, recognise
from ingestion.formats.registry import FormatChoice
from ingestion.formats.schema_registry.kinds import SchemaKinds
from ingestion.settings import Settings
from orchestration.cli.context import Globals, err, out
from orchestration.cli.messages import printable
from orchestration.cli.peek import known_format, read_pairs, read_start
from orchestration.cli.tables import table
from orchestration.scaffold.entry import Entry, append_entry, source_of
from orchestration.scaffold.plan import Plan, Sample, make_plan
from orchestration.scaffold.schemas import write_schemas
from orchestration.scaffold.shapes import forms
from orchestration.scaffold.wishes import Wishes


def add(
    options: Globals, name: str, *, source_text: str, source_options: Sequence[str], look: Look, since: str,
    format_name: str | None, wishes: Wishes, mart: bool, yes: bool, as_json: bool,
) -> None:  # fmt: skip
    """Propose a stream, and write it if that is wanted.

    Args:
        options: The global options.
        name: The new stream's.
        source_text: kind:place.
        source_options: Of the source, as in start=latest.
        look: How many messages, and how long to wait for them.
        since: latest, earliest or a time.
        format_name: How payloads are decoded; None for the default.
        wishes: What the user wants other than proposed.
        mart: Whether a mart and its contract are written, too.
        yes: Write without asking.
        as_json: Print the proposal as JSON and write nothing.

    Raises:
        MillraceError: The stream is declared, the source does not answer, or no message can be read.
    """
    if yes and as_json:
        raise ConfigError("--json only shows what would be written: leave --yes out")
    settings = options.settings()
    declared = {stream.name: stream for stream in options.streams(settings)}
    if name in declared:
        raise ConfigError(
            f"stream '{name}' is declared already in {settings.streams_file.name}; choose another name"
        )
    source = read_source(source_text, read_pairs(source_options))
    _refuse_name(name, source)
    decoding = known_format(format_name) if format_name else None
    look = Look(look.limit, read_start(since), look.wait_seconds, settings.source_timeout_seconds)
    sample = _take_sample(source, settings, look, decoding)
    also = [f"stream '{each}' reads {source.origin}, too" for each, other in declared.items()
            if other.source.kind == source.kind and other.source.origin == source.origin]  # fmt: skip
    plan = make_plan(name, source, sample, wishes, mart=mart, notes=also)
    if as_json:
        json.dump(_document(plan, settings), sys.stdout, indent=2, ensure_ascii=False)
        sys.stdout.write("\n")
        return
    _show(plan, settings, source)
    if not yes and not (sys.stdin.isatty() and typer.confirm("Write it?", err=True)):
        out.print("nothing was written" if sys.stdin.isatty() else "nothing was written: --yes writes it")
        return
    _write(plan, settings)


def _refuse_name(name: str, source: SourceSpec) -> None:
    """Refuse a name before anybody waits for messages."""
    Entry(name, source_of(source), "", "", (), {}).stream()


def _take_sample(source: SourceSpec, settings: Settings, look: Look, decoding: FormatChoice | None) -> Sample:
    messages: list[Message] = []
    most = settings.payload_max_bytes
    with err.status(f"listening to {source.origin} …") as status, suppress(KeyboardInterrupt):
        for message in peek_at(source, settings, look):
            messages.append(message)
            status.update(
                f"{len(messages)} of {look.limit} messages of {source.origin}; Ctrl-C goes on with these"
            )
    if not messages:
        raise SourceUnavailable(
            f"{source.origin} gave no message, so there is nothing to propose and nothing was written; send "
            f"some, wait longer with --for, or look with 'millrace peek'"
        )
    samples = [Shown(each.value, each.headers, each.key) for each in messages if each.value is not None]
    found = None if decoding else recognise(samples, max_bytes=most, kinds=SchemaKinds(settings))
    if found and not found.choice():
        raise ConfigError(
            f"messages of {source.origin} look like {found.name}: {found.sentence}; nothing was written. "
            "--format binary would keep their bytes until then"
        )
    decoding = decoding or (found.choice() if found else None) or DEFAULT_FORMAT
    seen = list(read_messages(messages, decoding, max_bytes=most, settings=settings))
    refused = Counter(each.reason for each in seen if each.reason)
    heads = found.likeness.heads if found else ()
    landing = [each for each in seen if each.payload is not None]
    whole = [each for each in landing if each.message.value not in heads] or landing
    if not whole:
        reasons = ", ".join(f"{reason} in {count}" for reason, count in refused.items()) or "tombstones only"
        raise ConfigError(
            f"none of {len(seen)} messages of {source.origin} is {decoding} ({reasons}): nothing was "
            "written; 'millrace peek' shows them, --format names another format"
        )
    return Sample(
        decoding,
        found.sentence if found else "",
        tuple(whole),
        refused,
        len(seen) - len(landing) - refused.total(),
        (*forms([each.value for each in samples], str(decoding)), *_notes(found)),
    )


def _notes(found: Recognised | None) -> list[str]:
    if found is None:
        return []
    missing = ", ".join(found.not_asked)
    left_out = f"these formats were not tried, because their library is not installed: {missing}"
    return [each for each in (found.likeness.note, missing and left_out) if each]


def _show(plan: Plan, settings: Settings, source: SourceSpec) -> None:
    sample = plan.sample
    less = "".join(f", {count} more refused: {reason}" for reason, count in sample.refused.items())
    less += (
        f", {sample.tombstones} tombstone{'s' if sample.tombstones > 1 else ''}" if sample.tombstones else ""
    )
    count = len(sample.seen)
    out.print(Text(f"{count} message{'' if count == 1 else 's'} of {source.origin}{less}", style="bold"))
    out.print()
    out.print(Text("\n".join(map(printable, plan.entry.text().splitlines()))))
    out.print()
    rows = table("of the sample", "")
    for subject, reason in plan.reasons.items():
        rows.add_row(printable(subject), Text(printable(reason)))
    out.print(rows, soft_wrap=False)
    for note in plan.notes:
        out.print(Text(f"note: {printable(note)}", style="yellow"))
    out.print()
    out.print(f"at the end of {settings.streams_file.name}, and with it:", markup=False)
    for path in plan.files:
        there = " (there already: it stays as it is)" if (settings.dbt_folder / path).exists() else ""
        out.print(f"  {settings.dbt_folder.name}/{path}{there}", markup=False)


def _write(plan: Plan, settings: Settings) -> None:
    append_entry(settings.streams_file, plan.entry, settings=settings)
    for path, text in plan.files.items():
        place = settings.dbt_folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError), place.open("x", encoding="utf-8") as file:
            file.write(text)
    write_schemas(settings.project)
    name = plan.entry.name
    out.print(f"written; a running system reads '{name}' within seconds, else 'millrace up' does")
    out.print(f"next: millrace status; millrace peek {name}")


def _document(plan: Plan, settings: Settings) -> dict[str, Any]:
    entry, sample = plan.entry, plan.sample
    return {
        "stream": entry.name,
        "messages": len(sample.seen),
        "refused": dict(sample.refused),
        "tombstones": sample.tombstones,
        "declaration": entry.text(),
        "envelope": entry.envelope or None,
        "unnest": entry.unnest or None,
        "event_time": {"field": entry.event_time or None, "reason": plan.reasons["event_time"]},
        "business_id": {"fields": list(entry.business_id), "reason": plan.reasons["business_id"]},
        "sequence": (dict(entry.sequence) | {"reason": plan.reasons["sequence"]}) if entry.sequence else None,
        "fields": [
            {"name": name, "type": spec.type, "path": spec.path, "reason": plan.reasons[name]}
            | {origin: getattr(spec, origin) for origin in spec.origins()}
            for name, spec in entry.fields.items()
        ],
        "notes": list(plan.notes),
        "files": {str(settings.dbt_folder.name / path): text for path, text in plan.files.items()},
    }
