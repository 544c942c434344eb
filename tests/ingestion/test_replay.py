"""Replay: what the broker holds and the lake does not is landed once, and the ledger still adds up."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from dagster import AssetKey, ExecuteInProcessResult

from ingestion.connectors.kafka.log import KafkaLog
from ingestion.declare.stream import Stream
from ingestion.errors import ConfigError
from ingestion.formats.decode import decoder
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import prove, read_state
from ingestion.land.rejects import list_rejects
from ingestion.land.replay import Bound, ReplayReport, parse_bound, replay
from ingestion.settings import Settings
from ingestion.watch.recount import verify
from orchestration.jobs.replay import repair_request, replay_job
from orchestration.keys import REPAIR_TAG, REPLAY_JOB, RETRY_JOB
from orchestration.run.plan import RefreshPlan
from orchestration.run.resources import lake_session
from tests.ingestion.helpers import ingest, kafka_log, kafka_stream, positions_of, produce
from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka

_numbers = numbers()


@pytest.fixture
def stream(apache_kafka: ApacheKafka) -> Stream:
    """A stream that begins behind what its topic holds."""
    name = f"replayed_{next(_numbers)}"
    apache_kafka.create_topic(name, partitions=1)
    produce(apache_kafka.bootstrap_servers, name, [b"0", None, b"2", b"{"], keys=[b"k"] * 4)
    return kafka_stream(name, start="latest")


@contextmanager
def opened(stream: Stream, settings: Settings) -> Iterator[KafkaLog]:
    log = kafka_log(stream, settings)
    try:
        yield log
    finally:
        log.close()


def again(
    lake: Lake, stream: Stream, settings: Settings, *, since: Bound = None, until: Bound = None
) -> ReplayReport:
    with opened(stream, settings) as log:
        return replay(lake, stream.name, log=log, decode=decoder(stream.format), since=since, until=until)


def test_events_before_the_stream_s_start_land_once_and_positions_stay(
    lake: Lake, kafka_settings: Settings, stream: Stream, apache_kafka: ApacheKafka
) -> None:
    ingest(lake, stream, kafka_settings)
    produce(apache_kafka.bootstrap_servers, stream.name, [b"4", b"5"])
    ingest(lake, stream, kafka_settings)
    produce(apache_kafka.bootstrap_servers, stream.name, [b"6"])  # the next batch's, no replay's
    name, before = f"{stream.name}-0", read_state(lake, stream.name).positions
    assert positions_of(lake, stream.name) == [(name, 4), (name, 5)]
    part = again(lake, stream, kafka_settings, since=(name, 1), until=(name, 2))
    assert [(each.start, each.end, each.landed) for each in part.partitions] == [(1, 2, 1)]
    report = again(lake, stream, kafka_settings)
    (found,) = report.partitions
    assert (found.start, found.end, found.in_broker, found.in_raw, found.landed) == (0, 6, 6, 3, 2)
    assert found.undecodable == 1
    snapshot = lake.snapshot_id()
    assert (again(lake, stream, kafka_settings).landed, lake.snapshot_id()) == (0, snapshot)
    assert read_state(lake, stream.name).positions == before
    ingest(lake, stream, kafka_settings)
    assert positions_of(lake, stream.name) == [(name, n) for n in (0, 1, 2, 4, 5, 6)]
    for since in range(4):
        assert prove(lake, stream.name, since_batch=since).defects == ()
    with opened(stream, kafka_settings) as log:
        assert verify(lake, stream, log=log).verdict == "ok"


def test_a_reject_whose_bytes_were_not_kept_comes_back_from_the_broker(
    lake: Lake, kafka_settings: Settings, stream: Stream, apache_kafka: ApacheKafka
) -> None:
    stream = kafka_stream(stream.name)
    produce(apache_kafka.bootstrap_servers, stream.name, [b'"%s"' % (b"x" * 2000)])
    small = kafka_settings.model_copy(update={"payload_max_bytes": 1024})
    lake.settings = small
    assert ingest(lake, stream, small).events_rejected == 2
    lake.settings = kafka_settings
    report = again(lake, stream, kafka_settings)
    assert (report.landed, report.partitions[0].undecodable) == (1, 1)
    assert [reject.reason for reject in list_rejects(lake, stream.name)] == ["not_json"]
    assert again(lake, stream, kafka_settings).landed == 0
    assert prove(lake, stream.name).defects == ()


def test_a_window_of_time_and_a_broker_that_is_away(
    lake: Lake, kafka_settings: Settings, stream: Stream
) -> None:
    ingest(lake, kafka_stream(stream.name), kafka_settings)
    (middle,) = lake.query(f"select max(event_time) from raw.{stream.name}")[0]
    now = datetime.now(UTC)
    (late,) = again(lake, stream, kafka_settings, since=now + timedelta(hours=1)).partitions
    assert (late.start, late.end) == (4, 4)
    (whole,) = again(lake, stream, kafka_settings, until=middle + timedelta(seconds=60)).partitions
    assert (whole.start, whole.end, whole.in_raw, whole.landed) == (0, 4, 3, 0)
    away = kafka_settings.replaced(kafka_bootstrap_servers="127.0.0.1:9", source_timeout_seconds=2)
    report = again(lake, stream, away, since=now - timedelta(hours=1))
    assert "only the lake was looked at" in report.warning
    assert [(each.in_broker, each.in_raw) for each in report.partitions] == [(0, 3)]


def test_bounds_are_positions_or_times(lake: Lake, kafka_settings: Settings, stream: Stream) -> None:
    assert parse_bound("a-b-0@17") == ("a-b-0", 17)
    assert parse_bound("2026-03-01T08:00") == datetime(2026, 3, 1, 8, tzinfo=UTC)
    with pytest.raises(ConfigError, match="neither a position"):
        parse_bound("yesterday")
    ingest(lake, stream, kafka_settings)
    with pytest.raises(ConfigError, match="holds no partition"):
        again(lake, stream, kafka_settings, since=("other-0", 1))


def test_the_job(lake: Lake, kafka_settings: Settings, stream: Stream) -> None:
    ingest(lake, stream, kafka_settings)
    made = replay_job([stream])

    def run(since: str) -> ExecuteInProcessResult:
        return made.execute_in_process(
            run_config={"ops": {"compare_and_land": {"config": {"stream": stream.name, "since": since}}}},
            resources={"lake_session": lake_session(lambda: kafka_settings)},
            raise_on_error=False,
        )

    assert run(f"{stream.name}-0@2").success
    assert positions_of(lake, stream.name) == [(f"{stream.name}-0", 2)]
    assert not run("yesterday").success


@pytest.mark.parametrize(("job", "full"), [(REPLAY_JOB, True), (RETRY_JOB, False)])
def test_a_repair_asks_for_the_stream_s_models(job: str, full: bool) -> None:
    orders = AssetKey(["staging", "stg_orders"])
    plan = RefreshPlan(
        downstream={"orders": frozenset({orders}), "other": frozenset({AssetKey("other")})},
        checks={},
        models=frozenset({orders}),
        fingerprint="now",
    )
    config = {"ops": {"any": {"config": {"stream": "orders"}}}}
    request = repair_request(job, config, plan, ended="2026-11-24T08:00:00+00:00")
    assert request.asset_selection == [orders]
    assert request.tags[REPAIR_TAG] == "2026-11-24T08:00:00+00:00"
    assert request.run_config == ({"ops": {"models": {"config": {"full_refresh": True}}}} if full else {})
