"""What a stream may declare about JSON."""

from pydantic import ConfigDict, Field, model_validator

from ingestion.errors import ConfigError
from ingestion.formats.json_schema import EXTRA, LIBRARY, JsonSchemaFile
from ingestion.formats.port import FormatOptions, SchemaField, Surroundings
from ingestion.formats.text import Encoding
from ingestion.libraries import require


class JsonOptions(FormatOptions):
    """What a stream of JSON may declare.

    Attributes:
        or_text: Text that is not JSON lands too, as a JSON string: a last will, for example.
        lines: A message is lines of JSON (NDJSON), and each line an event of staging.
        encoding: Of the text, where no byte order mark says it; UTF-8 by default.
        schema: A JSON Schema, from which fields and their descriptions come where the stream declares none.
        validate: What violates the schema is a reject; with lines, each line has to keep to it.
    """

    model_config = ConfigDict(populate_by_name=True)

    or_text: bool = False
    lines: bool = False
    encoding: Encoding | None = None
    place: JsonSchemaFile | None = Field(default=None, alias="schema")
    is_validated: bool = Field(default=False, alias="validate")

    @model_validator(mode="after")
    def _agree(self) -> "JsonOptions":
        if not self.is_validated:
            return self
        if self.place is None:
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
        return self.place if self.is_validated else None

    def fields(self, around: Surroundings) -> tuple[SchemaField, ...]:
        """The properties of the schema."""
        return self.place.fields() if self.place else ()
