"""XML Schemas: what violates one is refused with its place; and who says a document's encoding."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ingestion.formats.port import VIOLATES_SCHEMA
from ingestion.formats.registry import choose_format
from tests.formats.reading import read

XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" elementFormDefault="qualified">
  <xs:include schemaLocation="parts.xsd"/>
  <xs:element name="order"><xs:complexType>
    <xs:sequence><xs:element name="quantity" type="amount" maxOccurs="2"/></xs:sequence>
    <xs:attribute name="id" type="xs:string" use="required"/>
  </xs:complexType></xs:element>
</xs:schema>"""
PARTS = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
  <xs:simpleType name="amount"><xs:restriction base="xs:decimal"><xs:minInclusive value="0"/></xs:restriction>
  </xs:simpleType></xs:schema>"""
GOOD = b'<order id="1"><quantity>1.50</quantity></order>'


@pytest.fixture
def declared(tmp_path: Path) -> Any:
    (tmp_path / "order.xsd").write_text(XSD)
    (tmp_path / "parts.xsd").write_text(PARTS)
    return {"xml": {"schema": {"file": str(tmp_path / "order.xsd")}}}


def test_what_violates_the_schema_is_refused_with_its_place(declared: Any) -> None:
    assert read(declared, GOOD) == {"order": {"@id": "1", "quantity": "1.50"}}
    for value, said in (
        (GOOD.replace(b"1.50", b"-1"), r"at /order/quantity: Element 'quantity': .*minInclusive"),
        (GOOD.replace(b"1.50", b"-1").replace(b' id="1"', b""), "at /order: .*; 1 more"),
        (GOOD.replace(b' id="1"', b""), "at /order: Element 'order': The attribute 'id' is required"),
        (b"<other/>", "at /other: Element 'other': No matching global declaration"),
    ):
        with pytest.raises(ValueError, match=f"{VIOLATES_SCHEMA}: {said}"):
            read(declared, value)
        read("xml", value)
    with pytest.raises(ValueError, match="not_xml"):
        read(declared, b"<order>")
    with pytest.raises(ValueError, match="document type declaration"):
        read(declared, b"<!DOCTYPE order>" + GOOD)


def test_each_thread_hears_of_its_own_document(declared: Any) -> None:
    def wrong(number: int) -> str:
        with pytest.raises(ValueError, match=VIOLATES_SCHEMA) as refused:
            read(declared, GOOD.replace(b"1.50", b"-%d" % number))
        return str(refused.value)

    with ThreadPoolExecutor(4) as pool:
        assert all(f"'-{number}'" in said for number, said in enumerate(pool.map(wrong, range(1, 40)), 1))


def test_a_schema_that_cannot_be_used_is_a_sentence(declared: Any, tmp_path: Path) -> None:
    for text, said in (
        ("<xs:schema", "is not an XML Schema that can be used"),
        ("<other/>", "is not an XML Schema that can be used"),
        (XSD.replace("parts.xsd", "gone.xsd"), "gone.xsd"),
        (XSD.replace("parts.xsd", "http://127.0.0.1:1/parts.xsd"), "http://127.0.0.1:1/parts.xsd"),
    ):
        (tmp_path / "order.xsd").write_text(text)
        with pytest.raises(ValidationError) as error:
            choose_format(declared)
        assert said in str(error.value)
    with pytest.raises(ValidationError, match="cannot be read"):
        choose_format({"xml": {"schema": {"file": "gone.xsd"}}}, tmp_path)


def content_type(charset: str) -> str:
    return json.dumps({"content-type": f"application/xml; charset={charset}"})


def test_the_charset_of_the_content_type_counts_more_than_the_declaration(declared: Any) -> None:
    for text, encoding, headers in (
        ("<a>Süd</a>", "iso-8859-1", content_type("iso-8859-1")),
        ("<a>Süd</a>", "utf-16-be", content_type("utf-16")),
        ('<?xml version="1.0" encoding="iso-8859-1"?><a>Süd</a>', "utf-8", content_type('"UTF-8"')),
        ('<?xml version="1.0" encoding="iso-8859-1"?><a>Süd</a>', "iso-8859-1", None),
        ("<a>Süd</a>", "utf-16", content_type("iso-8859-1")),  # the byte order mark counts most
        ("<a>Süd</a>", "utf-8", '{"content-type": "text/xml"}'),
    ):
        assert read("xml", text.encode(encoding), headers=headers) == {"a": "Süd"}, (encoding, headers)
    latin = XSD_TEXT.encode("iso-8859-1")
    assert read(declared, latin, headers=content_type("iso-8859-1"))["order"]["@id"] == "Süd"
    with pytest.raises(ValueError, match="not_utf8: utf-8 by its content-type"):
        read("xml", "<a>Süd</a>".encode("iso-8859-1"), headers=content_type("utf-8"))
    with pytest.raises(ValueError, match="not_utf8: x-none by its content-type, which is not an encoding"):
        read("xml", b"<a/>", headers=content_type("x-none"))


XSD_TEXT = '<order id="Süd"><quantity>1</quantity></order>'
