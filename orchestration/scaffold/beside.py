"""Fields that identify an event and are not in its payload: proposed where the payload has none."""

import json
from collections.abc import Mapping, Sequence
from itertools import combinations

from ingestion.connectors.spec import TopicPlace
from ingestion.declare.paths import write_path
from ingestion.declare.sources import Seen
from orchestration.scaffold.propose import Proposed, column_name

_MOST_LEVELS = 8


def fields_beside(seen: Sequence[Seen], place: TopicPlace | None) -> list[Proposed]:
    """The parts of keys and topics that differ from message to message.

    Args:
        seen: The sample.
        place: Where the topic is; a key that is the topic is not taken for a key.
    """
    found = []
    if place and place.column == "event_key":
        found = _levels([str(each.key or "").split(place.separator) for each in seen])
    elif all(each.key is not None for each in seen):
        found = _of_keys([str(each.key) for each in seen])
    return [field for field in found if len(set(field.texts)) > 1]


def choices(beside: Sequence[Proposed], event_time: str | None, *, enough: bool) -> list[tuple[str, ...]]:
    """What may identify an event, the fewest fields first; one field alone only if the sample is large."""
    names = [field.name for field in beside]
    if not names:
        return []
    sets = [each for size in (1, 2, len(names)) for each in combinations(names, min(size, len(names)))]
    with_time = [(*each, event_time) for each in sets] if event_time else []
    return list(dict.fromkeys([*((each,) for each in names if enough and not event_time), *with_time]))


def _levels(topics: Sequence[Sequence[str]]) -> list[Proposed]:
    if not topics or len({len(topic) for topic in topics}) > 1 or len(topics[0]) > _MOST_LEVELS:
        return []
    levels = enumerate(zip(*topics, strict=True), start=1)
    return [_field(f"topic_{at}", {"topic": at}, texts, f"level {at} of the topic") for at, texts in levels]


def _of_keys(keys: Sequence[str]) -> list[Proposed]:
    documents = [_object(key) for key in keys]
    names = {tuple(document) for document in documents if document}
    if not all(documents) or len(names) != 1:
        return [_field("message_key", {"key": True}, keys, "the key")]
    (paths,) = names
    values = {path: [str((document or {})[path]) for document in documents] for path in paths}
    return [
        _field(column_name(["key", path]), {"key": write_path((path,))}, texts, f"'{path}' of the key")
        for path, texts in values.items()
    ]


def _object(key: str) -> Mapping[str, object] | None:
    try:
        document = json.loads(key)
    except ValueError:
        return None
    return document if isinstance(document, dict) and document else None


def _field(name: str, origin: Mapping[str, object], texts: Sequence[str], what: str) -> Proposed:
    reason = f"{what}, {len(set(texts))} different in {len(texts)}"
    return Proposed(name, "varchar", "", reason, tuple(texts), origin)
