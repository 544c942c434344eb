"""XML documents (lxml): elements, attributes and text by a stated mapping (docs/formats.md).

A document type declaration is refused before anything of it is read, so no entity is ever expanded and
nothing is fetched.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import orjson
import pyarrow as pa
from pydantic import ConfigDict, Field, field_validator

from ingestion.formats.canonical import MOST_LEVELS
from ingestion.formats.each import as_json, read_each
from ingestion.formats.likeness import CERTAIN, Likeness, Sample, likeness
from ingestion.formats.port import VIOLATES_SCHEMA, FormatOptions, Refusal, Surroundings, Texts
from ingestion.formats.text import NOT_UTF8, as_utf8, charset_of, marked_encoding
from ingestion.formats.xml_arrays import arrays_of
from ingestion.formats.xsd import XsdFile

NOT_XML = "not_xml"
_BEFORE = b"\xef\xbb\xbf \t\r\n"
_TEXT, _MIXED, _ATTRIBUTE = "#text", "#mixed", "@"


class XmlOptions(FormatOptions):
    """What a stream of XML may declare.

    Attributes:
        record: Path of the elements that are events, as in orders/order; the payload is an array of them.
            Without it the whole document is one object.
        arrays: Names, or ends of paths as in order/item, of elements that are arrays also where there is one.
        namespaces: prefix writes names with the prefixes of the document, strip without any; a mapping of
            prefixes to namespaces gives its own, whatever the document calls them.
        schema: An XML Schema; a document that violates it is a reject.
    """

    model_config = ConfigDict(populate_by_name=True)

    record: str | None = None
    arrays: tuple[str, ...] = ()
    namespaces: Literal["prefix", "strip"] | dict[str, str] = "prefix"
    place: XsdFile | None = Field(default=None, alias="schema")

    @field_validator("record", "arrays")
    @classmethod
    def _is_a_path(cls, value: Any) -> Any:
        for path in [value] if isinstance(value, str) else value or ():
            if not path or not all(path.split("/")):
                raise ValueError(
                    f"'{path}' is not a path; write names with / between them, as in orders/order"
                )
        return value


@dataclass(frozen=True)
class XmlFormat:
    """One document a message."""

    name: str = "xml"
    options: type[FormatOptions] = XmlOptions
    reasons: frozenset[str] = frozenset({NOT_XML, NOT_UTF8, VIOLATES_SCHEMA, "empty"})
    keeps_bytes: bool = True
    is_text: bool = True
    libraries: tuple[str, ...] = ("lxml",)
    extra: str = "xml"

    def texts(self, events: pa.Table, options: FormatOptions, around: Surroundings) -> Texts:
        """Read each document."""
        return read_each(events, around, _Reader(cast(XmlOptions, options)).text)

    def recognise(self, samples: Sequence[Sample]) -> Likeness | None:
        """Whether they are documents, and which of their elements are arrays."""
        reader = _Reader(XmlOptions())
        texts = [reader.text(each.value, each.headers) for each in samples]
        found = [orjson.loads(text) for text in texts if isinstance(text, bytes)]
        said = [each.value for each in samples if each.value.lstrip(_BEFORE).startswith(b"<?xml")]
        if len(said) > len(found):
            return likeness(CERTAIN, len(said), samples, "'<?xml' at the beginning")
        more = f"the first one's root is '{next(iter(found[0]))}'" if found else ""
        options = arrays_of(found)
        return likeness(CERTAIN, len(found), samples, "whole XML documents", more=more, options=options)


class _Refused(Exception):
    """The document is not taken; the message says why."""


class _Reader:
    """Reads one document after another; for one thread."""

    def __init__(self, options: XmlOptions) -> None:
        self._options = options
        self._builder = _Builder(options)
        self._parsers: dict[str | None, Any] = {}

    def text(self, value: bytes, headers: str | None) -> bytes | Refusal:
        """A document as JSON text, or why it has none."""
        if not value.strip(b" \t\r\n"):
            return Refusal("empty", "nothing but spaces" if value else "no bytes")
        from lxml import etree

        if value.endswith(b"\0") and b"\0" not in (text_alone := value.rstrip(b"\0")):
            value = text_alone  # as of any text (text.py); UTF-16 and UTF-32 have NULs elsewhere, too
        encoding = None
        if charset_of(headers) and not marked_encoding(value):
            text = as_utf8(value, headers)  # it counts more than the document's declaration (RFC 7303, 3.2)
            if isinstance(text, Refusal):
                return text
            value, encoding = text, "utf-8"
        options = self._options
        try:
            found = etree.fromstring(value, self._parser(encoding))
        except _Refused as error:
            self._parsers.clear()  # what a parser is like that was broken off is not said anywhere
            return Refusal(NOT_XML, str(error))
        except (etree.XMLSyntaxError, ValueError, LookupError) as error:
            self._parsers.clear()
            return Refusal(NOT_XML, str(error).removesuffix(" (<string>, line 1)") or type(error).__name__)
        wrong = options.place.violation(value, encoding) if options.place else ""
        if wrong:
            return Refusal(VIOLATES_SCHEMA, wrong)
        if options.record is not None and not found:
            return Refusal("empty", f"no element '{options.record}'")
        return as_json(found)

    def _parser(self, encoding: str | None) -> Any:
        """One a charset, made once: lxml asks Python's inspect about the builder each time."""
        from lxml import etree

        self._builder.begin()
        if encoding not in self._parsers:
            # The language's own entities have to be resolved, or attributes show '&#38;' for '&'; others
            # are none.
            self._parsers[encoding] = etree.XMLParser(
                target=self._builder,
                encoding=encoding,
                resolve_entities="internal",
                no_network=True,
                load_dtd=False,
                huge_tree=False,
            )
        return self._parsers[encoding]


@dataclass
class _Element:
    """An element whose end has not come.

    Attributes:
        name: As the payload says it.
        prefixes: Namespace → prefix, where it stands.
        parts: Texts, and children as (name, value), in order.
    """

    name: str
    prefixes: Mapping[str, str]
    attributes: dict[str, str]
    parts: list[str | tuple[str, Any]] = field(default_factory=list)


class _Builder:
    """What the parser calls (lxml's target interface): makes dicts, lists and texts of what it is given."""

    def __init__(self, options: XmlOptions) -> None:
        self._options = options
        self._record = tuple(options.record.split("/")) if options.record else ()
        self._arrays = [tuple(path.split("/")) for path in options.arrays]
        declared = options.namespaces if isinstance(options.namespaces, dict) else {}
        self._declared = {namespace: prefix for prefix, namespace in declared.items()}
        self.begin()

    def begin(self) -> None:
        """The next document."""
        self._open: list[_Element] = []
        self._records: list[Any] = []
        self._root: Any = None

    def doctype(self, *_: object) -> None:
        """Before anything that the declaration holds is read."""
        raise _Refused(
            "it has a document type declaration, which is not taken: entities could be declared there"
        )

    def start(self, tag: str, attributes: Mapping[str, str], nsmap: Mapping[str | None, str]) -> None:
        """An element begins."""
        if len(self._open) >= MOST_LEVELS:
            raise _Refused(f"it nests deeper than {MOST_LEVELS} levels")
        prefixes = self._open[-1].prefixes if self._open else {"http://www.w3.org/XML/1998/namespace": "xml"}
        if nsmap:
            prefixes = {**prefixes, **{namespace: prefix or "" for prefix, namespace in nsmap.items()}}
        named = {f"{_ATTRIBUTE}{self._name(name, prefixes)}": value for name, value in attributes.items()}
        if len(named) < len(attributes):
            raise _Refused(
                f"two attributes of '{tag}' have one name without their namespaces; keep the prefixes"
            )
        self._open.append(_Element(self._name(tag, prefixes), prefixes, named))

    def data(self, text: str) -> None:
        """Text; one text may come in several parts."""
        parts = self._open[-1].parts
        if parts and isinstance(parts[-1], str):
            parts[-1] += text
        else:
            parts.append(text)

    def end(self, tag: str) -> None:
        """An element ends."""
        path = tuple(element.name for element in self._open)
        element = self._open.pop()
        value = self._value(element, path)
        if self._record and path == self._record:
            self._records.append(value)
        elif self._open:
            self._open[-1].parts.append((element.name, value))
        else:
            self._root = {element.name: value}

    def close(self) -> Any:
        """The document ends."""
        return self._records if self._record else self._root

    def _value(self, element: _Element, path: Sequence[str]) -> Any:
        children = [part for part in element.parts if not isinstance(part, str)]
        texts = [part for part in element.parts if isinstance(part, str)]
        if not children:
            text = "".join(texts)
            return (
                {**element.attributes, **({_TEXT: text} if text else {})}
                if element.attributes
                else text or None
            )
        if any(text.strip(" \t\r\n") for text in texts):
            mixed = [part if isinstance(part, str) else {part[0]: part[1]} for part in element.parts]
            return {**element.attributes, _MIXED: mixed}
        found: dict[str, Any] = dict(element.attributes)
        many = {name for name, _ in children if self._is_array((*path, name))}
        seen = set[str]()
        for name, value in children:
            if name in many:
                found.setdefault(name, []).append(value)
            elif name in seen:
                many.add(name)
                found[name] = [found[name], value]
            else:
                found[name] = value
            seen.add(name)
        return found

    def _is_array(self, path: Sequence[str]) -> bool:
        return any(tuple(path[-len(end) :]) == end for end in self._arrays)

    def _name(self, tag: str, prefixes: Mapping[str, str]) -> str:
        if not tag.startswith("{"):
            return tag
        namespace, _, name = tag[1:].partition("}")
        if self._options.namespaces == "strip":
            return name
        prefix = self._declared.get(namespace, prefixes.get(namespace, ""))
        return f"{prefix}:{name}" if prefix else name


XML = XmlFormat()
