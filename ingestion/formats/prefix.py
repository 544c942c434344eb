"""The five bytes that clients of a schema registry write before a value: 00, and the schema's number.

https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format
"""

_SIZE = 5
_MOST_LIKELY = 1 << 24
"""Registries count from 1: what is beyond is rather no number of a schema."""


def after_prefix(value: bytes) -> bytes | None:
    """What follows the prefix; None where there is none, or a number that no registry gives."""
    is_number = 0 < int.from_bytes(value[1:_SIZE], "big") < _MOST_LIKELY
    return value[_SIZE:] if value[:1] == b"\0" and is_number and len(value) > _SIZE else None


NEEDS_REGISTRY = (
    "its schema is in a schema registry: set MILLRACE_SCHEMA_REGISTRY_URL and say 'schema: prefix', as in "
    "--format '{avro: {schema: prefix}}'"
)
