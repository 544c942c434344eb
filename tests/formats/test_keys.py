"""Keys with a format of their own: by the same port as values, with a way back."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from ingestion.clock import utc_now
from ingestion.declare.decoding import decoder_of
from ingestion.declare.stream import Stream
from ingestion.formats.decode import Decoded
from ingestion.formats.port import FOLDER
from ingestion.log.envelope import SOURCE_SCHEMA
from tests.formats.avro_bytes import declare, encode
from tests.repository import REPOSITORY

KEY = {"type": "record", "name": "K", "fields": [{"name": "id", "type": "long"}]}


def decoded(folder: Path, *pairs: tuple[bytes | None, bytes | None], with_keys: bool = True) -> Decoded:
    declared = {"name": "s", "source": {"kafka": "t"}, "key": declare(folder, KEY)}
    stream = Stream.model_validate(declared, context={FOLDER: folder})
    rows = [
        {"source_partition": "t-0", "position": n, "event_key": key, "value": value}
        for n, (key, value) in enumerate(pairs)
    ]
    return decoder_of(stream, None, with_keys=with_keys)(
        pa.Table.from_pylist(rows, schema=SOURCE_SCHEMA),
        stream="s", batch_id=1, ingested_at=utc_now(), max_bytes=100,
    )  # fmt: skip


def test_a_key_is_the_text_that_its_format_makes_of_it(tmp_path: Path) -> None:
    found = decoded(tmp_path, (encode(KEY, {"id": 7}), b"1"), (None, b"2"), (encode(KEY, {"id": 8}), None))
    assert found.events["event_key"].to_pylist() == ['{"id":7}', None, '{"id":8}']
    assert found.events["payload"].to_pylist() == ["1", "2", None]


def test_a_key_that_does_not_decode_is_a_reject_with_the_key_as_it_came(tmp_path: Path) -> None:
    found = decoded(tmp_path, (b"\xff", b"1"), (b"\xff", None), (encode(KEY, {"id": 7}), b"{"))
    first, second = found.rejects.to_pylist()
    assert (first["reason"], first["event_key"], first["payload_raw"]) == ("not_avro", r"\xff", b"1")
    assert first["detail"].startswith("its key: ")
    assert (second["reason"], second["event_key"]) == ("not_json", r"\x0e"), "a retry decodes the key"
    assert found.events["event_key"].to_pylist() == [r"\xff"], (
        "a tombstone has no bytes to be kept as a reject"
    )


def test_raw_has_no_other_bytes_of_a_key_so_a_replay_leaves_keys_alone(tmp_path: Path) -> None:
    found = decoded(tmp_path, (json.dumps({"id": 7}).encode(), b"1"), with_keys=False)
    assert found.events["event_key"].to_pylist() == ['{"id": 7}']


@pytest.mark.parametrize("package", ["ingestion", "orchestration"])
def test_streams_are_decoded_by_what_they_declare_as_a_whole(package: str) -> None:
    """`decoder` alone knows neither keys nor settings: whatever has a stream asks decoder_of."""
    allowed = {"formats/decode.py", "declare/decoding.py", "declare/sources.py"}
    callers = {
        str(file.relative_to(REPOSITORY / package))
        for file in (REPOSITORY / package).rglob("*.py")
        if "decoder(" in file.read_text(encoding="utf-8")
    }
    assert callers <= allowed
