"""What a stream may declare about JSON."""

from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema, model_validator

from ingestion.errors import ConfigError
from ingestion.formats.json_schema import EXTRA, LIBRARY, JsonSchemaFile, fields_of, fields_within
from ingestion.formats.port import FormatOptions, NamedSchema, SchemaField, Surroundings
from ingestion.formats.schema_registry.choice import PLACES, Place, kept_of, own_schema, read_place
from ingestion.formats.text import Encoding
from ingestion.libraries import require


def _read_place(value: Any, info: ValidationInfo) -> Any:
    """One of the kinds of places, so that a mistake in one is not said of all."""
    value = read_place(value)
    return JsonSchemaFile.model_validate(value, context=info.context) if isinstance(value, dict) else value


_PLACES: dict[str, Any] = {
    "anyOf": [
        *PLACES["anyOf"],
        {"type": "object", "properties": {"file": {"type": "string"}}, "required": ["file"],
         "additionalProperties": False},
    ]
}  # fmt: skip


class JsonOptions(FormatOptions):
    """What a stream of JSON may declare.

    Attributes:
        or_text: Text that is not JSON lands too, as a JSON string: a last will, for example.
        lines: A message is lines of JSON (NDJSON), and each line an event of staging.
        encoding: Of the text, where no byte order mark says it; UTF-8 by default.
        schema: A JSON Schema, from which fields and their descriptions come where the stream declares none: a
            file; or prefix, latest or a subject of a registry, in which each value names its own.
        validate: What violates the schema is a reject; with lines, each line has to keep to it.
    """

    model_config = ConfigDict(populate_by_name=True)

    or_text: bool = False
    lines: bool = False
    encoding: Encoding | None = None
    place: Annotated[Place | JsonSchemaFile | None, BeforeValidator(_read_place), WithJsonSchema(_PLACES)] = (
        Field(default=None, alias="schema")
    )
    is_validated: bool = Field(default=False, alias="validate")

    @model_validator(mode="after")
    def _agree(self) -> "JsonOptions":
        if not self.is_validated:
            return self
        if not isinstance(self.place, JsonSchemaFile):
            raise ValueError(
                "'validate' needs a schema: name one, as in schema: {file: schemas/orders.schema.json}"
            )
        try:
            require("streams that validate JSON", (LIBRARY,), extra=EXTRA)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        self.place.check()
        return self

    @property
    def makes_arrays(self) -> bool:
        """Lines are."""
        return self.lines

    @property
    def validated_by(self) -> JsonSchemaFile | None:
        """The schema to which every value has to keep; None where that is not asked for."""
        return self.place if self.is_validated and isinstance(self.place, JsonSchemaFile) else None

    @property
    def registered(self) -> Place | None:
        """Which schema of a registry the fields are those of; None where values do not name theirs."""
        return None if isinstance(self.place, JsonSchemaFile) else self.place

    @property
    def names_schemas(self) -> bool:
        """Values of a registry do."""
        return self.registered is not None

    def named_schema(
        self, name: str, around: Surroundings, *, within: tuple[str, ...] = ()
    ) -> NamedSchema | None:
        """The properties of the schema."""
        found = kept_of(name, self.registered, around, kind="JSON")
        if found is None:
            return None
        return NamedSchema(found.subject, found.version, "", fields_within(found.text, within))

    def fields(self, around: Surroundings) -> tuple[SchemaField, ...]:
        """The properties of the schema."""
        if isinstance(self.place, JsonSchemaFile):
            return self.place.fields()
        own = own_schema(self.place, "topic", around, topic=around.topic) if self.place else None
        return fields_of(own.text) if own else ()
