"""What `millrace add` proposes of a sample: a declaration with its reasons, and the files beside it.

How messages are looked at and what is shown and written: orchestration/cli/add.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from ingestion.connectors.spec import SourceSpec
from ingestion.declare.envelopes import envelope_of
from ingestion.declare.paths import parse_path
from ingestion.declare.sources import Seen
from ingestion.declare.stream import DEFAULT_FORMAT
from ingestion.errors import ConfigError
from ingestion.formats.registry import FormatChoice
from orchestration.scaffold.beside import fields_beside
from orchestration.scaffold.counters import find_counter
from orchestration.scaffold.entry import Entry, source_of
from orchestration.scaffold.models import new_files
from orchestration.scaffold.opened import Opened, open_sample, unopened
from orchestration.scaffold.propose import propose_fields
from orchestration.scaffold.roles import find_business_id, find_event_time
from orchestration.scaffold.shapes import Shape, find_unnest, parted
from orchestration.scaffold.wishes import NONE, Wishes, wished_fields, wished_role


@dataclass(frozen=True)
class Sample:
    """Messages that were looked at.

    Attributes:
        format: What decodes them: as the user said, or as they look.
        format_reason: Why, where they look so.
        seen: The messages that have a payload.
        refused: Reason → how many.
        tombstones: How many.
        notes: What was undone by itself.
    """

    format: FormatChoice
    format_reason: str
    seen: tuple[Seen, ...]
    refused: Mapping[str, int]
    tombstones: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What would be written.

    Attributes:
        entry: Of streams.yml.
        reasons: Role or field → what the sample showed.
        files: Below the dbt project.
        notes: What was renamed or left out.
        sample: What was looked at.
    """

    entry: Entry
    reasons: Mapping[str, str]
    files: Mapping[Path, str]
    notes: tuple[str, ...]
    sample: Sample


def make_plan(
    name: str, source: SourceSpec, sample: Sample, wishes: Wishes, *, mart: bool, notes: Sequence[str]
) -> Plan:
    """Propose a stream.

    Args:
        name: The new stream's.
        source: Where its messages come from.
        sample: Some of them.
        wishes: What the user wants other than proposed.
        mart: Whether a mart and its contract are proposed, too.
        notes: What is to be said besides.

    Raises:
        ConfigError: A wish names nothing that is there.
    """
    opened = open_sample(sample.seen) if not sample.format.options.makes_arrays else unopened(sample.seen)
    unnest, reasons = _elements(sample, opened, wishes)
    steps = parse_path(unnest).steps if unnest else () if sample.format.options.makes_arrays else None
    events = parted(opened.payloads, steps)
    if not events.texts:
        raise ConfigError(
            f"no message of {source.origin} holds an element of '{unnest}': nothing was written"
        )
    envelope = envelope_of(opened.envelope)
    parts = envelope.parts if envelope else {}
    around = events.enclosing if steps else ()
    fields, more = propose_fields(events.texts, enclosing=around, taken=parts)
    fields = wished_fields(opened.typed(fields), wishes)
    messages = [sample.seen[opened.rows[number]] for number in events.messages]
    beside = [] if envelope else fields_beside(messages, source.topic_place)
    names = {field.name for field in (*fields, *beside)} | parts.keys()
    sent_at = [each.message.sent_at for each in messages]
    time = opened.event_time() or find_event_time(fields, sent_at=sent_at)
    time = wished_role("--event-time", (wishes.event_time,) if wishes.event_time else (), time, names)
    event_time = time.names[0] if time.names else ""
    whole = [text + outer for text, outer in zip_longest(events.texts, events.enclosing, fillvalue="")]
    found = opened.business_id(fields) or find_business_id(
        fields, whole, event_time=event_time or None, beside=beside
    )
    identity = wished_role("--business-id", wishes.business_id, found, names)
    fields += [field for field in beside if field.name in identity.names]
    reasons |= {"event_time": time.reason, "business_id": identity.reason}
    counter = find_counter(fields)
    reasons |= {"sequence": f"{counter.reason}: a proposal"} if counter else {}
    reasons |= {field.name: field.reason for field in fields}
    entry = Entry(
        name, source_of(source), "" if sample.format == DEFAULT_FORMAT else sample.format.declared(),
        event_time, identity.names, {field.name: field.spec() for field in fields},
        opened.envelope or "", unnest, counter.said() if counter else {},
    )  # fmt: skip
    notes = (*notes, *sample.notes, *more, *opened.notes)
    return Plan(entry, reasons, new_files(entry.stream(), mart=mart), notes, sample)


def _elements(sample: Sample, opened: Opened, wishes: Wishes) -> tuple[str, dict[str, str]]:
    """What `unnest` says, and the reasons for it, for the format and for the envelope."""
    reasons = {"format": sample.format_reason} if sample.format_reason else {}
    if opened.envelope:
        seen = f"{opened.envelope} in {len(set(opened.rows))} of {len(sample.seen)}"
        reasons |= {"envelope": seen}
    shape = Shape()
    if not opened.envelope and not sample.format.options.makes_arrays:
        shape = find_unnest(opened.payloads)
    if wishes.unnest:
        wished = "" if wishes.unnest == NONE else wishes.unnest
        shape = Shape(wished, "as asked for")
    return shape.value or "", reasons | ({"unnest": shape.reason} if shape.reason else {})
