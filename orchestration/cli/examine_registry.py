"""What `millrace doctor` finds out about the schema registry: each address, and the subjects of streams.yml.

It is asked afresh; what the data folder keeps shows only whether it still has the same schemas.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from urllib.parse import quote

from ingestion.connectors.port import Finding
from ingestion.declare.stream import Stream
from ingestion.errors import ConfigError, FormatUnavailable
from ingestion.formats.schema_registry.access import SchemaRegistryAccess, registry_access
from ingestion.formats.schema_registry.choice import Strategy, SubjectSchema, is_registered, subject_of
from ingestion.formats.schema_registry.client import RegistryClient
from ingestion.formats.schema_registry.kept import Kept
from ingestion.formats.schema_registry.refilled import IDS, changed, sentence
from ingestion.formats.schema_registry.whole import path_of, whole_answer
from ingestion.settings import REGISTERED_FOLDER, Settings

PART = "schema registry"
_SECONDS = 5.0
_MOST_COMPARED = 20
_ANY_ID = "/schemas/ids/1"
"""Whoever may read schemas gets an answer; that there is no such schema is one, too."""


def registry(settings: Settings, streams: Sequence[Stream]) -> Iterator[Finding]:
    """Whether the registry answers and takes the login; nothing where no stream reads from one."""
    reading = [stream for stream in streams if any(map(is_registered, _places(stream)))]
    if not reading:
        return
    access = registry_access(settings)
    if not access.urls:
        yield Finding(PART, "problem", f"{_stops(reading)}: set MILLRACE_SCHEMA_REGISTRY_URL to its address")
        return
    failed = [(url, reason) for url in access.urls if (reason := _reason(access, url))]
    if len(failed) == len(access.urls):
        yield Finding(PART, "problem", f"{failed[0][1]}; until then {_stops(reading)}")
        return
    for url, reason in failed:
        yield Finding(PART, "note", f"{reason}; until then the others are asked instead of {url}")
    lacking = 0
    client, asked = RegistryClient(access, timeout_seconds=_SECONDS), dict[str, bool]()
    kept = Kept(settings.data_dir / REGISTERED_FOLDER)
    newest = kept.names(IDS)[-_MOST_COMPARED:]
    name = changed(kept, reversed(newest), lambda name: whole_answer(client, path_of(name)))
    if name:
        yield Finding(PART, "problem", sentence(name, ", ".join(access.urls), kept))
        return
    for stream in reading:
        for subject, path in _subjects(stream):
            asked[path] = client.get(path) is not None
            if not asked[path]:
                lacking += 1
                yield Finding(
                    PART, "problem",
                    f"stream '{stream.name}' stops: the registry has no {subject}; register its schema, or "
                    "correct 'schema' in streams.yml",
                )  # fmt: skip
    if not lacking:
        working = [url for url in access.urls if url not in dict(failed)]
        subjects = f"; it has {len(asked)} of {len(asked)} subjects that streams.yml names" if asked else ""
        yield Finding(PART, "ok", f"{', '.join(working)} answers{_taken(access)}{subjects}")


def _reason(access: SchemaRegistryAccess, url: str) -> str:
    """Why an address cannot be used; empty where it can."""
    try:
        one = access.model_copy(update={"url": url})
        RegistryClient(one, timeout_seconds=_SECONDS).get(_ANY_ID)
    except FormatUnavailable as error:
        return str(error)
    return ""


def _stops(streams: Sequence[Stream]) -> str:
    names = ", ".join(f"'{stream.name}'" for stream in streams)
    each = f"stream {names} stops" if len(streams) == 1 else f"streams {names} stop"
    return f"{each} at the first schema that the data folder does not keep"


def _taken(access: SchemaRegistryAccess) -> str:
    """Which login it took; no secret."""
    if access.token:
        return " and takes the token"
    return f" and takes the login of '{access.username}'" if access.username else " without a login"


def _places(stream: Stream) -> list[object]:
    chosen = [stream.format, *([stream.key] if stream.key else [])]
    return [getattr(each.options, "place", None) for each in chosen]


def _subjects(stream: Stream) -> Iterator[tuple[str, str]]:
    """The subjects without which the stream stops: as a sentence names them, and where they are asked for."""
    for is_key, place in enumerate(_places(stream)):
        subject, version = "", "latest"
        if isinstance(place, SubjectSchema):
            subject, version = place.subject, str(place.version or "latest")
        elif place == "latest":
            chosen = stream.key if is_key and stream.key else stream.format
            strategy: Strategy = getattr(chosen.options, "subjects", "topic")
            with suppress(ConfigError):  # a source of several topics has several subjects
                topic = stream.source.destination("")
                subject = subject_of(strategy, topic=topic, record="", is_key=bool(is_key))
        if subject:
            said = (
                f"subject '{subject}'" if version == "latest" else f"version {version} of subject '{subject}'"
            )
            yield said, f"/subjects/{quote(subject, safe='')}/versions/{version}"
