"""XML: compared with what Python's own reader finds, and hostile documents."""

from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.formats.registry import choose_format
from tests.formats.avro_bytes import decode
from tests.formats.documents import B2MML, RSS
from tests.formats.reading import read


def require_same(element: ElementTree.Element, value: Any) -> None:
    """An element as Python's reader has it, and what the payload says of it, names without namespaces."""
    attributes = {f"@{local(name)}": said for name, said in element.attrib.items()}
    text, names = element.text or "", [local(child.tag) for child in element]
    if not names:
        assert value == ({**attributes, **({"#text": text} if text else {})} if attributes else text or None)
        return
    assert value.keys() == {*attributes, *names}
    assert {key: value[key] for key in attributes} == attributes
    for name in set(names):
        children = [child for child in element if local(child.tag) == name]
        found = value[name] if len(children) > 1 else [value[name]]
        for child, said in zip(children, found, strict=True):
            require_same(child, said)


def local(tag: str) -> str:
    return tag.rpartition("}")[2]


@pytest.mark.parametrize("document", [RSS, B2MML], ids=["RSS 2.0", "B2MML"])
def test_every_value_of_a_standard_s_document_is_there(document: bytes) -> None:
    root = ElementTree.fromstring(document)
    require_same(root, read({"xml": {"namespaces": "strip"}}, document)[local(root.tag)])


_name = st.text("abcxyz", min_size=1, max_size=2)
_text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Cn"]), max_size=6)
_attributes = st.dictionaries(_name, _text, max_size=2)
_trees = st.recursive(
    st.tuples(_name, _attributes, _text),
    lambda inner: st.tuples(_name, _attributes, st.lists(inner, min_size=1, max_size=4)),
    max_leaves=8,
)


@settings(deadline=None)
@given(_trees, st.sampled_from(["utf-8", "utf-16", "iso-8859-1"]))
def test_any_document_is_what_another_reader_finds(tree: Any, encoding: str) -> None:
    document = ElementTree.tostring(made(tree), encoding, xml_declaration=True)
    require_same(ElementTree.fromstring(document), read("xml", document)[tree[0]])


def made(tree: Any) -> ElementTree.Element:
    name, attributes, inside = tree
    element = ElementTree.Element(name, attributes)
    if isinstance(inside, str):
        element.text = inside
    else:
        element.extend(made(child) for child in inside)
    return element


@pytest.mark.parametrize(
    ("options", "document", "expected"),
    [
        ({"record": "rss/channel/item"}, RSS, ["n-1", "n-2"]),
        ({"record": "rss/channel/item"}, RSS.replace(b"</item>", b"</item>\n"), ["n-1", "n-2"]),
    ],
)
def test_records_are_an_array(options: Any, document: bytes, expected: Any) -> None:
    assert [item["guid"]["#text"] for item in read({"xml": options}, document)] == expected


@pytest.mark.parametrize(
    ("options", "document", "expected"),
    [
        ({}, b"<o><i>1</i></o>", {"o": {"i": "1"}}),
        ({"arrays": ["i"]}, b"<o><i>1</i></o>", {"o": {"i": ["1"]}}),
        ({"arrays": ["o/i"]}, b"<o><p><i>1</i></p><i>2</i></o>", {"o": {"p": {"i": "1"}, "i": ["2"]}}),
        ({}, b"<p>Hi <b>you</b> there</p>", {"p": {"#mixed": ["Hi ", {"b": "you"}, " there"]}}),
        ({}, b'<q:r xmlns:q="u" xml:lang="en"><q:a/></q:r>', {"q:r": {"@xml:lang": "en", "q:a": None}}),
        ({"namespaces": {"m": "u"}}, b'<r xmlns="u"><a/></r>', {"m:r": {"m:a": None}}),
        ({}, b"<a><![CDATA[<x>]]>&#65;<!-- c --><?pi x?>z</a>", {"a": "<x>Az"}),
    ],
)
def test_the_mapping_is_as_stated(options: Any, document: bytes, expected: Any) -> None:
    assert read({"xml": options}, document) == expected


LAUGHS = b"<!DOCTYPE l [<!ENTITY a '" + b"l" * 1000 + b"'>" + b"".join(
    b"<!ENTITY %c '%s'>" % (98 + n, (b"&%c;" % (97 + n)) * 10) for n in range(9)
) + b"]><l>&j;</l>"  # fmt: skip


@pytest.mark.parametrize(
    ("options", "document", "sentence"),
    [
        ({}, LAUGHS, "it has a document type declaration"),
        ({}, b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "it has a document type declaration"),
        (
            {},
            b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
            "document type declaration",
        ),
        ({}, b"<a>" * 10_000 + b"</a>" * 10_000, "it nests deeper than 250 levels"),
        ({}, b"<a>&unknown;</a>", "Entity 'unknown' not defined"),
        ({}, b"<a><b></a>", "tag mismatch"),
        ({}, b"<a/><b/>", "Extra content"),
        ({}, b"<a>\x00</a>", "Char 0x0"),
        ({}, b'<?xml version="1.0" encoding="nope"?><a/>', "nope"),
        ({}, b" \n", "empty: nothing but spaces"),
        ({}, b'{"a": 1}', "Start tag expected"),
        ({"record": "a/b"}, b"<a/>", "empty: no element 'a/b'"),
        ({"namespaces": "strip"}, b'<a xmlns:p="u" xmlns:q="v" p:x="1" q:x="2"/>', "keep the prefixes"),
    ],
)
def test_what_is_hostile_or_none_is_refused_with_the_reason(
    options: Any, document: bytes, sentence: str
) -> None:
    with pytest.raises(ValueError, match=r"not_xml|empty") as refused:
        read({"xml": options}, document)
    assert sentence in str(refused.value)


@pytest.mark.parametrize("options", [{"record": "a//b"}, {"arrays": ["/a"]}, {"record": ""}])
def test_a_path_that_is_none_is_refused_where_it_is_declared(options: Any) -> None:
    with pytest.raises(ValueError, match="write names with / between them"):
        choose_format({"xml": options})


def test_documents_of_one_batch_are_read_each_by_itself() -> None:
    values = [b"<a><r>1</r></a>", b"<a><r>2", b"<a><r>3</r><r>4</r></a>", b"<a/>", b"<a><r>5</r></a>"]
    decoded = decode({"xml": {"record": "a/r"}}, values)
    assert decoded.events["payload"].to_pylist() == ['["1"]', '["3","4"]', '["5"]']
    assert decoded.rejects["reason"].to_pylist() == ["not_xml", "empty"]
