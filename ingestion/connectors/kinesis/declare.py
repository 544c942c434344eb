"""What streams.yml says of a stream that is collected from Kinesis."""

from typing import Annotated, ClassVar

from pydantic import Field

from ingestion.connectors.spec import SourceSpec
from ingestion.errors import ConfigError


class KinesisSource(SourceSpec):
    """A Kinesis data stream in the configured region.

    Attributes:
        kinesis: Its name. `start: latest` means from the moment in which the collector first sees the stream
            declared; shards that come later are read from their beginning.
    """

    kind: ClassVar[str] = "kinesis"

    kinesis: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.-]{1,128}$")]

    def destination(self, named: str = "") -> str:
        """The data stream."""
        if named not in ("", self.kinesis):
            raise ConfigError(f"the stream does not read '{named}': its data stream is {self.kinesis}")
        return self.kinesis

    @property
    def origin(self) -> str:
        """The data stream."""
        return f"Kinesis {self.kinesis}"
