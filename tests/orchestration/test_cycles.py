"""A run that goes on, on a real Kafka and a real lake; a builder that notes what it is asked replaces dbt."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    AssetCheckEvaluation,
    AssetExecutionContext,
    AssetKey,
    AssetMaterialization,
    AssetSpec,
    DagsterInstance,
    DagsterRunStatus,
    Failure,
    MaterializeResult,
    MetadataValue,
    ResourceDefinition,
    materialize,
    multi_asset,
)
from dagster._core.test_utils import create_run_for_test

from ingestion.declare.file import load_streams
from ingestion.lake.lake import Lake
from ingestion.land.session import LakeSession
from ingestion.settings import Settings, load_settings
from orchestration.dbt.lineage import Lineage
from orchestration.fingerprint import of_project
from orchestration.keys import (
    CODE_TAG,
    GOES_ON_TAG,
    MODELS_METADATA,
    REPLAY_JOB,
    RETRY_JOB,
    STREAM_METADATA,
    UNTIL_TAG,
    raw_key,
)
from orchestration.run import room
from orchestration.run.cycles import Cycles
from tests.ingestion.helpers import ingest, produce
from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka

_numbers = numbers()
MART = AssetKey(["marts", "counted"])
ONE_CYCLE = {"budget_seconds": 0.4, "linger_seconds": 2.0}


class Scene:
    """Two streams, both read once, and a run that goes on with them."""

    def __init__(self, lake: Lake, settings: Settings, kafka: ApacheKafka, folder: Path) -> None:
        number = next(_numbers)
        self.left, self.right = self.names = [f"first_{number}", f"second_{number}"]
        file = folder / "streams.yml"
        file.write_text(
            f"{self.left}:\n  source: {{kafka: {self.left}}}\n  max_reject_share: 0.1\n"
            f"{self.right}:\n  source: {{kafka: {self.right}}}\n"
        )
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
        for stream in self.streams:
            self.send(stream.name, 1)
            ingest(lake, stream, self.settings)
        self.instance = DagsterInstance.ephemeral()
        self.built: list[frozenset[AssetKey]] = []
        self.apart = False

    def send(self, name: str, count: int, value: bytes = b'{"n": 1}') -> None:
        produce(self.kafka.bootstrap_servers, name, [value] * count)

    def rows(self, name: str) -> int:
        return int(self.lake.query(f"select count(*) from lake.raw.{name}")[0][0])

    def run(
        self,
        *,
        goes_on: str,
        then: Any = lambda cycle: None,
        until: float | None = None,
        code: str | None = None,
    ) -> Any:
        """Run; `then` is called with the number of each cycle once its models are built."""
        models = {name: frozenset({MART}) for name in self.names}
        groups = [frozenset({name}) for name in self.names] if self.apart else [frozenset(self.names)]
        cycles = Cycles(self.streams, models, groups, **ONE_CYCLE)

        def build(keys: Any) -> Iterator[MaterializeResult[None]]:
            self.built.append(frozenset(keys))
            yield MaterializeResult(asset_key=MART, metadata={"rows": self.rows(self.left)})
            then(len(self.built))

        @multi_asset(specs=[AssetSpec(MART)], required_resource_keys={"lake_session"})
        def counted(context: AssetExecutionContext) -> Iterator[Any]:
            yield MaterializeResult(asset_key=MART, metadata={"rows": 1})
            yield from cycles.run(context, build)

        session = LakeSession(self.settings)
        try:
            return materialize(
                [counted],
                instance=self.instance,
                resources={"lake_session": ResourceDefinition.hardcoded_resource(session)},
                tags={GOES_ON_TAG: goes_on}
                | ({UNTIL_TAG: str(until)} if until is not None else {})
                | ({CODE_TAG: code} if code is not None else {}),
                raise_on_error=False,
            )
        finally:
            session.lake.close()


@pytest.fixture
def scene(lake: Lake, settings: Settings, apache_kafka: ApacheKafka, tmp_path: Path) -> Scene:
    return Scene(lake, settings, apache_kafka, tmp_path)


def materialized(result: Any, key: AssetKey) -> list[AssetMaterialization]:
    events = [event for event in result.all_events if event.is_step_materialization]
    return [event.materialization for event in events if event.asset_key == key]


def test_events_that_come_during_a_run_are_built_by_it(scene: Scene) -> None:
    scene.send(scene.left, 3)
    result = scene.run(
        goes_on=",".join(scene.names),
        then=lambda cycle: scene.send(scene.right, 5) if cycle == 1 else None,
    )
    assert result.success
    assert (scene.rows(scene.left), scene.rows(scene.right)) == (4, 6)
    assert [made.metadata["rows"].value for made in materialized(result, MART)] == [1, 4, 4]
    (landed,) = materialized(result, raw_key(scene.right))
    assert landed.metadata["batch_events_landed"].value == 5
    assert landed.metadata["dagster/row_count"].value == 6
    checks: list[AssetCheckEvaluation] = result.get_asset_check_evaluations()
    assert {check.asset_key for check in checks} == {raw_key(name) for name in scene.names}
    assert all(check.passed for check in checks)


def test_a_run_makes_room_for_a_failing_stream_that_is_due(scene: Scene) -> None:
    scene.send(scene.left, 3)
    assert scene.run(goes_on=",".join(scene.names), until=time.time() - 1).success
    assert not scene.built


def test_a_run_that_was_asked_for_before_an_edit_makes_room_for_the_next_one(scene: Scene) -> None:
    """The next one may have a new stream: it must not wait until this one has been going on for minutes."""
    scene.send(scene.left, 3)
    assert scene.run(goes_on=",".join(scene.names), code="the state before the edit").success
    assert not scene.built
    assert scene.run(goes_on=",".join(scene.names), code=of_project(scene.settings)).success
    assert scene.built


@pytest.mark.parametrize("job", [RETRY_JOB, REPLAY_JOB, "another job"])
def test_a_run_makes_room_for_what_a_repair_has_landed(
    scene: Scene, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its models wait for a run, and while events keep coming there would be none for minutes."""
    monkeypatch.setattr(room, "_REPAIRED_SECONDS", 0.0)
    create_run_for_test(scene.instance, job_name=RETRY_JOB, status=DagsterRunStatus.SUCCESS)  # built already
    scene.send(scene.left, 3)

    def go_on(cycle: int) -> None:
        if cycle == 1:
            create_run_for_test(scene.instance, job_name=job, status=DagsterRunStatus.SUCCESS)
        if cycle < 3:
            scene.send(scene.right, 5)

    assert scene.run(goes_on=",".join(scene.names), then=go_on).success
    assert len(scene.built) == (3 if job == "another job" else 1)


def test_streams_without_a_common_table_do_not_wait_for_each_other(scene: Scene) -> None:
    for name in scene.names:
        scene.send(name, 2)
    scene.apart = True
    result = scene.run(goes_on=",".join(scene.names))
    made = [event.asset_key for event in result.all_events if event.is_step_materialization]
    assert made == [MART, raw_key(scene.left), MART, raw_key(scene.right), MART]


def test_models_that_fail_hold_back_their_own_group_only(scene: Scene) -> None:
    for name in scene.names:
        scene.send(name, 2)
    scene.apart = True
    why = {"marts/counted": "no such column"}

    def fail(cycle: int) -> None:
        if cycle == 1:
            raise Failure("no such column", metadata={MODELS_METADATA: MetadataValue.json(why)})

    result = scene.run(goes_on=",".join(scene.names), then=fail)
    assert not result.success
    assert len(scene.built) == 2
    assert scene.rows(scene.right) == 3
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    told = failure.step_failure_data.user_failure_data
    assert {name: value.value for name, value in told.metadata.items()} == {MODELS_METADATA: why}
    assert "no such column" in told.description


def test_streams_are_apart_where_no_table_follows_from_both() -> None:
    keys = {name: AssetKey(name) for name in ("left", "right", "both", "view", "alone")}
    followers = {
        "a": frozenset({keys["left"], keys["both"], keys["view"]}),
        "b": frozenset({keys["alone"], keys["view"]}),
        "c": frozenset({keys["right"], keys["both"], keys["view"]}),
    }
    tables = frozenset(keys.values()) - {keys["view"]}
    assert set(Lineage({}, followers, tables).groups()) == {frozenset("ac"), frozenset("b")}


def test_a_run_ends_when_nothing_comes(scene: Scene) -> None:
    assert scene.run(goes_on=",".join(scene.names)).success
    assert scene.built == []


def test_only_the_streams_of_the_tag_are_touched(scene: Scene) -> None:
    for name in scene.names:
        scene.send(name, 2)
    assert scene.run(goes_on=scene.right).success
    assert (scene.rows(scene.left), scene.rows(scene.right)) == (1, 3)
    assert scene.run(goes_on="").success
    assert scene.rows(scene.left) == 1


def test_a_bad_stream_fails_the_run_by_name_after_the_others_are_built(scene: Scene) -> None:
    scene.send(scene.left, 30, value=b"no json")
    scene.send(scene.right, 2)
    result = scene.run(goes_on=",".join(scene.names))
    assert not result.success
    assert scene.rows(scene.right) == 3
    assert scene.built == [frozenset({MART})]
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    told = failure.step_failure_data.user_failure_data
    assert list(told.metadata[STREAM_METADATA].value) == [scene.left]
    assert "max_reject_share" in told.description
