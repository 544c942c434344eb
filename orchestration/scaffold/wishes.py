"""What a user wants of a proposed stream other than proposed: its own types, fields, time and identity."""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
from pydantic import ValidationError

from ingestion.declare.fields import FieldSpec
from ingestion.declare.stream import suggest
from ingestion.errors import ConfigError
from orchestration.dbt.casts import typed_value
from orchestration.scaffold.propose import Proposed
from orchestration.scaffold.roles import Role

NONE = "none"
"""What an option says to leave a role without a field."""
_ASKED = "as asked for"


@dataclass(frozen=True)
class Wishes:
    """What the user wants other than proposed.

    Attributes:
        fields: As in weight=double, or town=varchar:to.town.
        without: Fields to leave out.
        event_time: A field, `none`, or empty for the proposed one.
        business_id: Fields, `none`, or empty for the proposed ones.
        unnest: A path, `none`, or empty for the proposed one.
    """

    fields: Sequence[str] = ()
    without: Sequence[str] = ()
    event_time: str = ""
    business_id: Sequence[str] = ()
    unnest: str = ""


def wished_fields(fields: Sequence[Proposed], wishes: Wishes) -> list[Proposed]:
    """The fields as the user wants them: some otherwise, some more, some less.

    Raises:
        ConfigError: A wish names no field, or no type.
    """
    known = {field.name: field for field in fields}
    for name in wishes.without:
        if name not in known:
            raise ConfigError(f"--without names '{name}', which was not proposed{suggest(name, known)}")
        del known[name]
    for text in wishes.fields:
        name, equals, rest = text.partition("=")
        kind, _, path = rest.partition(":")
        if not equals or not kind:
            raise ConfigError(f"'{text}' is not a field; write NAME=TYPE, or NAME=TYPE:PATH")
        before = known.get(name)
        path = path or (before.path if before else name)
        texts = before.texts if before and before.path == path else ()
        try:
            FieldSpec(type=kind, path=path)
        except ValidationError as error:
            message = str(error.errors(include_url=False)[0]["msg"]).removeprefix("Value error, ")
            raise ConfigError(f"--field {text}: {message}") from None
        known[name] = Proposed(name, kind, path, _seen(texts, kind), texts)
    return list(known.values())


def _seen(texts: Sequence[str | None], kind: str) -> str:
    """How many values of the sample staging reads as the type that the user wants."""
    there = [text for text in texts if text is not None]
    if not there:
        return _ASKED
    sql = f"select count({typed_value('text', kind)}) from (select unnest(?::varchar []) as text)"
    with duckdb.connect(":memory:") as connection:
        (readable,) = connection.execute(sql, [there]).fetchone() or (0,)
    return f"{_ASKED}: staging reads {readable} of {len(there)}"


def wished_role(option: str, wished: Sequence[str], found: Role, names: set[str]) -> Role:
    """The fields of a role: those that were found, unless the user names others, or none.

    Args:
        option: How the user names them, for errors.
        wished: Fields, `none`, or nothing.
        found: What the sample suggests.
        names: All fields.

    Raises:
        ConfigError: A wish names no field.
    """
    if not wished:
        return found
    if list(wished) == [NONE]:
        return Role((), _ASKED)
    for name in wished:
        if name not in names:
            raise ConfigError(f"{option} names '{name}', which is not among the fields{suggest(name, names)}")
    return Role(tuple(wished), _ASKED)
