"""What Tab offers in the shell: SQL's words, and the lake's schemas, tables and columns where they fit."""

import re
import time
from collections.abc import Iterable, Iterator

import duckdb
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from ingestion.errors import MillraceError
from orchestration.cli.answers import MODES
from orchestration.cli.query import Questions

_COMMANDS = (".help", ".limit", ".mode", ".output", ".quit", ".tables")
_WORD = re.compile(r"[\w.\\]*$")
_TABLE_COMES = re.compile(r"(?:\b(?:from|join|describe|desc|show)|\\d)\s+[\w.]*$", re.IGNORECASE)
_ALIAS = re.compile(r"\b(?:from|join)\s+([\w.]+)(?:\s+(?:as\s+)?(\w+))?", re.IGNORECASE)
_FRESH_SECONDS = 30.0


class LakeCompleter(Completer):
    """Completes on the names that the lake has.

    Args:
        questions: Where to look again.
        names: (schema, table, column) of everything.
    """

    def __init__(self, questions: Questions, names: Iterable[tuple[str, str, str]]) -> None:
        self._questions = questions
        self._looked_s = 0.0
        self._take(names)
        rows = duckdb.execute("select keyword_name from duckdb_keywords() order by 1").fetchall()
        self._keywords = [str(row[0]) for row in rows]

    def look_again(self) -> None:
        """Read the names again when they have been read long ago; a lake that is away leaves the old ones."""
        if time.monotonic() - self._looked_s > _FRESH_SECONDS:
            try:
                self._take(self._questions.names())
            except (MillraceError, duckdb.Error):
                self._looked_s = time.monotonic()

    def _take(self, names: Iterable[tuple[str, str, str]]) -> None:
        self._looked_s = time.monotonic()
        self._columns: dict[tuple[str, str], list[str]] = {}
        for schema, table, column in names:
            self._columns.setdefault((schema, table), []).append(column)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        """What may stand where the cursor is."""
        before = document.text_before_cursor
        found = _WORD.search(before)
        word = found[0] if found else ""
        for text in sorted(set(self._fitting(document.text, before, word))):
            if text.lower().startswith(word.lower()):
                yield Completion(text, start_position=-len(word))

    def _fitting(self, whole: str, before: str, word: str) -> Iterator[str]:
        if before.lstrip().startswith(".mode "):
            yield from MODES
        elif before.lstrip().startswith(".") and " " not in before.strip():
            yield from _COMMANDS
        elif _TABLE_COMES.search(before):
            yield from self._tables(word)
        elif "." in word:
            yield from self._columns_of(whole, word.rpartition(".")[0])
            yield from self._tables(word)
        else:
            for place in self._mentioned(whole).values():
                yield from self._columns.get(place, ())
            yield from self._mentioned(whole)
            yield from self._keywords

    def _tables(self, word: str) -> Iterator[str]:
        schemas = {schema for schema, _ in self._columns}
        if "." in word:
            yield from (f"{schema}.{table}" for schema, table in self._columns)
        else:
            yield from (f"{schema}." for schema in schemas)
            yield from (table for _, table in self._columns)

    def _columns_of(self, whole: str, name: str) -> Iterator[str]:
        place = self._mentioned(whole).get(name.lower()) or self._place(name)
        yield from (f"{name}.{column}" for column in self._columns.get(place, ()))

    def _mentioned(self, whole: str) -> dict[str, tuple[str, str]]:
        """Alias or name → the table, of all that the statement reads."""
        found = {}
        for table, alias in _ALIAS.findall(whole):
            place = self._place(table)
            if place in self._columns:
                found[place[1]] = place
                if alias and alias.lower() not in ("where", "on", "using", "join", "left", "group", "order"):
                    found[alias.lower()] = place
        return found

    def _place(self, name: str) -> tuple[str, str]:
        schema, _, table = name.rpartition(".")
        known = [place for place in self._columns if place[1] == table and schema in ("", place[0])]
        return known[0] if known else (schema, table)
