"""The SQL with which staging types a value, for programs: the macros themselves, not a second copy.

dbt renders the same files when it builds a staging model.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment

from orchestration.dbt.prepared import PACKAGE

_FILES = (
    "typed_payloads",
    "plausible_times",
    "typed_values",
    "typed_times",
    "payload_texts",
    "payload_keys",
    "origins",
    "debezium",
    "cloudevents",
    "unnested",
)


class _Package:
    """What the macros call `millrace`: themselves."""

    macros: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.macros, name)


def typed_value(text: str, type_name: str) -> str:
    """SQL for a text as a type, null where it is not of that type.

    Args:
        text: SQL of the text.
        type_name: As streams.yml names it.
    """
    return str(_macros().typed_value(text, type_name)).strip()


def is_cut_time(text: str, spec: Mapping[str, Any]) -> str:
    """SQL for whether a timestamp field shows a text to the microsecond, and the text is finer.

    Args:
        text: SQL of the text.
        spec: What the dbt source says of the field.
    """
    unit, format_, pattern, zone = (spec.get(name) for name in ("unit", "format", "pattern", "zone"))
    typed = _macros().typed_timestamp(text, unit, format_, pattern, zone)
    return f"(({_macros().is_cut_time(text, unit, format_)}) and ({typed}) is not null)"


def typed_payloads(
    relation: str,
    fields: Mapping[str, Mapping[str, Any]],
    *,
    event_time: str | None = None,
    tolerance_minutes: int = 10,
    envelope: str | None = None,
    unnest: Sequence[str | int] | None = None,
) -> str:
    """SQL for the staged rows of a relation that has the columns of raw.

    Args:
        relation: SQL of the relation.
        fields: Name → what the dbt source says of the field (orchestration/dbt/sources.py).
        event_time: The field with the event's own time.
        tolerance_minutes: How long after its receipt an event's time is still believed.
        envelope: What is round each payload.
        unnest: Keys and indices to the array whose elements are the events.
    """
    where = "payload is not null" if envelope == "debezium" else "true"
    options = {"tolerance": tolerance_minutes, "envelope": envelope, "unnest": unnest}
    return str(_macros().typed_payloads(relation, fields, event_time, where, **options)).strip()


@cache
def _macros() -> Any:
    package = _Package()
    # It renders SQL of the product; nothing of it is shown as HTML.
    environment = Environment(extensions=["jinja2.ext.do"])  # noqa: S701
    source = "\n".join((PACKAGE / "macros" / f"{name}.sql").read_text(encoding="utf-8") for name in _FILES)
    package.macros = environment.from_string(source).make_module({"millrace": package})
    return package.macros
