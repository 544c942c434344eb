"""A registry's answer with the texts of all schemas that it refers to."""

from typing import Any
from urllib.parse import quote

from ingestion.errors import FormatUnavailable
from ingestion.formats.schema_registry.client import RegistryClient

_MOST_REFERENCES = 200


def path_of(name: str) -> str:
    """Where a schema is asked for by its number or its GUID."""
    return f"/schemas/{'ids' if name.isdigit() else 'guids'}/{name}"


def whole_answer(client: RegistryClient, path: str) -> dict[str, Any] | None:
    """Ask for a schema.

    Args:
        client: Of the registry.
        path: Of an id, or of a subject's version.

    Returns:
        Its kind, text and references, its subject and version where it was asked for by them, and `id`, which
        is empty where the registry does not say it; None: the registry has no such thing.

    Raises:
        FormatUnavailable: The registry does not answer, or lacks a schema that this one refers to.
    """
    answer = _asked(client, path)
    if answer is None:
        return None
    references = dict[str, str]()
    _refer(client, answer, references, ())
    return {
        "kind": str(answer.get("schemaType") or "AVRO"),
        "text": str(answer.get("schema", "")),
        "references": [[name, text] for name, text in references.items()],
        "subject": str(answer.get("subject") or ""),
        "version": int(answer.get("version") or 0),
        "id": str(answer.get("id") or ""),
    }


def _refer(
    client: RegistryClient, answer: dict[str, Any], found: dict[str, str], inside: tuple[str, ...]
) -> None:
    for each in answer.get("references") or ():
        name, subject, version = str(each["name"]), str(each["subject"]), int(each["version"])
        if name in found or name in inside:
            continue
        referred = _asked(client, f"/subjects/{quote(subject, safe='')}/versions/{version}")
        if referred is None or len(found) >= _MOST_REFERENCES:
            raise FormatUnavailable(
                f"a schema refers to version {version} of subject '{subject}', which the registry "
                "does not have: register it again, and the same events are read again"
            )
        _refer(client, referred, found, (*inside, name))
        found[name] = str(referred.get("schema", ""))


def _asked(client: RegistryClient, path: str) -> dict[str, Any] | None:
    """An answer; of Protobuf with descriptors, which the registry gives only where they are asked for."""
    answer = client.get(path)
    if answer is not None and answer.get("schemaType") == "PROTOBUF":
        answer = client.get(f"{path}?format=serialized")
    return answer
