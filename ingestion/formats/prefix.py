"""The five bytes that clients of a schema registry write before a value: 00, and the schema's number.

https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format
"""

from collections.abc import Sequence

from ingestion.formats.likeness import Likeness, Sample, likeness

_SIZE = 5
_MOST_LIKELY = 1 << 24
"""Registries count from 1: what is beyond is rather no number of a schema."""
BY_REGISTRY = {"schema": "prefix"}
"""What a stream declares whose values name their schemas in a registry."""


def after_prefix(value: bytes) -> bytes | None:
    """What follows the prefix; None where there is none, or a number that no registry gives."""
    is_number = 0 < int.from_bytes(value[1:_SIZE], "big") < _MOST_LIKELY
    return value[_SIZE:] if value[:1] == b"\0" and is_number and len(value) > _SIZE else None


def likeness_of_prefix(
    name: str, level: float, found: int, samples: Sequence[Sample], what: str
) -> Likeness | None:
    """What a format says of samples that begin with the prefix; the registry itself knows better (kinds.py).

    Args:
        name: The format's.
        level: How sure it is.
        found: How many samples have it.
        samples: All.
        what: What was seen in them.
    """
    needs = (
        "its schema is in a schema registry: set MILLRACE_SCHEMA_REGISTRY_URL, and it is recognised; or say "
        f"--format '{{{name}: {{schema: prefix}}}}'"
    )
    return likeness(level, found, samples, what, options=BY_REGISTRY, needs=needs)
