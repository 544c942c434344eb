"""Formats beside JSON: a value lands as it was sent, or it is a reject with its reason."""

from tests.fault.mutations.mutant import Mutant

_FORMATS, _TESTS = "ingestion/formats/", "tests/formats/test_"

MUTANTS = (
    Mutant(
        "a value that is missing is a text",
        f"{_FORMATS}csv.py",
        "values = [None if value == no_value else value for value in record]",
        "values = list(record)",
        "a missing value is null",
        (f"{_TESTS}csv.py::test_what_is_declared_is_read",),
    ),
    Mutant(
        "a record with too few values is cut to what there is",
        f"{_FORMATS}csv.py",
        "if columns and len(record) != len(columns):",
        "if False:",
        "a record that does not fit its columns is a reject",
        (f"{_TESTS}csv.py::test_what_is_no_record_is_refused_with_the_reason",),
    ),
    Mutant(
        "a large integer of line protocol loses digits",
        f"{_FORMATS}influx.py",
        "return orjson.Fragment(str(int(integer[1])).encode()), at + len(word)",
        "return orjson.Fragment(str(int(float(integer[1]))).encode()), at + len(word)",
        "numbers keep their digits",
        (f"{_TESTS}influx.py::test_numbers_keep_their_digits",),
    ),
    Mutant(
        "a tag that stands twice has its second value",
        f"{_FORMATS}influx.py",
        '        _once(key, tags, "tag")\n',
        "",
        "what has two values is a reject",
        (f"{_TESTS}influx.py::test_what_is_none_is_refused_with_the_reason",),
    ),
    Mutant(
        "a syslog message that was cut off is whole",
        f"{_FORMATS}syslog.py",
        "if len(value) != int(counted[1]):",
        "if False:",
        "a message that is shorter than its octet count is a reject",
        (f"{_TESTS}syslog.py::test_what_is_none_is_refused_with_the_reason",),
    ),
    Mutant(
        "a document type declaration is read",
        f"{_FORMATS}xml.py",
        "    def doctype(self, *_: object) -> None:\n",
        "    def doctype_of(self, *_: object) -> None:\n",
        "no entity of a document is ever expanded",
        (f"{_TESTS}xml.py::test_what_is_hostile_or_none_is_refused_with_the_reason",),
    ),
    Mutant(
        "of a map with a name twice one value is lost",
        f"{_FORMATS}msgpack.py",
        "if len(found) < len(pairs):",
        "if False:",
        "what has two values is a reject",
        (f"{_TESTS}msgpack_and_cbor.py::test_what_is_none_is_refused_with_the_reason",),
    ),
    Mutant(
        "a container unpacks to any size",
        f"{_FORMATS}avro/containers.py",
        "        if len(block) > left:\n",
        "        if False:\n",
        "what is within is no larger than a value may be",
        (f"{_TESTS}avro.py::test_what_is_within_is_no_larger_than_a_value_may_be",),
    ),
    Mutant(
        "bytes after an Avro value are left out",
        f"{_FORMATS}avro/whole.py",
        "    if file.tell() != size:\n",
        "    if False:\n",
        "a value is read whole or refused",
        (f"{_TESTS}avro.py::test_a_bad_value_is_refused_alone",),
    ),
)
