"""Rejects: the budget, landing them later, dismissing them; each once, under the old identity."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from dagster import ExecuteInProcessResult

from ingestion.connectors.kafka.access import KafkaAccess
from ingestion.errors import BatchFailed, ConfigError, RejectNotFound, StreamBusy, TooManyRejects
from ingestion.faultpoints import install_hook
from ingestion.formats.decode import Decoded, decoder
from ingestion.lake.catalog import process_name, writer_lock
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import prove, read_state
from ingestion.land.rejects import list_rejects, show
from ingestion.land.resolutions import resolve, retry
from ingestion.settings import Settings
from orchestration.jobs.rejects import retry_job
from orchestration.run.resources import lake_session
from tests.frozen.commands import Commands
from tests.ingestion.helpers import ingest, kafka_stream, positions_of, produce
from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka

_numbers = numbers()
BAD_LINE = b"{'n': 2}"
VALUES = [b'{"n": 1}', BAD_LINE, b"", None, b"\xff\xfe", BAD_LINE]


@pytest.fixture
def topic(apache_kafka: ApacheKafka) -> Iterator[str]:
    name = f"rejects_{next(_numbers)}"
    apache_kafka.create_topic(name, partitions=2)
    yield name
    install_hook(None)


@pytest.fixture
def rejected(lake: Lake, kafka_settings: Settings, topic: str, apache_kafka: ApacheKafka) -> str:
    """A stream whose first batch rejected positions 1, 2, 4 and 5 of partition 0."""
    keys = [b"k%d" % n for n in range(5)] + [b"\xff"]
    produce(apache_kafka.bootstrap_servers, topic, VALUES, keys=keys)
    assert ingest(lake, kafka_stream(topic), kafka_settings).events_rejected == 4
    return topic


def single_quotes(chunk: pa.Table, **options: Any) -> Decoded:
    """Tomorrow's decoder: it takes single quotes for double ones."""
    text = pc.replace_substring(chunk["value"], b"'", b'"')
    return decoder("json")(chunk.set_column(chunk.schema.get_field_index("value"), "value", text), **options)


def ids(topic: str, *positions: int) -> list[str]:
    return [f"{topic}-0@{position}" for position in positions]


def test_today_s_decoder_refuses_what_it_refused_and_nothing_changes(lake: Lake, rejected: str) -> None:
    before = lake.snapshot_id()
    report = retry(lake, rejected, decode=decoder("json"))
    assert (report.batch_ids, report.landed, report.still_rejected) == ((), 0, 4)
    assert lake.snapshot_id() == before


def test_what_now_decodes_lands_once_under_its_identity_and_the_proof_holds(
    lake: Lake, rejected: str, kafka_settings: Settings, apache_kafka: ApacheKafka
) -> None:
    (before,) = lake.query("select event_time from raw.rejects where position = 5")
    positions = read_state(lake, rejected).positions
    snapshot = lake.snapshot_id()
    report = retry(lake, rejected, decode=single_quotes)
    assert (report.batch_ids, report.landed, report.still_rejected, report.not_kept) == ((2,), 2, 2, 0)
    assert lake.snapshot_id() == snapshot + 1
    assert lake.query(
        f"select batch_id, event_id, event_key, payload, event_time from raw.{rejected} where position = 5"
    ) == [(2, *ids(rejected, 5), "\\xff", '{"n": 2}', *before)]
    assert read_state(lake, rejected).positions == positions
    assert [reject.event_id for reject in list_rejects(lake, rejected)] == ids(rejected, 2, 4)
    landed = [reject for reject in list_rejects(lake, rejected, open_only=False) if reject.outcome != "open"]
    assert [(reject.outcome, reject.landed_batch_id) for reject in landed] == [("landed", 2)] * 2
    assert retry(lake, rejected, decode=single_quotes).landed == 0
    assert retry(lake, rejected, event_ids=ids(rejected, 5), decode=single_quotes).landed == 0
    produce(apache_kafka.bootstrap_servers, rejected, [b"3"])
    assert ingest(lake, kafka_stream(rejected), kafka_settings).batch_id == 3
    assert positions_of(lake, rejected) == [(f"{rejected}-0", n) for n in (0, 1, 3, 5, 6)]
    for since in range(3):
        assert prove(lake, rejected, since_batch=since).defects == ()


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("delete from raw.reject_resolutions where event_id like '%@5'", "2 events where 1 rejects"),
        ("delete from raw.reject_resolutions", "2 events in a window of 0"),
        ("update raw.batches set end_position = end_position + 1 where batch_id = 2", "log was not read"),
        ("delete from raw.{topic} where position = 5", "2 landed and 0 rejected, the tables hold 1 and 0"),
    ],
)
def test_the_proof_finds_a_retry_that_does_not_add_up(
    lake: Lake, rejected: str, damage: str, told: str
) -> None:
    retry(lake, rejected, decode=single_quotes)
    lake.query(damage.format(topic=rejected))
    assert told in " ".join(defect.message for defect in prove(lake, rejected, since_batch=1).defects)


def test_a_choice_by_id_or_reason_leaves_the_others(lake: Lake, rejected: str) -> None:
    assert retry(lake, rejected, reason="not_utf8", decode=single_quotes).landed == 0
    assert retry(lake, rejected, event_ids=ids(rejected, 5, 5), decode=single_quotes).landed == 1
    assert [reject.event_id for reject in list_rejects(lake, reason="not_json")] == ids(rejected, 1)
    with pytest.raises(RejectNotFound, match=r"no reject 'nope@1'; 'millrace rejects list"):
        retry(lake, rejected, event_ids=[*ids(rejected, 1), "nope@1"], decode=single_quotes)
    assert len(list_rejects(lake, rejected)) == 3


def test_a_retry_keeps_to_the_limits_of_a_batch(lake: Lake, rejected: str) -> None:
    lake.settings = lake.settings.model_copy(update={"batch_max_events": 1})
    assert retry(lake, rejected, decode=single_quotes).batch_ids == (2, 3)
    assert prove(lake, rejected).defects == ()


@pytest.mark.parametrize("place", ["loader.extracted", "loader.loaded", "loader.committed"])
def test_a_retry_that_dies_is_all_or_nothing(lake: Lake, rejected: str, place: str) -> None:
    def fail(name: str) -> None:
        if name == place:
            raise RuntimeError(name)

    install_hook(fail)
    with pytest.raises((RuntimeError, BatchFailed)):
        retry(lake, rejected, decode=single_quotes)
    install_hook(None)
    committed = place == "loader.committed"
    assert len(list_rejects(lake, rejected)) == (2 if committed else 4)
    assert retry(lake, rejected, decode=single_quotes).landed == (0 if committed else 2)
    assert len(positions_of(lake, rejected)) == len(set(positions_of(lake, rejected))) == 4
    assert prove(lake, rejected).defects == ()


def test_bytes_that_were_not_kept_never_become_a_tombstone(
    lake: Lake, kafka_settings: Settings, topic: str, apache_kafka: ApacheKafka
) -> None:
    lake.settings = kafka_settings.model_copy(update={"payload_max_bytes": 1024})
    produce(apache_kafka.bootstrap_servers, topic, [b'"' + b"x" * 2000 + b'"'])
    ingest(lake, kafka_stream(topic), kafka_settings)
    lake.settings = kafka_settings
    report = retry(lake, topic, decode=decoder("json"))
    assert (report.landed, report.not_kept) == (0, 1)
    assert positions_of(lake, topic) == []
    reject, payload = show(lake, topic, f"{topic}-0@0")
    assert (reject.kept, reject.payload_bytes, payload) == (False, 2002, None)


def test_dismissed_rejects_stay_but_are_not_open_and_do_not_land(lake: Lake, rejected: str) -> None:
    with pytest.raises(ConfigError, match="needs a note"):
        resolve(lake, rejected, note=" ", reason="not_json")
    with pytest.raises(ConfigError, match="which rejects"):
        resolve(lake, rejected, note="all of them")
    assert resolve(lake, rejected, note="a test sender", reason="not_json") == 2
    before = lake.snapshot_id()
    assert resolve(lake, rejected, note="again", event_ids=ids(rejected, 1)) == 0
    assert retry(lake, rejected, decode=single_quotes).landed == 0
    assert lake.snapshot_id() == before
    reject, payload = show(lake, rejected, ids(rejected, 1)[0])
    assert (reject.outcome, reject.note, payload) == ("dismissed", "a test sender", BAD_LINE)
    assert len(list_rejects(lake)) == 2
    assert prove(lake, rejected).defects == ()


def test_a_retry_waits_for_the_streams_writer(lake: Lake, rejected: str) -> None:
    with (
        writer_lock(lake.settings, rejected, application_name=process_name()),
        pytest.raises(StreamBusy, match="is being written by"),
    ):
        retry(lake, rejected, decode=single_quotes)


def test_a_batch_over_its_budget_of_rejects_is_not_loaded_and_nothing_is_lost(
    lake: Lake, kafka_settings: Settings, topic: str, apache_kafka: ApacheKafka
) -> None:
    strict = kafka_stream(topic).model_copy(update={"max_reject_share": 0.1})
    produce(apache_kafka.bootstrap_servers, topic, [b"1"] * 17 + [b"{"] * 2)
    assert ingest(lake, strict, kafka_settings).events_rejected == 2  # 19 events say nothing
    produce(apache_kafka.bootstrap_servers, topic, [b"1"] * 18 + [b"{"] * 2)
    assert ingest(lake, strict, kafka_settings).events_rejected == 2  # at the limit
    before, snapshot = read_state(lake, topic), lake.snapshot_id()
    produce(apache_kafka.bootstrap_servers, topic, [b"1"] * 17 + [b"{"] * 3)
    with pytest.raises(TooManyRejects, match=r"3 of 20 events \(15%\).*0\.1 allows.*not_json.*streams\.yml"):
        ingest(lake, strict, kafka_settings)
    assert (read_state(lake, topic), lake.snapshot_id()) == (before, snapshot)
    assert ingest(lake, kafka_stream(topic), kafka_settings).events_read == 20
    assert prove(lake, topic).defects == ()


@pytest.fixture
def command(
    rejected: str, kafka_settings: Settings, tmp_path: Path, commands: Commands
) -> Callable[..., tuple[int, str, str]]:
    """The `millrace` command on the lake of `rejected`."""
    assert kafka_settings.catalog is not None
    (tmp_path / "streams.yml").write_text(f"{rejected}:\n  source: {{kafka: {rejected}}}\n")
    environment = {
        "MILLRACE_DATA_DIR": str(kafka_settings.data_dir),
        "MILLRACE_CATALOG": kafka_settings.catalog.get_secret_value(),
        "MILLRACE_STREAMS_FILE": str(tmp_path / "streams.yml"),
        "MILLRACE_KAFKA_BOOTSTRAP_SERVERS": kafka_settings.access("kafka", KafkaAccess).bootstrap_servers,
    }

    def run(*arguments: str) -> tuple[int, str, str]:
        done = commands.run_with(arguments, environment)
        assert "Traceback" not in done.err
        return done.code, done.out, done.err

    return run


def test_the_commands(lake: Lake, rejected: str, command: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = command("rejects", "list")
    assert (code, out.count("not_json"), out.count("open")) == (0, 2, 4)
    code, out, _ = command("rejects", "show", rejected, f"{rejected}-0@5")
    assert code == 0
    assert out.endswith("payload\n{'n': 2}\n")
    code, out, _ = command("rejects", "retry", rejected, "--json")
    assert (code, json.loads(out)["still_rejected"]) == (1, 4)
    code, out, _ = command("rejects", "resolve", rejected, "--reason", "not_json", "--note", "cut off")
    assert (code, out) == (0, f"{rejected}: 2 dismissed\n")
    code, out, _ = command("rejects", "list", rejected, "--all", "--json")
    assert [each["outcome"] for each in json.loads(out)] == ["dismissed", "open", "open", "dismissed"]
    code, _, told = command("rejects", "retry", rejected, "nope@1")
    assert (code, told.count("\n")) == (1, 1)
    assert "has no reject 'nope@1'" in told
    code, out, _ = command("verify")
    assert code == 0
    assert f"{rejected} ok" in out
    lake.query(f"delete from raw.{rejected} where position = 0")
    code, out, _ = command("verify", rejected, "--from", "2020-01-01", "--json")
    assert (code, json.loads(out)[0]["verdict"]) == (1, "defect")


def test_the_job(lake: Lake, rejected: str) -> None:
    with Lake(lake.settings) as other:  # bytes that came whole after all
        other.query("update raw.rejects set payload_raw = '{}'::blob where position = 5")
    made = retry_job([kafka_stream(rejected)])

    def run(**config: object) -> ExecuteInProcessResult:
        return made.execute_in_process(
            run_config={"ops": {"decode_again": {"config": config}}},
            resources={"lake_session": lake_session(lambda: lake.settings)},
            raise_on_error=False,
        )

    assert run(stream=rejected, reason="not_json").success
    assert [reject.event_id for reject in list_rejects(lake, rejected)] == ids(rejected, 1, 2, 4)
    assert prove(lake, rejected).defects == ()
    assert run(stream=rejected, event_ids=ids(rejected, 1)).success
    for wrong in ({"stream": "nope"}, {"stream": rejected, "event_ids": ["nope@1"]}):
        failed = run(**wrong)
        assert not failed.success
        failure = failed.failure_data_for_node("decode_again")
        assert failure is not None
        assert "nope" in str(failure.error)


def test_a_lake_from_before_gets_the_table(lake: Lake, rejected: str) -> None:
    lake.query("drop table raw.reject_resolutions")
    lake.prepare([rejected])
    assert retry(lake, rejected, decode=single_quotes).landed == 2
    assert prove(lake, rejected).defects == ()
