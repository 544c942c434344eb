"""XML Schemas (XSD) in files of the project: what of a document violates one, by libxml2; nothing is fetched.

https://www.w3.org/TR/xmlschema-1/
"""

import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationInfo, model_validator

from ingestion.formats.port import FOLDER

_KEPT = 32
_one_at_a_time = threading.Lock()  # a schema keeps the errors of its last document


class XsdFile(BaseModel):
    """An XML Schema in a file of the project.

    Attributes:
        file: Its path, from the project's folder. What it includes or imports is in files, too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    _text: bytes = PrivateAttr()
    _place: str = PrivateAttr()

    @model_validator(mode="after")
    def _read(self, info: ValidationInfo) -> "XsdFile":
        path = (Path((info.context or {}).get(FOLDER, "")) / Path(self.file).expanduser()).resolve()
        try:
            self._text, self._place = path.read_bytes(), str(path)
        except OSError as error:
            raise ValueError(
                f"the schema {path} cannot be read ({error.strerror}); 'file' is a path from the project's "
                "folder"
            ) from None
        try:
            _schema(self._text, self._place)
        except Exception as error:  # lxml's XMLSyntaxError, XMLSchemaParseError
            raise ValueError(f"{path} is not an XML Schema that can be used: {error}") from None
        return self

    def violation(self, document: bytes, encoding: str | None) -> str:
        """Where a document violates it, and how; empty where it keeps to it.

        Args:
            document: Well-formed, without a document type declaration.
            encoding: Of the document, where that is known from elsewhere.
        """
        from lxml import etree

        tree = etree.fromstring(document, _parser(encoding))
        schema = _schema(self._text, self._place)
        with _one_at_a_time:
            if schema.validate(tree):
                return ""
            errors = [(each.path, each.message) for each in schema.error_log]
        (path, message), more = errors[0], len(errors) - 1
        return f"at {path}: {message}" + (f"; {more} more" if more else "")


@lru_cache(maxsize=_KEPT)
def _schema(text: bytes, place: str) -> Any:
    from lxml import etree

    return etree.XMLSchema(etree.fromstring(text, _parser(None), base_url=place))


def _parser(encoding: str | None) -> Any:
    from lxml import etree

    return etree.XMLParser(
        encoding=encoding, resolve_entities="internal", no_network=True, load_dtd=False, huge_tree=False
    )
