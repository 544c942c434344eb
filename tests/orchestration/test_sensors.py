"""The arrivals sensor on a real lake and a real Kafka, and the alert that a failed run posts."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from dagster import (
    AssetKey,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    Failure,
    SensorDefinition,
    build_run_status_sensor_context,
    build_sensor_context,
    job,
    op,
)
from pydantic import SecretStr

from ingestion.declare.file import load_streams
from ingestion.lake.lake import Lake
from ingestion.settings import Settings, load_settings
from orchestration.conditions.reports import reported
from orchestration.jobs.refresh import refresh_job
from orchestration.jobs.rejects import retry_job
from orchestration.jobs.replay import ReplayConfig, repairs, replay_job
from orchestration.keys import (
    GOES_ON_TAG,
    MODELS_TAG,
    REFRESH_JOB,
    REPAIR_TAG,
    REPLAY_JOB,
    STREAMS_TAG,
    UNTIL_TAG,
    raw_key,
)
from orchestration.run.plan import RefreshPlan
from orchestration.run.progress import ModelledBatches
from orchestration.sensors.arrivals import arrivals_sensor
from orchestration.sensors.backoff import Schedule
from orchestration.sensors.failures import failures_sensor, post_alert
from orchestration.sensors.pause import Pause
from orchestration.services.postgres import EmbeddedPostgres
from tests.ingestion.helpers import ingest, produce
from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka
from tests.waiting import eventually

_numbers = numbers()
MART = AssetKey(["marts", "counted"])


class Scene:
    """Two streams over two topics, and the sensor that watches them."""

    def __init__(self, lake: Lake, settings: Settings, kafka: ApacheKafka, folder: Path) -> None:
        number = next(_numbers)
        self.names = [f"left_{number}", f"right_{number}"]
        file = folder / "streams.yml"
        file.write_text("".join(f"{name}:\n  source: {{kafka: {name}}}\n" for name in self.names))
        self.settings = load_settings(
            data_dir=settings.data_dir,
            catalog=settings.catalog,
            streams_file=file,
            kafka_bootstrap_servers=kafka.bootstrap_servers,
        )
        self.lake, self.kafka, self.streams = lake, kafka, load_streams(file)
        for name in self.names:
            kafka.create_topic(name, partitions=1)
        lake.prepare(self.names)
        self.plan = RefreshPlan(
            downstream={name: frozenset({raw_key(name), MART}) for name in self.names},
            checks={},
            models=frozenset({MART, AssetKey(["seeds", "things"])}),
            fingerprint="f1",
            tables={name: frozenset({MART}) for name in self.names},
        )
        self.modelled_seconds = 600.0
        self.instance = DagsterInstance.ephemeral()

    def sensor(self) -> SensorDefinition:
        return arrivals_sensor(
            self.streams, self.plan, refresh_job([]), settings=lambda: self.settings,
            repairs=repairs([replay_job(self.streams), retry_job(self.streams)], self.plan), tick_seconds=4,
            modelled_seconds=self.modelled_seconds,
        )  # fmt: skip

    def tick(self, cursor: str | None = None):
        return self.sensor()(build_sensor_context(instance=self.instance, cursor=cursor))

    def drain(self) -> None:
        for stream in self.streams:
            ingest(self.lake, stream, self.settings)


@pytest.fixture
def scene(lake: Lake, settings: Settings, apache_kafka: ApacheKafka, tmp_path: Path) -> Scene:
    return Scene(lake, settings, apache_kafka, tmp_path)


def test_only_streams_with_unread_events_are_asked_for(scene: Scene) -> None:
    scene.drain()
    produce(scene.kafka.bootstrap_servers, scene.names[1], [b"1"])
    (request,) = scene.tick(Schedule(models="f1").dumps()).run_requests
    assert request.tags == {
        STREAMS_TAG: scene.names[1],
        GOES_ON_TAG: ",".join(scene.names),
        f"stream/{scene.names[0]}": "while the run goes on",
        f"stream/{scene.names[1]}": "first",
    }
    assert set(request.asset_selection) == {raw_key(scene.names[1]), MART}


def test_the_first_run_builds_every_model_and_seed(scene: Scene) -> None:
    (request,) = scene.tick().run_requests
    assert request.tags[MODELS_TAG] == "f1"
    assert scene.plan.models <= set(request.asset_selection)


def test_nothing_to_do_is_said_after_a_bounded_wait(scene: Scene) -> None:
    scene.drain()
    result = scene.tick()
    assert not result.run_requests
    assert result.skip_reason.skip_message == "every event is in the lake"


def test_a_lost_cursor_neither_misses_an_event_nor_builds_anew_what_the_last_run_built(scene: Scene) -> None:
    scene.drain()

    @job(name=REFRESH_JOB)
    def refresh() -> None: ...

    tags = {STREAMS_TAG: ",".join(scene.names), MODELS_TAG: "f1"}
    scene.instance.create_run_for_job(refresh, status=DagsterRunStatus.SUCCESS, tags=tags)
    assert not scene.tick(cursor=None).run_requests
    produce(scene.kafka.bootstrap_servers, scene.names[0], [b"1"])
    for cursor in (None, "nonsense"):
        (request,) = scene.tick(cursor).run_requests
        assert set(request.asset_selection) == {raw_key(scene.names[0]), MART}


def test_an_active_run_is_waited_for(scene: Scene) -> None:
    produce(scene.kafka.bootstrap_servers, scene.names[0], [b"1"])

    @job(name="refresh")
    def other() -> None: ...

    run = scene.instance.create_run_for_job(other, status=DagsterRunStatus.STARTED)
    result = scene.tick()
    assert not result.run_requests
    assert run.run_id in result.skip_reason.skip_message


def test_a_run_that_begins_during_a_tick_is_noticed_before_one_is_asked_for(scene: Scene) -> None:
    scene.drain()

    @job(name="refresh")
    def other() -> None: ...

    def begin() -> None:
        scene.instance.create_run_for_job(other, status=DagsterRunStatus.STARTED)
        produce(scene.kafka.bootstrap_servers, scene.names[0], [b"1"])

    by_hand = threading.Timer(1.0, begin)
    by_hand.start()
    result = scene.tick()
    by_hand.join()
    assert not result.run_requests
    assert "is active" in result.skip_reason.skip_message


def test_repairs_wait_for_the_active_run_and_go_before_events_one_by_one(scene: Scene) -> None:
    cursor = Schedule(models="f1", repaired="2026-01-01T00:00:00+00:00").dumps()
    produce(scene.kafka.bootstrap_servers, scene.names[0], [b"1"])

    @op
    def compare_and_land(config: ReplayConfig) -> None: ...

    @job(name=REPLAY_JOB)
    def replaying() -> None:
        compare_and_land()

    @job(name=REFRESH_JOB)
    def other() -> None: ...

    active = scene.instance.create_run_for_job(other, status=DagsterRunStatus.STARTED)
    for name in scene.names:
        config = {"ops": {"compare_and_land": {"config": {"stream": name}}}}
        replaying.execute_in_process(run_config=config, instance=scene.instance)
    result = scene.tick(cursor)
    assert not result.run_requests
    assert active.run_id in result.skip_reason.skip_message

    scene.instance.report_run_canceled(active)
    cursor = result.cursor
    for name, status in [
        (scene.names[0], DagsterRunStatus.FAILURE),  # owed until it went well, not downgraded
        (scene.names[0], DagsterRunStatus.SUCCESS),
        (scene.names[1], DagsterRunStatus.SUCCESS),
    ]:
        result = scene.tick(without_pauses(cursor))
        (request,) = result.run_requests
        assert (request.tags[STREAMS_TAG], REPAIR_TAG in request.tags) == (name, True)
        assert request.run_config["ops"]["models"]["config"] == {"full_refresh": True}
        scene.instance.create_run_for_job(other, status=status, tags=dict(request.tags))
        cursor = scene.tick(result.cursor).cursor  # judges it
    result = scene.tick(without_pauses(cursor))
    (request,) = result.run_requests
    assert REPAIR_TAG not in request.tags

    assert REPAIR_TAG not in scene.tick().run_requests[0].tags  # a first tick ever repeats no old repairs


def without_pauses(cursor: str | None) -> str:
    return replace(Schedule.loads(cursor), pauses={}).dumps()


def test_what_landed_and_was_not_modelled_is_made_up_for_without_a_new_event(scene: Scene) -> None:
    """As after a run that failed for another stream's sake, `millrace ingest`, a replay that was killed."""
    produce(scene.kafka.bootstrap_servers, scene.names[1], [b"1"])
    scene.drain()
    cursor = Schedule(models="f1").dumps()
    assert not scene.tick(cursor).run_requests  # whoever landed it may be building it
    scene.modelled_seconds = 0.5
    (request,) = scene.tick(cursor).run_requests
    assert set(request.tags[STREAMS_TAG].split(",")) <= set(scene.names)
    assert scene.names[1] in request.tags[STREAMS_TAG]
    assert MART in request.asset_selection
    ModelledBatches(scene.instance).advance({name: 1 for name in scene.names})
    assert not scene.tick(cursor).run_requests


def test_an_edited_model_is_built_without_an_event_and_only_once(scene: Scene) -> None:
    scene.drain()
    ModelledBatches(scene.instance).advance({name: 1 for name in scene.names})
    edited = Schedule(models="an older text")
    (request,) = scene.tick(edited.dumps()).run_requests
    assert request.tags[MODELS_TAG] == "f1"
    assert scene.plan.models <= set(request.asset_selection)
    assert not scene.tick(Schedule(models="f1").dumps()).run_requests
    # What fails is tried at its own pace, and no run for the edit comes between.
    failing = replace(edited, pauses={scene.names[0]: Pause(1, until=time.time() + 200)})
    assert not scene.tick(failing.dumps()).run_requests


def test_a_run_that_was_marked_as_failed_from_outside_stops_no_sensor(scene: Scene) -> None:
    scene.drain()

    @job(name=REFRESH_JOB)
    def other() -> None: ...

    tags = {STREAMS_TAG: scene.names[0]}
    run = scene.instance.create_run_for_job(other, status=DagsterRunStatus.STARTED, tags=tags)
    scene.instance.report_run_failed(run)  # as when it could not be launched
    (request,) = scene.tick(Schedule(models="f1").dumps()).run_requests
    assert request.tags[STREAMS_TAG] == scene.names[0]


def test_models_of_a_batch_that_is_held_back_are_left_out_when_all_are_to_be_built(scene: Scene) -> None:
    scene.drain()
    produce(scene.kafka.bootstrap_servers, scene.names[1], [b"1"])
    (request,) = scene.tick(Schedule(models="an older text").dumps()).run_requests
    assert set(request.asset_selection) == {
        raw_key(scene.names[1]), MART, AssetKey(["seeds", "things"]),
    }  # fmt: skip
    assert MODELS_TAG not in request.tags


def test_a_broker_that_is_away_is_told_and_holds_up_no_tick(scene: Scene) -> None:
    scene.drain()
    scene.settings = scene.settings.replaced(kafka_bootstrap_servers="127.0.0.1:1")
    result = scene.tick(Schedule(pauses={scene.names[0]: Pause(1, until=0)}).dumps())
    assert not result.run_requests
    assert "127.0.0.1:1 does not answer" in result.skip_reason.skip_message


def test_a_source_that_is_back_is_noticed_while_a_run_goes_on(scene: Scene) -> None:
    late = scene.names[0]
    scene.kafka.delete_topic(late)
    sensor = scene.sensor()

    def said() -> set[tuple[str, str]]:
        sensor(build_sensor_context(instance=scene.instance))
        return {each.key for each in reported(scene.settings.data_dir, by="arrivals") or ()}

    eventually(lambda: ("source_unreachable", late) in said(), "it is away")

    @job(name="refresh")
    def other() -> None: ...

    scene.instance.create_run_for_job(other, status=DagsterRunStatus.STARTED)
    assert ("source_unreachable", late) in said()
    scene.kafka.create_topic(late, partitions=1)
    eventually(lambda: ("source_unreachable", late) not in said(), "it is back")


def test_a_catalog_that_restarts_is_told_and_found_again(
    own_catalog: EmbeddedPostgres, settings: Settings, apache_kafka: ApacheKafka, tmp_path: Path
) -> None:
    """One sensor, so one kept connection: every tick of the code server goes over it."""
    own_catalog.start()
    own = load_settings(data_dir=settings.data_dir, catalog=own_catalog.dsn("lake"))
    with Lake(own) as lake:
        scene = Scene(lake, own, apache_kafka, tmp_path)
        scene.drain()
    sensor, cursor = scene.sensor(), Schedule(models="f1").dumps()

    def tick():
        return sensor(build_sensor_context(instance=scene.instance, cursor=cursor))

    assert tick().skip_reason.skip_message == "every event is in the lake"
    assert own_catalog.pid is not None
    os.kill(own_catalog.pid, signal.SIGKILL)
    eventually(lambda: not own_catalog.is_running(), "PostgreSQL is gone")
    produce(scene.kafka.bootstrap_servers, scene.names[0], [b"1"])
    away = tick()
    assert not away.run_requests
    assert "the catalog at" in away.skip_reason.skip_message
    assert "is it running" in away.skip_reason.skip_message
    own_catalog.start()
    (request,) = tick().run_requests
    assert request.tags[STREAMS_TAG] == scene.names[0]


def test_a_failing_stream_is_tried_alone_and_others_make_room_for_it(scene: Scene) -> None:
    for name in scene.names:
        produce(scene.kafka.bootstrap_servers, name, [b"1"])
    until = time.time() + 100
    (request,) = scene.tick(Schedule(pauses={scene.names[0]: Pause(1, until)}).dumps()).run_requests
    assert (request.tags[GOES_ON_TAG], request.tags[UNTIL_TAG]) == (scene.names[1], str(until))
    (request,) = scene.tick(Schedule(pauses={scene.names[0]: Pause(1, until=0)}).dumps()).run_requests
    assert request.tags[STREAMS_TAG] == scene.names[0]
    assert GOES_ON_TAG not in request.tags


def test_a_run_that_died_behind_its_commit_is_made_up_for_without_a_new_event(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestration.sensors.pause._FIRST_SECONDS", 100.0)  # ticks here may take seconds
    scene.drain()

    @job(name=REFRESH_JOB)
    def other() -> None: ...

    tags = {STREAMS_TAG: scene.names[0], GOES_ON_TAG: ",".join(scene.names)}
    scene.instance.create_run_for_job(other, status=DagsterRunStatus.FAILURE, tags=tags)
    result = scene.tick(Schedule(models="f1").dumps())
    (request,) = result.run_requests
    assert request.tags[STREAMS_TAG] == ",".join(scene.names)  # any of them may have landed
    assert MART in request.asset_selection
    # It dies again: perhaps because of the models. Then without models: perhaps because of a stream.
    for _ in range(2):
        selection = frozenset(request.asset_selection)
        status, tags = DagsterRunStatus.FAILURE, dict(request.tags)
        scene.instance.add_run(DagsterRun(REFRESH_JOB, status=status, tags=tags, asset_selection=selection))
        result = scene.tick(result.cursor)
        request = (result.run_requests or [request])[0]
        assert set(request.asset_selection) == {raw_key(name) for name in scene.names}
    assert set(Schedule.loads(result.cursor).pauses) == set(scene.names)


def test_stopping_the_system_in_the_middle_of_runs_blames_no_stream(scene: Scene) -> None:
    scene.drain()

    @op
    def is_stopped() -> None:
        raise KeyboardInterrupt

    @job(name=REFRESH_JOB)
    def refresh() -> None:
        is_stopped()

    cursor = Schedule(models="f1").dumps()
    for _ in range(3):
        tags = {STREAMS_TAG: ",".join(scene.names)}
        refresh.execute_in_process(instance=scene.instance, tags=tags, raise_on_error=False)
        result = scene.tick(cursor)
        (request,) = result.run_requests
        assert request.tags[STREAMS_TAG] == ",".join(scene.names)
        assert MART in request.asset_selection
        cursor = result.cursor
    assert not Schedule.loads(cursor).pauses


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[bytes], Callable[[int], None]]]:
    """A real HTTP server: its address, what it was sent, and a way to make its next answers fail."""
    received: list[bytes] = []
    failures = [0]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            failures[0] -= 1
            self.send_response(503 if failures[0] >= 0 else 200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield (
        f"http://127.0.0.1:{server.server_port}/t0ken",
        received,
        lambda count: failures.__setitem__(0, count),
    )
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_alert_is_posted_again_until_it_is_taken(webhook: tuple) -> None:
    url, received, fail = webhook
    fail(2)
    post_alert(SecretStr(url), {"event": "run_failed", "streams": "orders"})
    assert [json.loads(body)["streams"] for body in received] == ["orders"] * 3


def test_a_failed_run_is_posted(webhook: tuple) -> None:
    url, received, _ = webhook

    @op
    def breaks() -> None:
        raise Failure("this and that")

    @job
    def breaking() -> None:
        breaks()

    with DagsterInstance.ephemeral() as instance:
        result = breaking.execute_in_process(instance=instance, raise_on_error=False)
        context = build_run_status_sensor_context(
            sensor_name="failed_runs",
            dagster_event=result.get_run_failure_event(),
            dagster_instance=instance,
            dagster_run=result.dagster_run,
        )
        failures_sensor(lambda: load_settings(alert_webhook_url=url))(context.for_run_failure())
    (alert,) = map(json.loads, received)
    assert (alert["event"], alert["run_id"], alert["job"]) == ("run_failed", result.run_id, "breaking")
    assert "this and that" in alert["error"]


def test_an_alert_that_cannot_be_posted_is_logged_without_its_address(
    capsys: pytest.CaptureFixture[str],
) -> None:
    post_alert(SecretStr("http://127.0.0.1:1/t0ken"), {"event": "run_failed"})
    post_alert(SecretStr("file:///etc/passwd"), {"event": "run_failed"})
    told = capsys.readouterr()
    assert "alert not posted" in told.out + told.err
    assert "t0ken" not in told.out + told.err
