"""What fastavro read of a writer's schema → what JSON shall say by a reader's (schema resolution).

It is worked out once a pair of schemas: a function for each type, None where the value is right as it is.
Resolution: Avro specification 1.12, "Schema Resolution". Single values are in values.py.
"""

from functools import lru_cache
from typing import Any

from ingestion.formats.avro.defaults import default_value
from ingestion.formats.avro.schema import AvroSchema, Mismatch, Node, type_of, without_null
from ingestion.formats.avro.unions import branch_name, is_tagged
from ingestion.formats.avro.values import Convert, logical, plain
from ingestion.formats.canonical import base64_text, number

_PROMOTED = {
    "int": ("long", "float", "double"),
    "long": ("float", "double"),
    "float": ("double",),
    "string": ("bytes",),
    "bytes": ("string",),
}
_KEPT = 64


@lru_cache(maxsize=_KEPT)
def converter(writer: AvroSchema, reader: AvroSchema) -> Convert | None:
    """From what was read by the writer's wire form to what JSON says by the reader's schema.

    Raises:
        Mismatch: No value of the writer's fits the reader's.
    """
    return _Mapping(writer, reader).of(writer.root, reader.root)


class _Mapping:
    """The functions of one pair of schemas."""

    def __init__(self, writer: AvroSchema, reader: AvroSchema) -> None:
        self._writer, self._reader = writer, reader
        self._records: dict[tuple[str, str], list[Convert | None]] = {}

    def of(self, writer: Node, reader: Node) -> Convert | None:
        """The function of a type that was written and the type that is asked for.

        Raises:
            Mismatch: None of its values fits.
        """
        writer, reader = self._writer.resolve(writer), self._reader.resolve(reader)
        if isinstance(writer, list):
            return self._of_union(writer, reader)
        if isinstance(reader, list):
            return self._into_union(writer, reader)
        kind, wanted = type_of(writer), type_of(reader)
        if kind in _PROMOTED and wanted in _PROMOTED[kind]:
            return self._promoted(writer, reader)
        if kind != wanted:
            raise Mismatch(f"{branch_name(writer)} is not {branch_name(reader)}")
        if kind in ("record", "error"):
            return self._of_record(writer, reader)
        if kind == "array":
            return _each(self.of(writer["items"], reader["items"]))
        if kind == "map":
            return _each_value(self.of(writer["values"], reader["values"]))
        if kind == "enum":
            return _of_enum(writer, reader)
        if kind == "fixed" and writer["size"] != reader["size"]:
            raise Mismatch(f"{writer['name']} has {writer['size']} bytes, not {reader['size']}")
        return plain(writer if logical(writer) else reader)

    def _promoted(self, writer: Node, reader: Node) -> Convert | None:
        kind, wanted = type_of(writer), type_of(reader)
        if wanted == "bytes":
            return lambda value: base64_text(value.encode())
        if wanted == "string":
            return lambda value: value.decode()
        if wanted == "long":
            return logical(writer) or logical(reader)
        return number if kind == "float" else float

    def _of_union(self, branches: list[Node], reader: Node) -> Convert | None:
        functions: dict[str, Convert | None] = {}
        for at, branch in enumerate(branches):
            try:
                functions[f"_{at}"] = self.of(branch, reader)
            except Mismatch as error:
                functions[f"_{at}"] = _raising(error)
        nulls = [f"_{at}" for at, branch in enumerate(branches) if type_of(branch) == "null"]
        null = functions[nulls[0]] if nulls else None
        if len(without_null(branches)) < 2:
            others = [function for name, function in functions.items() if name not in nulls]
            return _or_null(others[0] if others else None, null)

        def convert(value: Any) -> Any:
            if value is None:
                return None if null is None else null(value)
            ((name, inner),) = value.items()
            function = functions[name]
            return inner if function is None else function(inner)

        return convert

    def _into_union(self, writer: Node, branches: list[Node]) -> Convert | None:
        resolved = [self._reader.resolve(branch) for branch in branches]
        for fits in (_is_same, _has_same_name, _is_promoted):
            for branch in resolved:
                if fits(writer, branch):
                    function = self.of(writer, branch)
                    if type_of(branch) == "null" or not is_tagged(branches, self._reader):
                        return function
                    return _tagged(branch_name(branch), function)
        raise Mismatch(f"{branch_name(writer)} is none of {', '.join(map(branch_name, resolved))}")

    def _of_record(self, writer: Node, reader: Node) -> Convert | None:
        key = (writer["name"], reader["name"])
        if key in self._records:  # of a type that holds itself: what is worked out just now
            later = self._records[key]
            return lambda value: value if (found := later[0]) is None else found(value)
        place: list[Convert | None] = [None]
        self._records[key] = place
        place[0] = self._worked_out(writer, reader)
        return place[0]

    def _worked_out(self, writer: Node, reader: Node) -> Convert | None:
        sent = {field["name"]: field["type"] for field in writer["fields"]}
        wanted = [(field["name"], _sent_as(field, sent)) for field in reader["fields"]]
        functions: list[tuple[str, str, Convert | None]] = []
        defaults: dict[str, Any] = {}
        for field, (name, source) in zip(reader["fields"], wanted, strict=True):
            if source is not None:
                functions.append((name, source, self.of(sent[source], field["type"])))
            elif "default" in field:
                defaults[name] = default_value(field["type"], field["default"], self._reader)
            else:
                raise Mismatch(f"{writer['name']} has no field '{name}', and the schema no default for it")
        if [source for _, source in wanted] == [*sent] and all(name == source for name, source in wanted):
            changed = [(name, function) for name, _, function in functions if function is not None]
            return _in_place(changed) if changed else None

        def convert(value: Any) -> Any:
            made = {name: value[at] if f is None else f(value[at]) for name, at, f in functions}
            return {name: made[name] if name in made else defaults[name] for name, _ in wanted}

        return convert


def _of_enum(writer: Node, reader: Node) -> Convert:
    known, symbols = set(reader["symbols"]), writer["symbols"]
    texts = [each if each in known else reader.get("default") for each in symbols]

    def convert(value: int) -> str:
        if not 0 <= value < len(texts):
            raise Mismatch(f"{writer['name']} has no symbol {value}")
        text: str | None = texts[value]
        if text is None:
            raise Mismatch(f"{reader['name']} has no symbol '{symbols[value]}' and no default")
        return text

    return convert


def _sent_as(field: Node, sent: dict[str, Node]) -> str | None:
    """The writer's name of a reader's field: its own, or one of its aliases."""
    return next((name for name in (field["name"], *field.get("aliases", ())) if name in sent), None)


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _is_same(writer: Node, branch: Node) -> bool:
    if type_of(writer) != type_of(branch):
        return False
    if not (isinstance(writer, dict) and "name" in writer):
        return True
    return writer["name"] in (branch["name"], *branch.get("aliases", ()))


def _has_same_name(writer: Node, branch: Node) -> bool:
    if type_of(writer) != type_of(branch) or not isinstance(branch, dict):
        return False
    return _short(branch_name(writer)) in map(_short, (branch_name(branch), *branch.get("aliases", ())))


def _is_promoted(writer: Node, branch: Node) -> bool:
    return type_of(branch) in _PROMOTED.get(type_of(writer), ())


def _in_place(changed: list[tuple[str, Convert]]) -> Convert:
    def convert(value: Any) -> Any:
        for name, function in changed:
            value[name] = function(value[name])
        return value

    return convert


def _each(function: Convert | None) -> Convert | None:
    return None if function is None else lambda values: [function(value) for value in values]


def _each_value(function: Convert | None) -> Convert | None:
    if function is None:
        return None
    return lambda values: {key: function(value) for key, value in values.items()}


def _or_null(function: Convert | None, null: Convert | None) -> Convert | None:
    if null is not None:
        return lambda value: null(value) if value is None else value if function is None else function(value)
    if function is None:
        return None
    return lambda value: None if value is None else function(value)


def _tagged(name: str, function: Convert | None) -> Convert:
    return lambda value: {name: value if function is None else function(value)}


def _raising(error: Mismatch) -> Convert:
    def convert(_: Any) -> Any:
        raise error

    return convert
