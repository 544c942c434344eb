"""What a stream may declare about Protocol Buffers."""

from pathlib import Path

from pydantic import PrivateAttr, ValidationInfo, model_validator

from ingestion.formats.port import FOLDER, FormatOptions, SchemaField, Surroundings
from ingestion.formats.protobuf.compiled import SUFFIX, compiled
from ingestion.formats.protobuf.descriptors import DescriptorsRefused, message_class
from ingestion.formats.protobuf.fields import fields_of


class ProtobufOptions(FormatOptions):
    """What a stream of Protocol Buffers declares.

    Attributes:
        file: Path of a .proto file, from the project's folder; or of a descriptor set, which is written by
            protoc --descriptor_set_out=orders.desc --include_imports orders.proto, or by buf build -o.
        message: Full name of the message, as in plant.v1.Reading; left out where the file has only one.
        delimited: A value holds several messages, each behind its length, and becomes an array of them.
    """

    file: str
    message: str | None = None
    delimited: bool = False
    _descriptors: bytes = PrivateAttr()

    @model_validator(mode="after")
    def _read(self, info: ValidationInfo) -> "ProtobufOptions":
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

    def fields(self, around: Surroundings) -> tuple[SchemaField, ...]:
        """The fields of the message."""
        return () if self.delimited else fields_of(message_class(self.descriptors, self.message).DESCRIPTOR)
