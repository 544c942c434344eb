"""Records of separated values, CSV (RFC 4180) and TSV, as an object by the columns' names or as an array.

Every value is text; what it is as a number or a time, its field's type decides.
"""

import csv
import io
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Literal, cast

import pyarrow as pa
from pydantic import Field, model_validator

from ingestion.formats.each import array_of, as_json, read_each
from ingestion.formats.likeness import Likeness, Sample, is_text, likeness
from ingestion.formats.port import FormatOptions, Refusal, Surroundings, Texts
from ingestion.formats.separated import Separated, find_separated
from ingestion.formats.text import NOT_UTF8, Encoding, as_utf8

NOT_CSV = "not_csv"
_Mark = Annotated[str, Field(min_length=1, max_length=1, pattern=r"^[^\r\n\x00]$")]
_field_size = threading.Lock()  # the library has one limit for the process


class CsvOptions(FormatOptions):
    """What a stream of separated values may declare.

    Attributes:
        columns: Their names, in order; a record becomes an object. Without them it is an array of texts.
        header: The first line of each message names the columns; what follows are its records.
        lines: A message may hold several records, and becomes an array of them; `header` says so too.
        delimiter: Between two values; `tab` is a tab.
        quote: Around a value that holds a delimiter, a line's end, or the quote, which is doubled then.
        no_value: The text that stands for a missing value, outside quotes or in them; empty by default.
        encoding: Of the text, where no byte order mark says it; UTF-8 by default.
    """

    columns: tuple[str, ...] = ()
    header: bool = False
    lines: bool = False
    delimiter: _Mark | Literal["tab"] | None = None
    quote: _Mark = '"'
    no_value: str = ""
    encoding: Encoding | None = None

    @model_validator(mode="after")
    def _agree(self) -> "CsvOptions":
        if self.header and self.columns:
            raise ValueError(
                "'header' names the columns in each message and 'columns' here; declare one of them"
            )
        if len(set(self.columns)) < len(self.columns):
            twice = next(name for name in self.columns if self.columns.count(name) > 1)
            raise ValueError(f"'columns' has '{twice}' twice")
        if self.quote == self.delimiter:
            raise ValueError("'quote' and 'delimiter' are the same character")
        return self


@dataclass(frozen=True)
class CsvFormat:
    """One record or several.

    Attributes:
        delimiter: Where a stream declares none.
        delimiters: By which samples are recognised.
    """

    name: str = "csv"
    delimiter: str = ","
    delimiters: tuple[str, ...] = (";", "|", ",")
    options: type[FormatOptions] = CsvOptions
    reasons: frozenset[str] = frozenset({NOT_UTF8, NOT_CSV, "empty"})
    keeps_bytes: bool = True
    is_text: bool = True
    libraries: tuple[str, ...] = ()
    extra: str = ""

    def texts(self, events: pa.Table, options: FormatOptions, around: Surroundings) -> Texts:
        """Read the records of each value."""
        declared = cast(CsvOptions, options)
        delimiter = "\t" if declared.delimiter == "tab" else declared.delimiter or self.delimiter
        read = partial(_read, options=declared, delimiter=delimiter)
        with _field_size:
            before = csv.field_size_limit(max(around.max_bytes, 1))
            try:
                return read_each(events, around, read)
            finally:
                csv.field_size_limit(before)

    def recognise(self, samples: Sequence[Sample]) -> Likeness | None:
        """Whether they are records of the same number of values, and which names the columns have."""
        texts = [as_utf8(each.value, each.headers) for each in samples]
        shown = [text.decode() for text in texts if isinstance(text, bytes) and is_text(text)]
        found = find_separated(shown, self.delimiters) if shown else None
        if found is None:
            return None
        what = f"{found.width} values with {_MARK_NAMES[found.delimiter]} between them"
        options = _declared(found, self.delimiter)
        said = likeness(found.level, found.found, samples, what, more=_names_seen(found), options=options)
        if said is None or not found.named:
            return said
        head = as_json(dict(zip(found.columns, found.columns, strict=True)))
        read = partial(_read, options=CsvOptions(columns=found.columns), delimiter=found.delimiter)
        heads = frozenset(each.value for each in samples if read(each.value, each.headers) == head)
        return replace(said, heads=heads, note="the line of names lands as an event, without a typed value")


def _read(value: bytes, headers: str | None, *, options: CsvOptions, delimiter: str) -> bytes | Refusal:
    text = as_utf8(value, headers, options.encoding)
    if isinstance(text, Refusal):
        return text
    lines = io.StringIO(text.decode(), newline="")
    reader = csv.reader(lines, delimiter=delimiter, quotechar=options.quote, strict=True)
    try:
        records = [record for record in reader if record]
    except csv.Error as error:
        return Refusal(NOT_CSV, f"line {reader.line_num}: {error}")
    columns: Sequence[str] = options.columns
    if options.header and records:
        columns, *records = records
        if len(set(columns)) < len(columns):
            return Refusal(NOT_CSV, f"the header has a name twice: {', '.join(columns)}")
    if not records:
        return Refusal("empty", "no record after the header" if options.header else "no record")
    many = options.lines or options.header
    if len(records) > 1 and not many:
        return Refusal(NOT_CSV, f"{len(records)} records in one message, which 'lines: true' would allow")
    for number, record in enumerate(records, 1):
        if columns and len(record) != len(columns):
            return Refusal(
                NOT_CSV, f"record {number} has {len(record)} values, the columns are {len(columns)}"
            )
    texts = [_record(record, columns, options.no_value) for record in records]
    return array_of(texts) if many else texts[0]


def _record(record: Sequence[str], columns: Sequence[str], no_value: str) -> bytes:
    values = [None if value == no_value else value for value in record]
    return as_json(dict(zip(columns, values, strict=True)) if columns else values)


def _declared(found: Separated, delimiter: str) -> Mapping[str, Any]:
    """The options with which what was recognised is read."""
    options: dict[str, Any] = {"columns": list(found.columns)} if found.columns else {"header": True}
    options |= {"lines": True} if found.lines else {}
    return options | ({} if found.delimiter == delimiter else {"delimiter": found.delimiter})


def _names_seen(found: Separated) -> str:
    if found.header:
        return "the first line has the names"
    return "one of them has the names" if found.named else "nothing names the columns"


_MARK_NAMES = {",": "commas", ";": "semicolons", "|": "bars", "\t": "tabs"}

CSV = CsvFormat()
TSV = CsvFormat(name="tsv", delimiter="\t", delimiters=("\t",))
