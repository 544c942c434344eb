"""Whether a registry still has the schemas that were read from it: one that was emptied counts from 1 again.

Its address is the same, so only ids that are kept here show it. Another registry's address: belonging.py.
"""

import json
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from ingestion.errors import FormatUnavailable
from ingestion.formats.schema_registry.kept import Kept

IDS = "ids"
CHECK_AGE_SECONDS = 60.0
_MOST_ASKED = 3
_ASKED = ("checks", "ids")
"""Its mark is the moment of the last comparison that found nothing, or no answer."""

Ask = Callable[[str], dict[str, Any] | None]
"""The registry's answer for an id, as it is kept; None where it does not know the id."""


class Refilled(FormatUnavailable):
    """The registry has other schemas under ids that are kept here."""


class Comparison:
    """Compares a few kept ids with the registry's, now and then.

    Args:
        kept: The answers in the data folder.
        urls: Where the registry is.
        ask: Within a short time.
    """

    def __init__(self, kept: Kept, urls: tuple[str, ...], ask: Ask) -> None:
        self._kept, self._urls, self._ask = kept, urls, ask

    def due(self, names: Iterable[str] = ()) -> None:
        """Compare unless that was done within a minute; a registry that is away is not missed here.

        Args:
            names: The ids that matter most now.

        Raises:
            Refilled: An id has another schema.
        """
        if self._urls and self._kept.age_seconds(*_ASKED) >= CHECK_AGE_SECONDS:
            self.now(names)

    def now(self, names: Iterable[str] = ()) -> None:
        """Compare, because the registry is asked anyway.

        Raises:
            Refilled: An id has another schema.
        """
        newest = reversed(self._kept.names(IDS))
        try:
            name = changed(self._kept, islice(dict.fromkeys((*names, *newest)), _MOST_ASKED), self._ask)
        except FormatUnavailable:
            name = ""  # whoever needs an answer says so; what is kept goes on being used
        if name:
            self._refuse(name)
        self._kept.touch(*_ASKED)

    def answer(self, number: str, answer: dict[str, Any]) -> None:
        """Compare what the registry has just said of an id, by whichever way it was asked.

        Raises:
            Refilled: The id has another schema.
        """
        ours = self._kept.read(IDS, number)
        # A registry may write a schema otherwise where it shows a subject: only the same question counts.
        if ours is not None and differs(ours, answer) and changed(self._kept, [number], self._ask):
            self._refuse(number)

    def _refuse(self, name: str) -> None:
        self._kept.forget(*_ASKED)  # compared again at once: it stays so until somebody acts
        raise Refilled(sentence(name, ", ".join(self._urls), self._kept))


def changed(kept: Kept, names: Iterable[str], ask: Ask) -> str:
    """The first of some ids under which the registry has another schema than is kept; empty: there is none.

    An id that it does not know shows nothing: subjects may be deleted.

    Raises:
        FormatUnavailable: The registry does not answer.
    """
    for name in names:
        ours = kept.read(IDS, name)
        theirs = ask(name) if ours is not None else None
        if ours is not None and theirs is not None and differs(ours, theirs):
            return name
    return ""


def differs(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Whether two answers are different schemas, and not one in another spelling of JSON."""
    return any(_value(ours.get(part)) != _value(theirs.get(part)) for part in ("kind", "text", "references"))


def sentence(name: str, urls: str, kept: Kept) -> str:
    """What has happened, and what to do."""
    return (
        f"the schema registry at {urls} has another schema with id {name} than before: it was emptied and "
        f"filled again, or is another registry at that address. Values would be read by wrong schemas: "
        "restore its schemas with their ids, or use a data folder of its own for the new ones; if raw has no "
        f"event of before, delete {kept.folder}. Nothing is read or rejected until then"
    )


def _value(said: Any) -> Any:
    if isinstance(said, list):
        return [_value(each) for each in said]
    try:
        return json.loads(said)
    except (TypeError, ValueError):
        return said
