"""A new stream's entry in streams.yml: its text, and how it comes into the file without touching the rest."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ingestion.connectors.spec import SourceSpec
from ingestion.declare.fields import FieldSpec
from ingestion.declare.file import load_streams, read_streams
from ingestion.declare.origins import DEFAULT_TYPES
from ingestion.declare.stream import Stream
from ingestion.errors import ConfigError
from ingestion.settings import Settings


@dataclass(frozen=True)
class Entry:
    """A declaration that has not been written yet.

    Attributes:
        name: The stream's.
        source: What `source` says: the kind's key, and the options that were given.
        format: How payloads are decoded, as streams.yml has it; empty for the default.
        event_time: The field with the event's own time; empty for none.
        business_id: The fields that identify an event.
        fields: Name → type and path.
        envelope: What is round each payload; empty for none.
        unnest: The array whose elements are the events; empty for none.
        sequence: How the senders may number their events: written as a comment, for the user to decide.
    """

    name: str
    source: Mapping[str, Any]
    format: Any
    event_time: str
    business_id: tuple[str, ...]
    fields: Mapping[str, FieldSpec]
    envelope: str = ""
    unnest: str = ""
    sequence: Mapping[str, Any] = field(default_factory=dict)

    def stream(self) -> Stream:
        """The stream that it declares.

        Raises:
            ConfigError: It may not be declared so.
        """
        try:
            return Stream.model_validate(yaml.safe_load(self.text())[self.name] | {"name": self.name})
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            message = str(problem["msg"]).removeprefix("Value error, ")
            raise ConfigError(f"stream '{self.name}': {message}") from None

    def text(self) -> str:
        """The entry as streams.yml holds it, with a newline at its end."""
        lines = [f"{_inline(self.name)}:", f"  source: {_inline(dict(self.source))}"]
        if self.format:
            lines.append(f"  format: {_inline(self.format)}")
        if self.envelope:
            lines.append(f"  envelope: {self.envelope}")
        if self.unnest:
            lines.append(f"  unnest: {_inline(self.unnest)}")
        if self.event_time:
            lines.append(f"  event_time: {self.event_time}")
        if self.business_id:
            lines.append(f"  business_id: [{', '.join(self.business_id)}]")
        if self.sequence:
            proposal = f"sequence: {_inline(dict(self.sequence))}"
            lines.append(f"  # {proposal}  # uncomment it to see what never came")
        if self.fields:
            lines.append("  fields:")
        for name, spec in self.fields.items():
            lines.append(f"    {name}: {_inline(_said(name, spec))}")
        return "".join(f"{line}\n" for line in lines)


def _said(name: str, spec: FieldSpec) -> Any:
    """A field as streams.yml says it, without what goes without saying."""
    if not spec.path:
        origins = {origin: getattr(spec, origin) for origin in spec.origins()}
        return origins | ({} if spec.type == DEFAULT_TYPES[next(iter(origins))] else {"type": spec.type})
    said = {"path": spec.path} if spec.path != name else {}
    said |= {"type": spec.type} | ({"unit": spec.unit} if spec.unit else {})
    return spec.type if said.keys() == {"type"} else said


def source_of(source: SourceSpec) -> dict[str, Any]:
    """What `source` says: the kind's key first, then what was given."""
    given = source.model_dump(mode="json", exclude_unset=True)
    place = given.pop(source.kind)
    single = place[0] if isinstance(place, list) and len(place) == 1 else place
    return {source.kind: single, **given}


def append_entry(file: Path, entry: Entry, *, settings: Settings | None = None) -> None:
    """Write the entry at the file's end; every byte before it stays.

    Args:
        file: streams.yml.
        entry: The new stream.
        settings: Of the system: streams that are there may have their fields from a schema registry.

    Raises:
        ConfigError: The stream is declared already, or the file is written so that nothing can be appended.
        StorageError: The file cannot be written.
    """
    before = file.read_text(encoding="utf-8")
    declared, waiting = read_streams(file, settings=settings)
    if entry.name in {each.name for each in declared} | {each.name for each in waiting}:
        raise ConfigError(f"stream '{entry.name}' is declared already in {file.name}; choose another name")
    gap = "" if not before.strip() else "\n" if before.endswith("\n") else "\n\n"
    text = f"{before}{gap}{entry.text()}"
    place = file.resolve()  # a link stays one
    handle, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
    fresh = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as opened:
            opened.write(text)
        if not _adds(fresh, declared, entry, settings):
            raise ConfigError(
                f"nothing can be appended to {file.name} as it is written; add this by hand:\n{entry.text()}"
            )
        fresh.chmod(place.stat().st_mode & 0o777)
        fresh.replace(place)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _adds(file: Path, declared: tuple[Stream, ...], entry: Entry, settings: Settings | None) -> bool:
    """Whether the file declares what it did, and the new stream."""
    try:
        return load_streams(file, settings=settings) == (*declared, entry.stream())
    except ConfigError:
        return False


def _inline(value: Any) -> str:
    """A value on one line of YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6, allow_unicode=True)
    return text.removesuffix("...\n").strip()
