"""The formats: the only list of them. What a format is: port.py.

A format of another package is found through the entry point group `millrace.formats`: name = its name.
"""

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, SerializeAsAny
from pydantic_core import PydanticCustomError, PydanticKnownError

from ingestion.errors import ConfigError
from ingestion.formats.port import FOLDER, Format, FormatOptions
from ingestion.libraries import require

FORMATS = {
    "json": "ingestion.formats.json:JSON",
    "avro": "ingestion.formats.avro.format:AVRO",
    "binary": "ingestion.formats.binary:BINARY",
    "cbor": "ingestion.formats.cbor:CBOR",
    "csv": "ingestion.formats.csv:CSV",
    "influx": "ingestion.formats.influx:INFLUX",
    "msgpack": "ingestion.formats.msgpack:MSGPACK",
    "protobuf": "ingestion.formats.protobuf.format:PROTOBUF",
    "sparkplug": "ingestion.formats.sparkplug.format:SPARKPLUG",
    "syslog": "ingestion.formats.syslog:SYSLOG",
    "text": "ingestion.formats.plain:PLAIN",
    "tsv": "ingestion.formats.csv:TSV",
    "xml": "ingestion.formats.xml:XML",
}
"""Name → module and name of the format; a module is imported when its format is first asked for."""
ENTRY_POINTS = "millrace.formats"


def formats() -> tuple[str, ...]:
    """Every known format's name, ours first."""
    return (*FORMATS, *(name for name in _installed() if name not in FORMATS))


def find_format(name: str) -> Format:
    """A format by its name.

    Raises:
        KeyError: There is no such format.
    """
    module, _, attribute = (FORMATS.get(name) or _installed()[name]).partition(":")
    found: Format = getattr(import_module(module), attribute)
    return found


class FormatChoice(BaseModel):
    """The format of a stream.

    Attributes:
        name: Its name.
        options: What the stream declares about it.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    options: SerializeAsAny[FormatOptions]

    def declared(self) -> Any:
        """As streams.yml writes it: a word, or a mapping where something is declared."""
        said = self.options.model_dump(mode="json", exclude_defaults=True, by_alias=True)
        return {self.name: said} if said else self.name

    def __str__(self) -> str:
        """A word for a sentence."""
        return self.name


def choose_format(declared: Any, folder: str | Path = "") -> FormatChoice:
    """What `format:` says: a word, or one format with its options.

    Args:
        declared: As YAML has it.
        folder: From which paths go that it names; the current one by default.

    Raises:
        PydanticCustomError, PydanticKnownError: It is neither; says what it may be.
        ValidationError: An option is not known, or its value is wrong.
        ValueError: A library is not installed; names the extra.
    """
    if isinstance(declared, FormatChoice):
        return declared
    name: Any = declared
    said: Any = None
    if isinstance(declared, dict):
        if len(declared) != 1:
            raise PydanticCustomError(
                "format_kind",
                "format is a word, as in json, or one format with its options, as in {example}",
                {"example": "{json: {or_text: true}}"},
            )
        ((name, said),) = declared.items()
    if not isinstance(name, str) or name not in formats():
        raise PydanticKnownError(
            "literal_error", {"expected": " or ".join(f"'{each}'" for each in formats())}
        )
    chosen = find_format(name)
    try:
        require(f"streams of format '{name}'", chosen.libraries, extra=chosen.extra)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return FormatChoice(
        name=name, options=chosen.options.model_validate(said or {}, context={FOLDER: folder})
    )


def option_names(options: type[FormatOptions]) -> list[str]:
    """What may be said about a format, as streams.yml writes it."""
    return [field.alias or name for name, field in options.model_fields.items()]


@cache
def _installed() -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
