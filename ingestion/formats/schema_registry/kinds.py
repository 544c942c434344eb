"""Which format values are of that name schemas of a registry: where one is configured, it says so."""

from ingestion.errors import FormatUnavailable
from ingestion.formats.schema_registry.access import registry_access
from ingestion.formats.schema_registry.registry import open_registry
from ingestion.formats.schema_registry.wire import NotNamed, named
from ingestion.settings import Settings

_FORMATS = {"AVRO": "avro", "JSON": "json", "PROTOBUF": "protobuf"}
_MOST_UNKNOWN = 3
"""Bytes of something else may look like names of schemas: after so many it is not asked any more."""


class SchemaKinds:
    """Asks the registry of a system about each schema once.

    Args:
        settings: Of the system.

    Attributes:
        problem: Why the registry did not say it, as half a sentence; empty where it did.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings, self._is_known = settings, bool(registry_access(settings).urls)
        self._formats, self._unknown = dict[str, str](), 0
        self.problem = ""

    def format_of(self, value: bytes, headers: str | None) -> str:
        """The format of a value; empty where it names no schema that the registry knows."""
        if not self._is_known:
            return ""
        try:
            name = named(value, headers, is_key=False).id
        except NotNamed:
            return ""
        if name not in self._formats and self._unknown < _MOST_UNKNOWN:
            self._formats[name] = self._asked(name)
        return self._formats.get(name, "")

    def _asked(self, name: str) -> str:
        try:
            found = open_registry(self._settings).find([name])
        except FormatUnavailable as error:
            self.problem, self._unknown = str(error), _MOST_UNKNOWN
            return ""
        if name not in found:
            self.problem = (
                f"the schema registry does not know schema {name}: register it, or correct "
                "MILLRACE_SCHEMA_REGISTRY_URL if it is another registry's"
            )
            self._unknown += 1
            return ""
        return _FORMATS.get(found[name].kind, "")
