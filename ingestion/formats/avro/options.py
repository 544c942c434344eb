"""What a stream may declare about Avro: where the schemas are, and how values are encoded."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from ingestion.formats.avro.fields import fields_of, fields_within
from ingestion.formats.avro.registered import registered
from ingestion.formats.avro.schema import AvroSchema, SchemaRefused, parse
from ingestion.formats.avro.unions import branch_name
from ingestion.formats.port import FOLDER, FormatOptions, NamedSchema, SchemaField, Surroundings
from ingestion.formats.schema_registry.choice import (
    PLACES,
    Place,
    Strategy,
    SubjectSchema,
    kept_of,
    own_schema,
    read_place,
)
from ingestion.formats.schema_registry.reading import SchemaUnusable

_PATHS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}], "default": []}
_PLACES: dict[str, Any] = {
    "anyOf": [
        *PLACES["anyOf"],
        {"type": "object", "properties": {"file": {"type": "string"}}, "required": ["file"],
         "additionalProperties": False},
    ]
}  # fmt: skip
Encoding = Literal["bare", "single_object", "container"]


class SchemaFile(BaseModel):
    """A schema in a file of the project.

    Attributes:
        file: Its path, from the project's folder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    _schema: AvroSchema = PrivateAttr()

    @model_validator(mode="after")
    def _read(self, info: ValidationInfo) -> "SchemaFile":
        path = Path((info.context or {}).get(FOLDER, "")) / Path(self.file).expanduser()
        try:
            self._schema = parse(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ValueError(
                f"the schema {path} cannot be read ({reason}); 'file' is a path from the project's folder"
            ) from None
        except SchemaRefused as error:
            raise ValueError(f"{path} is not an Avro schema that can be used: {error}") from None
        return self

    @property
    def schema_read(self) -> AvroSchema:
        """What was in the file when it was declared."""
        return self._schema


def _read_place(value: Any, info: ValidationInfo) -> Any:
    """One of the kinds of places, so that a mistake in one is not said of all."""
    value = read_place(value)
    return SchemaFile.model_validate(value, context=info.context) if isinstance(value, dict) else value


class AvroOptions(FormatOptions):
    """What a stream of Avro may declare.

    Attributes:
        schema: Of the values as they shall be; what was written with another one is resolved to it. With a
            registry, in which each value names its own: prefix, latest, or a subject.
        subjects: Under which subjects of the registry the senders register: topic, record or topic_record.
        former: Other schemas with which single objects may have been written.
        encoding: bare, single_object or container; by the first bytes of each value where it is not said.
    """

    model_config = ConfigDict(populate_by_name=True)

    place: Annotated[Place | SchemaFile | None, BeforeValidator(_read_place), WithJsonSchema(_PLACES)] = (
        Field(default=None, alias="schema")
    )
    subjects: Strategy = "topic"
    former: Annotated[tuple[SchemaFile, ...], WithJsonSchema(_PATHS)] = ()
    encoding: Encoding | None = None

    @model_validator(mode="before")
    @classmethod
    def _paths(cls, value: Any) -> Any:
        """`former` may be a path or a list of them."""
        if not isinstance(value, dict) or "former" not in value:
            return value
        former = value["former"]
        each = former if isinstance(former, list | tuple) else [former]
        return value | {"former": [{"file": one} if isinstance(one, str) else one for one in each]}

    @model_validator(mode="after")
    def _agree(self) -> "AvroOptions":
        if self.registered is not None and (self.former or self.encoding):
            raise ValueError("each value names its schema in the registry: leave 'former' and 'encoding' out")
        if self.place is None and (self.former or self.encoding in ("bare", "single_object")):
            raise ValueError("only containers carry a schema: name one, as in {schema: {file: orders.avsc}}")
        return self

    @property
    def reader(self) -> AvroSchema | None:
        """The schema that values are resolved to; None: each as it was written."""
        return self.place.schema_read if isinstance(self.place, SchemaFile) else None

    @property
    def registered(self) -> Place | None:
        """Which schema of a registry is the stream's own; None where values do not name theirs."""
        return None if isinstance(self.place, SchemaFile) else self.place

    @property
    def names_schemas(self) -> bool:
        """Values of a registry do."""
        return self.registered is not None

    def named_schema(
        self, name: str, around: Surroundings, *, within: tuple[str, ...] = ()
    ) -> NamedSchema | None:
        """The record that the schema is of."""
        found = kept_of(name, self.registered, around, kind="AVRO")
        if found is None:
            return None
        try:
            schema = registered(found)
        except SchemaUnusable:
            return None
        record = branch_name(schema.resolve(schema.root))
        return NamedSchema(found.subject, found.version, record, fields_within(schema, within))

    @property
    def shows_one_schema(self) -> bool:
        """Values are resolved to a version that is named."""
        return isinstance(self.place, SubjectSchema) and self.place.version is not None

    @property
    def writers(self) -> tuple[AvroSchema, ...]:
        """Every schema of which a single object may say that it was written with it."""
        own = (self.reader,) if self.reader else ()
        return (*own, *(each.schema_read for each in self.former))

    def fields(self, around: Surroundings) -> tuple[SchemaField, ...]:
        """The fields of the record that the schema is of."""
        if self.registered is not None:
            own = own_schema(self.registered, self.subjects, around, topic=around.topic)
            return fields_of(registered(own)) if own else ()
        return fields_of(self.reader) if self.reader else ()
