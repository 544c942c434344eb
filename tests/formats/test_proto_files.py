"""`.proto` files as the schema of a stream: compiled by themselves, with what they import."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ingestion import libraries
from ingestion.connectors.messages import Message
from ingestion.declare.file import load_streams
from ingestion.declare.sources import read_message
from ingestion.formats.port import Surroundings
from ingestion.formats.registry import choose_format
from tests.repository import REPOSITORY

ORDER = """
syntax = "proto3";
package shop;
import "common/money.proto";
import "google/protobuf/timestamp.proto";
message Order { string id = 1; common.Money total = 2; google.protobuf.Timestamp placed_at = 3; }
"""
MONEY = 'syntax = "proto3"; package common; message Money { int64 cents = 1; }'
SENT = b"\x0a\x03o-1\x12\x03\x08\xfa\x01\x1a\x02\x08\x01"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in (("shop/order", ORDER), ("common/money", MONEY)):
        path = tmp_path / "schemas" / f"{name}.proto"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    return tmp_path


def declared(**options: Any) -> Any:
    return {"protobuf": {"file": "schemas/shop/order.proto", **options}}


def test_a_source_file_is_the_schema_with_what_it_imports(project: Path) -> None:
    choice = choose_format(declared(), project)
    seen = read_message(Message("log-0", 0, None, SENT, None, None), choice, max_bytes=1000)
    assert seen.payload == '{"id":"o-1","total":{"cents":250},"placed_at":"1970-01-01T00:00:01Z"}'
    (project / "streams.yml").write_text(
        "orders:\n  source: {kafka: orders}\n  format: {protobuf: {file: schemas/shop/order.proto}}\n"
        "  event_time: placed_at\n"
    )
    (stream,) = load_streams(project / "streams.yml")
    assert {name: field.type for name, field in stream.fields.items()} == {
        "id": "varchar", "total": "json", "placed_at": "timestamp",
    }  # fmt: skip


def test_a_changed_import_is_another_schema(project: Path) -> None:
    def names() -> list[str]:
        choice = choose_format({"protobuf": {"file": "schemas/common/money.proto"}}, project)
        return [field.path for field in choice.options.fields(Surroundings(1000))]

    before = choose_format(declared(), project)
    assert before == choose_format(declared(), project)
    assert names() == ["cents"]
    (project / "schemas/common/money.proto").write_text(MONEY.replace("= 1;", "= 1; string code = 2;"))
    assert names() == ["cents", "code"]
    assert before != choose_format(declared(), project)


def test_what_is_wrong_is_one_sentence_with_its_line(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = project / "schemas/shop/order.proto"
    for text, said in (
        (ORDER.replace("common.Money", "common.Cash"), '"common.Cash" is not defined'),
        (ORDER.replace("money.proto", "gone.proto"), "common/gone.proto: File not found"),
        (ORDER.replace("money.proto", "../../../x.proto"), "schemas/shop/order.proto cannot be used"),
        ("syntax", "order.proto:1:7:"),
    ):
        order.write_text(text)
        with pytest.raises(ValidationError) as error:
            choose_format(declared(), project)
        assert said in str(error.value)
    with pytest.raises(ValidationError, match=r"cannot be read \(No such file"):
        choose_format({"protobuf": {"file": "schemas/gone.proto"}}, project)
    order.write_text(ORDER + "// another text, which nobody has compiled yet")
    monkeypatch.setattr(libraries, "find_spec", lambda name: None if name == "grpc_tools" else name)
    with pytest.raises(ValidationError, match=r"grpc_tools: install 'millrace-lakehouse\[protobuf\]'"):
        choose_format(declared(), project)


def test_a_file_of_the_project_s_own_folder_is_found(tmp_path: Path) -> None:
    text = (REPOSITORY / "tests" / "formats" / "plant.proto").read_text()
    (tmp_path / "plant.proto").write_text(text)
    choice = choose_format({"protobuf": {"file": "plant.proto", "message": "plant.v1.Reading"}}, tmp_path)
    assert choice.options.fields(Surroundings(1000))
