"""What a stream may declare about Avro: where the schemas are, and how values are encoded."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from ingestion.formats.avro.fields import fields_of
from ingestion.formats.avro.schema import AvroSchema, SchemaRefused, parse
from ingestion.formats.port import FOLDER, FormatOptions, SchemaField, Surroundings

_PATHS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}], "default": []}
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


class AvroOptions(FormatOptions):
    """What a stream of Avro may declare.

    Attributes:
        schema: Of the values as they shall be; what was written with another one is resolved to it.
        former: Other schemas with which single objects may have been written.
        encoding: bare, single_object or container; by the first bytes of each value where it is not said.
    """

    model_config = ConfigDict(populate_by_name=True)

    place: SchemaFile | None = Field(default=None, alias="schema")
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
        if self.place is None and (self.former or self.encoding in ("bare", "single_object")):
            raise ValueError("only containers carry a schema: name one, as in {schema: {file: orders.avsc}}")
        return self

    @property
    def reader(self) -> AvroSchema | None:
        """The schema that values are resolved to; None: each as it was written."""
        return self.place.schema_read if self.place else None

    @property
    def writers(self) -> tuple[AvroSchema, ...]:
        """Every schema of which a single object may say that it was written with it."""
        own = (self.reader,) if self.reader else ()
        return (*own, *(each.schema_read for each in self.former))

    def fields(self, around: Surroundings) -> tuple[SchemaField, ...]:
        """The fields of the record that the schema is of."""
        return fields_of(self.reader) if self.reader else ()
