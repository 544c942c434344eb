"""Messages whose format nobody has declared: it is recognised from those that have been seen so far."""

from ingestion.connectors.messages import Message
from ingestion.declare.sources import Seen, read_message
from ingestion.declare.stream import DEFAULT_FORMAT
from ingestion.formats.likeness import Sample
from ingestion.formats.recognise import MOST_SAMPLES, Recognised, recognise
from ingestion.formats.registry import FormatChoice
from ingestion.formats.schema_registry.kinds import SchemaKinds
from ingestion.settings import Settings

_FIRST = 20
"""So many messages are looked at as they come; of later ones those that are refused."""


class Reader:
    """Reads messages, of a format that is given or recognised.

    Args:
        chosen: The format; None to recognise it.
        settings: What a value may hold, and what formats need to know.
    """

    def __init__(self, chosen: FormatChoice | None, settings: Settings) -> None:
        self._choice, self._is_given = chosen or DEFAULT_FORMAT, chosen is not None
        self._settings, self._kinds = settings, SchemaKinds(settings)
        self._samples: list[Sample] = []
        self._found: Recognised | None = None
        self._states: dict[str, str] = {}

    @property
    def sentence(self) -> str:
        """The format and why; empty where it was given, or nothing shows it."""
        return f"{self._found.name}: {self._found.sentence}" if self._found else ""

    def read(self, message: Message) -> Seen:
        """A message as its format reads it."""
        seen = self._read(message)
        if self._is_given or not message.value or len(self._samples) >= MOST_SAMPLES:
            return seen
        self._samples.append(Sample(message.value, message.headers, message.key))
        if len(self._samples) > _FIRST and not seen.reason:
            return seen
        most = self._settings.payload_max_bytes
        self._found = recognise(self._samples, max_bytes=most, kinds=self._kinds)
        choice = (self._found.choice() if self._found else None) or DEFAULT_FORMAT
        if choice != self._choice:
            self._choice = choice
            seen = self._read(message)
        return seen

    def _read(self, message: Message) -> Seen:
        most = self._settings.payload_max_bytes
        seen = read_message(
            message, self._choice, max_bytes=most, settings=self._settings, states=self._states
        )
        self._states |= seen.states
        return seen
