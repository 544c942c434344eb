"""What a stream may declare about Protocol Buffers."""

from pathlib import Path
from typing import Annotated

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from ingestion.formats.port import FOLDER, FormatOptions, NamedSchema, SchemaField, Surroundings
from ingestion.formats.protobuf.compiled import SUFFIX, compiled
from ingestion.formats.protobuf.descriptors import DescriptorsRefused, message_class
from ingestion.formats.protobuf.fields import fields_of, fields_within
from ingestion.formats.protobuf.registered import message_of
from ingestion.formats.schema_registry.choice import PLACES, Place, kept_of, own_schema, read_place
from ingestion.formats.schema_registry.reading import SchemaUnusable


class ProtobufOptions(FormatOptions):
    """What a stream of Protocol Buffers declares.

    Attributes:
        file: Path of a .proto file, from the project's folder; or of a descriptor set, which is written by
            protoc --descriptor_set_out=orders.desc --include_imports orders.proto, or by buf build -o.
        schema: Which schema of a registry the fields are those of: prefix, latest, or a subject. Each value
            names its own.
        message: Full name of the message, as in plant.v1.Reading; left out where the file has only one.
        delimited: A value holds several messages, each behind its length, and becomes an array of them.
    """

    model_config = ConfigDict(populate_by_name=True)

    file: str | None = None
    place: Annotated[Place | None, BeforeValidator(read_place), WithJsonSchema(PLACES)] = Field(
        default=None, alias="schema"
    )
    message: str | None = None
    delimited: bool = False
    _descriptors: bytes = PrivateAttr(default=b"")

    @model_validator(mode="after")
    def _read(self, info: ValidationInfo) -> "ProtobufOptions":
        if (self.file is None) == (self.place is None):
            raise ValueError(
                "name the 'file' of the descriptors, or say 'schema: prefix' where values name theirs in a "
                "registry"
            )
        if self.place is not None and self.delimited:
            raise ValueError("a value from a registry is one message: leave 'delimited' out")
        if self.file is None:
            return self
        path = Path((info.context or {}).get(FOLDER, "")) / Path(self.file).expanduser()
        project = Path((info.context or {}).get(FOLDER, ""))
        try:
            is_source = path.suffix == SUFFIX
            self._descriptors = compiled(path, project=project) if is_source else path.read_bytes()
            message_class(self._descriptors, self.message)
        except OSError as error:
            raise ValueError(
                f"the descriptors {path} cannot be read ({error.strerror}); 'file' is a path from the "
                "project's folder"
            ) from None
        except DescriptorsRefused as error:
            raise ValueError(f"{path} cannot be used: {error}") from None
        return self

    @property
    def descriptors(self) -> bytes:
        """What was in the file when it was declared."""
        return self._descriptors

    @property
    def names_schemas(self) -> bool:
        """Values of a registry do."""
        return self.place is not None

    def named_schema(
        self, name: str, around: Surroundings, *, within: tuple[str, ...] = ()
    ) -> NamedSchema | None:
        """The fields of `message`, or of the file's first one."""
        found = kept_of(name, self.place, around, kind="PROTOBUF")
        if found is None:
            return None
        try:
            message = message_of(found, self.message).DESCRIPTOR
        except SchemaUnusable:
            return None
        return NamedSchema(found.subject, found.version, message.full_name, fields_within(message, within))

    def fields(self, around: Surroundings) -> tuple[SchemaField, ...]:
        """The fields of the message."""
        if self.place is not None:
            own = own_schema(self.place, "topic", around, topic=around.topic)
            return fields_of(message_of(own, self.message).DESCRIPTOR) if own else ()
        return () if self.delimited else fields_of(message_class(self.descriptors, self.message).DESCRIPTOR)
