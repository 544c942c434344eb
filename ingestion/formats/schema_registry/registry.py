"""Schemas by id and by subject: from memory, from the data folder, else from the registry.

Only what was never seen here is asked for. A subject's latest version is asked for again once it has an age.
"""

import threading
import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ingestion.errors import FormatUnavailable
from ingestion.formats.schema_registry.access import SchemaRegistryAccess, registry_access
from ingestion.formats.schema_registry.belonging import confirm
from ingestion.formats.schema_registry.client import RegistryClient
from ingestion.formats.schema_registry.kept import Kept
from ingestion.formats.schema_registry.refilled import IDS, Comparison, Refilled
from ingestion.formats.schema_registry.whole import path_of, whole_answer
from ingestion.settings import REGISTERED_FOLDER, Settings

SUBJECTS = "subjects"
NAMED_BY = "named_by"
"""Which subjects' versions a schema is."""
LATEST_AGE_SECONDS = 60.0
_LATEST_TIMEOUT_SECONDS = 5.0
MOST_UNKNOWN = 20
"""Ids that the registry did not know, per call: bytes of something else are not asked about one by one."""
_AGAIN_SECONDS = 1.0
_OPENED = 8


@dataclass(frozen=True)
class Registered:
    """A schema of the registry.

    Attributes:
        id: Its number or its GUID, as the value named it; empty of a subject's version.
        kind: AVRO, PROTOBUF or JSON.
        text: The schema; of Protobuf the descriptors of its file, as base64.
        references: Name and text of each schema that it refers to, those that refer to none first.
        subject: Of which subject's version it is; empty where it was asked for by its id.
        version: Its version there.
    """

    id: str
    kind: str
    text: str
    references: tuple[tuple[str, str], ...] = ()
    subject: str = ""
    version: int = 0


class SchemaRegistry:
    """One registry and what is kept of it.

    Args:
        access: How it is reached.
        folder: Where its answers are kept.
        timeout_seconds: Bound of each question.
    """

    def __init__(self, access: SchemaRegistryAccess, folder: Path, *, timeout_seconds: float) -> None:
        self._client = RegistryClient(access, timeout_seconds=timeout_seconds)
        self._short = RegistryClient(access, timeout_seconds=min(timeout_seconds, _LATEST_TIMEOUT_SECONDS))
        self._kept, self._known, self._lock = Kept(folder), dict[str, Registered](), threading.Lock()
        self._urls, self._is_confirmed = access.urls, False
        self._comparison = Comparison(self._kept, access.urls, self._short_answer)

    def find(self, ids: Collection[str]) -> dict[str, Registered]:
        """The schemas of some ids; what the registry does not know is asked for once more, and then left out.

        Args:
            ids: The most important ones first: of those that are not known, only some are asked for.

        Raises:
            FormatUnavailable: It does not answer, and one of them is not kept; or it is another registry than
                the one whose answers are kept, or has other schemas than before under the same ids.
        """
        with self._lock:
            self._confirm()
            found = {each: schema for each in ids if (schema := self._here(each))}
            compare = self._comparison.due if len(found) == len(ids) else self._comparison.now
            compare(found)
            unknown = list[str]()
            for each in ids:
                if each in found or len(unknown) == MOST_UNKNOWN:
                    continue
                schema = self._ask(each)
                if schema:
                    found[each] = schema
                else:
                    unknown.append(each)
            if unknown:
                time.sleep(_AGAIN_SECONDS)  # another member of its cluster may not have it yet
                found |= {each: schema for each in unknown if (schema := self._ask(each))}
            return found

    def latest(self, subject: str) -> Registered | None:
        """A subject's latest version, as it was at most a minute ago, or when the registry last answered.

        Raises:
            FormatUnavailable: It does not answer, and no version is kept; or it is another registry.
        """
        with self._lock:
            self._confirm()
            kept = self._kept.read(SUBJECTS, subject)
            if kept and self._kept.age_seconds(SUBJECTS, subject) < LATEST_AGE_SECONDS:
                return _schema(kept)
            self._kept.touch(SUBJECTS, subject)  # also where it does not answer: not each batch shall wait
            try:
                self._comparison.due()
                answer = self._whole(self._short, f"/subjects/{quote(subject, safe='')}/versions/latest")
            except Refilled:
                self._kept.forget(SUBJECTS, subject)  # asked again at once: it stays so until somebody acts
                raise
            except FormatUnavailable:
                if kept is None:
                    raise
                return _schema(kept)
            if answer is not None:
                self._kept.write(SUBJECTS, subject, answer=answer)
            return _schema(answer) if answer else None

    def version(self, subject: str, version: int) -> Registered | None:
        """A version of a subject.

        Raises:
            FormatUnavailable: It does not answer, and the version is not kept; or it is another registry.
        """
        with self._lock:
            self._confirm()
            place = ("versions", f"{subject}@{version}")
            answer = self._kept.read(*place)
            if answer is None:
                self._comparison.now()
                answer = self._whole(self._client, f"/subjects/{quote(subject, safe='')}/versions/{version}")
                if answer is not None:
                    self._kept.write(*place, answer=answer)
            return _schema(answer) if answer else None

    def _confirm(self) -> None:
        """Once a process: what is kept is of this registry."""
        if not self._is_confirmed:
            confirm(self._kept, self._urls, self._short_answer)
            self._is_confirmed = True

    def _here(self, name: str) -> Registered | None:
        """The schema of an id that was asked for before."""
        if name not in self._known and (answer := self._kept.read(IDS, name)):
            self._known[name] = _schema(answer, name)
        return self._known.get(name)

    def _ask(self, name: str) -> Registered | None:
        answer = self._whole(self._client, path_of(name))
        if answer is not None:
            self._kept.write(IDS, name, answer=answer)
            self._known[name] = _schema(answer, name)
            self._note_subjects(name)
        return self._known.get(name)

    def _note_subjects(self, name: str) -> None:
        """Keep which subjects' versions a schema is, for those who look; reading needs no answer."""
        if not name.isdigit():
            return
        try:
            found = self._short.get_list(f"{path_of(name)}/versions")
        except FormatUnavailable:
            return
        if found:
            self._kept.write(NAMED_BY, name, answer={"versions": found})

    def _short_answer(self, name: str) -> dict[str, Any] | None:
        """What the registry says of an id now, within a short time."""
        return whole_answer(self._short, path_of(name))

    def _whole(self, client: RegistryClient, path: str) -> dict[str, Any] | None:
        """What the registry says of a subject or an id, where it does not show that ids have changed."""
        answer = whole_answer(client, path)
        if answer is not None and (number := answer.pop("id")):
            self._comparison.answer(number, answer)
        return answer


def open_registry(settings: Settings | None) -> SchemaRegistry:
    """The registry of a system; one a process, because it remembers.

    Raises:
        ConfigError: A variable is wrong.
        FormatUnavailable: There is no system.
    """
    if settings is None:
        raise FormatUnavailable("a schema registry is that of a system, and here is none: name a data folder")
    return _opened(
        registry_access(settings), settings.data_dir / REGISTERED_FOLDER, settings.source_timeout_seconds
    )


def kept_schema(name: str, settings: Settings | None, *, subject: str = "") -> Registered | None:
    """A schema that was read here before, with its subject and version where the registry said them.

    Args:
        name: Its number or GUID.
        settings: Of the system; None: nothing is kept.
        subject: Of several subjects that have it, the one that is preferred.
    """
    if settings is None:
        return None
    kept = Kept(settings.data_dir / REGISTERED_FOLDER)
    answer = kept.read(IDS, name)
    if answer is None:
        return None
    found, places = _schema(answer, name), (kept.read(NAMED_BY, name) or {}).get("versions") or []
    said = [(str(each["subject"]), int(each["version"])) for each in places]
    said.sort(key=lambda each: each[0] != subject)
    return replace(found, subject=said[0][0], version=said[0][1]) if said else found


@lru_cache(maxsize=_OPENED)
def _opened(access: SchemaRegistryAccess, folder: Path, timeout_seconds: float) -> SchemaRegistry:
    return SchemaRegistry(access, folder, timeout_seconds=timeout_seconds)


def _schema(answer: dict[str, Any], name: str = "") -> Registered:
    references = tuple((str(each), str(text)) for each, text in answer["references"])
    return Registered(name, answer["kind"], answer["text"], references, answer["subject"], answer["version"])
