"""dlt asks the environment for its settings, down to names without a section: none may reach a batch."""

import json

import pytest

from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import prove
from ingestion.settings import Settings
from tests.fakes.tape import Deck
from tests.ingestion.helpers import ingest

_SOMEBODY_ELSES = {
    "WORKERS": "0",
    "NORMALIZE__WORKERS": "0",
    "LOAD__WORKERS": "0",
    "LOADER_FILE_FORMAT": "jsonl",
    "SCHEMA__NAMING": "sql_cs_v1",
    "NAMING": "sql_cs_v1",
    "ADD_DLT_LOAD_ID": "false",
    "DATASET_NAME": "elsewhere",
    "LAYOUT": "{table_name}",
    "CREDENTIALS": "postgresql://nobody@127.0.0.1:1/nothing",
}


@pytest.mark.parametrize("name", _SOMEBODY_ELSES)
def test_what_a_shell_says_to_others_changes_no_batch(
    lake: Lake, at: Settings, deck: Deck, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    lake.settings = at
    monkeypatch.setenv(name, _SOMEBODY_ELSES[name])
    deck.reels["reel"].record(b'{"Number": 1}', b'{"Number": 2}', b"nothing")
    stream = Stream.model_validate({"name": "orders", "source": {"tape": "reel"}})
    report = ingest(lake, stream, at)
    assert (report.events_landed, report.events_rejected) == (2, 1)
    rows = lake.query("select payload, _dlt_load_id from raw.orders order by position")
    assert [json.loads(payload) for payload, _ in rows] == [{"Number": 1}, {"Number": 2}]
    assert lake.query("select distinct load_id from raw._dlt_loads") == [(rows[0][1],)]
    assert not prove(lake, "orders").defects
