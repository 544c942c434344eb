"""`millrace trace`: where each kind of event is, the rows that it touched, the checks, the seconds per hop.

A spool with known events stands for every collected source; a real Kafka for the logs. The rows of the models
are written as dbt writes them, in versions of their own.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dagster import AssetCheckEvaluation, AssetKey, DagsterInstance

from ingestion.connectors.http.delivery import Stored
from ingestion.connectors.http.receipts import receipt_id
from ingestion.declare.stream import Stream
from ingestion.errors import EventUnknown
from ingestion.lake.lake import Lake
from ingestion.land.adoption import adopt
from ingestion.settings import Settings, load_settings
from ingestion.spool.reader import SpoolReader
from ingestion.spool.writer import SpoolEvent, SpoolWriter
from orchestration.cli.trace import Trace, Way
from orchestration.cli.trace import trace as follow
from orchestration.cli.trace_view import show
from orchestration.dbt.project import ParsedModels, dbt_project
from orchestration.system.instance import dagster_environment, prepare_instance
from tests.ingestion.helpers import ingest, kafka_stream, produce
from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka

_numbers = numbers()
NOW = datetime.now(UTC).replace(microsecond=0)
CLICKS = Stream.model_validate(
    {
        "name": "clicks", "source": {"http": "clicks"}, "business_id": ["id"],
        "fields": {"id": "varchar", "page": "varchar", "seconds": "bigint"},
    }
)  # fmt: skip
PLAIN = Stream.model_validate({"name": "plain", "source": {"http": "plain"}})


def click(number: int, page: str, seconds: int = 1) -> bytes:
    return json.dumps({"id": f"c-{number}", "page": page, "seconds": seconds}).encode()


FIRST = [click(1, "/a"), click(1, "/a"), click(1, "/b"), b"{", None, click(2, "/b"), click(3, "/a")]
SECOND = [click(4, "/a")]
UNREAD = [click(5, "/a")]


def manifest() -> dict[str, Any]:
    def model(name: str, folder: str, kind: str, **config: Any) -> dict[str, Any]:
        return {
            "resource_type": "model", "package_name": "p", "name": name, "alias": name, "schema": folder,
            "fqn": ["p", folder, name], "config": {"materialized": kind} | config,
            "depends_on": {"nodes": config.pop("reads", ["stg"])},
        }  # fmt: skip

    def unique(model: str, test: str, **arguments: Any) -> dict[str, Any]:
        return {
            "resource_type": "test", "config": {}, "attached_node": model,
            "test_metadata": {"name": test, "kwargs": arguments},
        }  # fmt: skip

    marts = ("pages", "minutes", "totals", "each", "later", "quarters")
    return {
        "sources": {"source.clicks": {"source_name": "raw", "name": "clicks"}},
        "nodes": {
            "stg": model("stg_clicks", "staging", "incremental"),
            "pages": model("pages", "marts", "incremental", unique_key="page"),
            "minutes": model("minutes", "marts", "incremental"),
            "totals": model("totals", "marts", "table"),
            "each": model("each", "marts", "view"),
            "later": model("later", "marts", "table"),
            "between": model("between", "marts", "ephemeral", reads=["each"]),
            "quarters": model(
                "quarters", "marts", "view", reads=["between"], unique_key=["page", "quarter_at"]
            ),
            "ops": model("ops_cast_errors", "marts", "view") | {"package_name": "millrace"},
            "unique.minutes": unique("minutes", "unique_together", columns=["page", "minute_at"]),
        },
        "child_map": {
            "source.clicks": ["stg"],
            "stg": [*marts, "ops"],
            "minutes": ["unique.minutes"],
            "each": ["between"],
            "between": ["quarters"],
        },
        "exposures": {},
    }


@dataclass
class Scene:
    settings: Settings
    lake: Lake
    parsed: ParsedModels
    log_id: str

    def trace(self, text: str, *streams: Stream, limit: int = 9) -> Trace:
        return follow(self.settings, streams or (CLICKS, PLAIN), text, parsed=self.parsed, limit=limit)

    def way(self, text: str, *streams: Stream) -> Way:
        (way,) = self.trace(text, *streams).ways
        return way


ENVELOPE = "batch_id, source_partition, position, event_id, event_key, ingested_at"


def build(lake: Lake, *, batch: int) -> None:
    """What dbt does with a batch, each model in a transaction of its own."""
    fields = (
        "payload ->> '$.id' as id, payload ->> '$.page' as page, (payload ->> '$.seconds')::bigint as seconds"
    )
    lake.query(
        "insert into staging.stg_clicks by name "
        f"select {ENVELOPE}, {fields} from raw.clicks where batch_id = {batch} and payload is not null "
        "qualify row_number() over (partition by id order by position) = 1"
    )
    staged = "from staging.stg_clicks"
    new = f"{staged} where page in (select page {staged} where batch_id = {batch})"
    connection = lake.connection
    for table, columns in (
        ("pages", "page"),
        ("minutes", "page, to_timestamp(seconds // 60 * 60) as minute_at"),
    ):
        connection.execute("begin")
        connection.execute(f"delete from marts.{table} where page in (select page {new})")
        connection.execute(
            f"insert into marts.{table} select {columns}, count(*) as clicks {new} group by all"
        )
        connection.execute("commit")
    lake.query("update marts.totals set clicks = (select count(*) from staging.stg_clicks)")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str]) -> Iterator[Scene]:
    """Two batches in raw, of which the first is staged and built; one event waits in the spool."""
    settings = load_settings(data_dir=tmp_path_factory.mktemp("trace"), catalog=new_database())
    writer = SpoolWriter(settings.data_dir / "spool" / "clicks")

    def send(values: list[bytes | None]) -> None:
        at = int((NOW - timedelta(seconds=3)).timestamp() * 1e6)
        writer.append([SpoolEvent(b"clicks", value, None, at) for value in values])
        writer.commit()

    with Lake(settings) as lake:
        send([*FIRST])
        ingest(lake, CLICKS, settings)
        lake.query("create schema staging")
        lake.query("create schema marts")
        lake.query(
            f"create table staging.stg_clicks as select {ENVELOPE}, '' as id, '' as page, "
            "1::bigint as seconds from raw.clicks where false"
        )
        lake.query("create table marts.pages (page varchar, clicks bigint)")
        lake.query("create table marts.minutes (page varchar, minute_at timestamptz, clicks bigint)")
        lake.query("create table marts.totals as select 0::bigint as clicks")
        quarter = "time_bucket(interval '15 minutes', to_timestamp(seconds)) as quarter_at"
        lake.query(
            f"create view marts.each as select id as click, event_id, page, {quarter} from staging.stg_clicks"
        )
        lake.query(
            "create view marts.quarters as "
            "select page, quarter_at, count(*) as n from marts.each group by all"
        )
        build(lake, batch=1)
        send([*SECOND])
        ingest(lake, CLICKS, settings)
        send([*UNREAD])
        lake.close()  # its snapshot ids below are read by another connection
        parsed = ParsedModels(dbt_project(settings), manifest())
        yield Scene(settings, lake, parsed, writer.log_id)
    writer.close()


@pytest.fixture(scope="module")
def ways(scene: Scene) -> dict[int, Way]:
    """Position → the way of its event, all of them found by one receipt."""
    digest = "sha256:" + "0" * 64
    found = scene.trace(receipt_id([Stored("clicks", scene.log_id, 0, 9)], digest))
    assert (found.count, {way.event.named.way for way in found.ways}) == (9, {"receipt"})
    return {way.event.named.position: way for way in found.ways}


def marts(way: Way) -> dict[str, Any]:
    return {mart.model.table.name: mart.rows for mart in way.marts}


def test_an_event_is_followed_to_each_row_that_it_touched(scene: Scene, ways: dict[int, Way]) -> None:
    way = ways[6]
    event = way.event
    assert (event.state, event.key, event.in_log) == ("staged", "clicks", True)
    assert event.batch is not None
    assert (event.batch.number, event.batch.start, event.batch.end) == (1, 0, 7)
    assert event.staged is not None
    assert event.staged["id"] == "c-3"
    found = marts(way)
    assert set(found) == {"each", "later", "minutes", "pages", "quarters", "totals"}
    pages = found["pages"]
    assert (pages.match, pages.by, pages.changed) == ("key", ("page",), 1)
    assert [dict(row) for row in pages.rows] == [{"page": "/a", "clicks": 2}]
    assert (found["each"].match, [row["click"] for row in found["each"].rows]) == ("event", ["c-3"])
    minutes = found["minutes"]
    assert (minutes.match, minutes.by, len(minutes.rows)) == ("part of the key", ("page",), 1)
    assert "minute_at too" in minutes.unknown
    quarters = found["quarters"]  # reads `each`, which says the event's quarter
    assert (quarters.match, quarters.by) == ("key", ("page", "quarter_at"))
    assert [row["n"] for row in quarters.rows] == [2]
    assert found["totals"].match == "nothing"
    assert "has no key" in found["totals"].unknown
    assert found["later"].unknown == "it has not been built"
    versions = [
        event.batch.version,
        event.staged_version,
        *(mart.version for mart in way.marts if mart.version),
    ]
    assert None not in versions
    assert versions[:2] == sorted(versions)[:2]
    ((raw_version,),) = scene.lake.query("select distinct snapshot_id from raw.clicks where batch_id = 1")
    assert event.batch.version == raw_version


def test_hops_are_the_commits_of_the_versions_and_add_up(scene: Scene, ways: dict[int, Way]) -> None:
    way = ways[0]
    names = [hop.name for hop in way.hops]
    assert names[:5] == ["sent", "batch 1 begun", "read and decoded", "raw.clicks", "staging.stg_clicks"]
    assert set(names[5:]) == {"marts.pages", "marts.minutes", "marts.totals"}
    committed = dict(scene.lake.query("select snapshot_id, snapshot_time from ducklake_snapshots('lake')"))
    at = {hop.name: hop.at for hop in way.hops}
    assert at["sent"] == NOW - timedelta(seconds=3)
    assert at["staging.stg_clicks"] == committed[way.event.staged_version]
    assert at["marts.pages"] == committed[next(m.version for m in way.marts if m.model.table.name == "pages")]
    known = [hop.at for hop in way.hops if hop.at]
    assert sum(hop.seconds or 0 for hop in way.hops) == pytest.approx((known[-1] - known[0]).total_seconds())


@pytest.mark.parametrize(
    ("position", "state", "says"),
    [
        (1, "duplicate", "staging keeps clicks-0@0 instead, another delivery of the same event (the same id"),
        (2, "conflict", "clicks-0@0 instead, which has the same id and another payload (on_conflict: first)"),
        (3, "rejected", "millrace rejects retry clicks clicks-0@3"),
        (4, "tombstone", "nothing is to be done"),
        (7, "not staged yet", "has not taken in its batch yet: 'millrace status'"),
        (8, "unread", "it waits in the spool clicks-0 for the next batch: 'millrace status' says"),
    ],
)
def test_what_did_not_come_so_far_is_said_with_what_to_do(
    ways: dict[int, Way], position: int, state: str, says: str
) -> None:
    way = ways[position]
    assert (way.event.state, way.marts) == (state, ())
    assert says in way.event.sentence
    assert way.event.kept == ("clicks-0@0" if state in ("duplicate", "conflict") else "")


def test_a_business_id_names_every_delivery_and_also_what_nobody_has_read(scene: Scene) -> None:
    found = scene.trace("c-1")
    assert [(way.event.named.event_id, way.event.state) for way in found.ways] == [
        ("clicks-0@0", "staged"), ("clicks-0@1", "duplicate"), ("clicks-0@2", "conflict"),
    ]  # fmt: skip
    unread = scene.way("c-5").event
    assert (unread.named.event_id, unread.state) == ("clicks-0@8", "unread")


def test_a_receipt_names_its_events(scene: Scene) -> None:
    digest = "sha256:" + "0" * 64
    receipt = receipt_id([Stored("clicks", scene.log_id, 7, 2)], digest)
    found = scene.trace(receipt, limit=1)
    assert ([way.event.named.event_id for way in found.ways], found.count) == (["clicks-0@7"], 2)
    lost = receipt_id([Stored("clicks", "f" * 32, 0, 1)], digest)
    with pytest.raises(EventUnknown, match="a spool of stream 'clicks' that was lost or replaced"):
        scene.trace(lost)
    with pytest.raises(EventUnknown, match="one of stream 'clicks', which is not among the streams"):
        scene.trace(receipt, PLAIN)


def test_what_nobody_knows_is_one_sentence(scene: Scene) -> None:
    with pytest.raises(EventUnknown, match=r"'nobody@9' is not an event of clicks, plain.*'millrace peek'"):
        scene.trace("nobody@9")
    with pytest.raises(EventUnknown, match="no business id \\(clicks\\)"):
        scene.trace("c-99")


def test_a_version_that_has_expired_is_not_guessed(settings: Settings, lake: Lake, scene: Scene) -> None:
    writer = SpoolWriter(settings.data_dir / "spool" / "clicks")
    writer.append([SpoolEvent(b"clicks", click(1, "/a"), None, 1)])
    writer.commit()
    writer.close()
    ingest(lake, CLICKS, settings)
    lake.query("create schema staging")
    lake.query("create table staging.stg_clicks as select *, 'c-1' as id, '/a' as page from raw.clicks")
    lake.query("create schema marts")
    lake.query("create table marts.pages as select page, 1 as clicks from staging.stg_clicks")
    lake.query("call ducklake_expire_snapshots('lake', older_than => now())")
    (way,) = follow(settings, [CLICKS], "c-1", parsed=scene.parsed, limit=1).ways
    assert way.event.state == "staged"
    assert {hop.name: hop.at for hop in way.hops}["staging.stg_clicks"] is None
    (pages,) = (mart for mart in way.marts if mart.model.table.name == "pages")
    assert [row["clicks"] for row in pages.rows.rows] == [1]
    assert pages.rows.changed is None or pages.version is not None


def test_what_was_lost_is_said_before_and_after_the_loss_is_accepted(
    settings: Settings, lake: Lake, scene: Scene
) -> None:
    def state(position: int) -> tuple[str, str]:
        (way,) = follow(settings, [PLAIN], f"plain-0@{position}", parsed=scene.parsed, limit=1).ways
        return way.event.state, way.event.sentence

    with closing(SpoolWriter(settings.data_dir / "spool" / "plain", segment_bytes=1)) as writer:
        for number in range(4):
            writer.append([SpoolEvent(b"k", b'{"n": %d}' % number, None, 1)])
            writer.commit()
            if number == 0:
                ingest(lake, PLAIN, settings)
    SpoolReader(settings.data_dir / "spool" / "plain").trim(3)
    found, sentence = state(1)
    assert found == "lost"
    assert "its log begins at 3 by now" in sentence
    adopt(lake, PLAIN)
    ingest(lake, PLAIN, settings)
    found, sentence = state(2)
    assert found == "lost"
    assert sentence.startswith(
        "nobody read it: positions 1 to 2 were lost before batch 2, which was accepted"
    )
    assert state(3)[0] == "no staging model"


def test_events_of_a_log_are_found_where_the_broker_has_them(
    kafka_settings: Settings, lake: Lake, apache_kafka: ApacheKafka, scene: Scene
) -> None:
    topic = f"traced_{next(_numbers)}"
    apache_kafka.create_topic(topic, partitions=1)
    stream = kafka_stream(topic)
    produce(apache_kafka.bootstrap_servers, topic, [b'{"n": 1}'])
    ingest(lake, stream, kafka_settings)
    produce(apache_kafka.bootstrap_servers, topic, [b'{"n": 2}'])
    states = []
    for position in range(3):
        (way,) = follow(kafka_settings, [stream], f"{topic}-0@{position}", parsed=scene.parsed, limit=1).ways
        states.append((way.event.state, way.event.in_log, way.event.held_in))
    place = f"Kafka {topic}"
    assert states == [("no staging model", True, place), ("unread", True, place), ("not sent", False, place)]


def test_the_first_results_of_checks_since_an_event_was_there_are_named(
    scene: Scene,
    new_database: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = load_settings(
        data_dir=scene.settings.data_dir, catalog=scene.settings.catalog, dagster_catalog=new_database()
    )
    for name, value in dagster_environment(settings).items():
        monkeypatch.setenv(name, value)
    with DagsterInstance.from_config(str(prepare_instance(settings))) as instance:
        for version in (0, 10**6, 10**6 + 1):
            result = AssetCheckEvaluation(
                asset_key=AssetKey(["marts", "pages"]), check_name="enough", passed=version > 10**6,
                description=f"seen in {version}", metadata={"snapshot_id": version},
            )  # fmt: skip
            instance.report_runless_asset_event(result)
    found = follow(settings, [CLICKS], "clicks-0@6", parsed=scene.parsed, limit=1)
    (way,) = found.ways
    assert [(each.asset, each.check, each.message) for each in way.checks] == [
        ("marts/pages", "enough", f"seen in {10**6}")
    ]
    assert way.hops[-1].name == "last check"
    show(found, as_json=True)
    (event,) = json.loads(capsys.readouterr().out)["events"]
    assert (event["state"], event["checks"][0]["outcome"]) == ("staged", "failed")
    assert {mart["table"]: mart["match"] for mart in event["marts"]}["marts.pages"] == "key"
    show(found, as_json=False)
    shown = capsys.readouterr().out
    for text in (
        "clicks-0@6",
        "1 row by page in version",
        "page /a  clicks 2",
        "enough: seen in",
        "last check",
    ):
        assert text in shown
