"""A batch that fails its proof, or whose proof cannot be made, is held back from the models until it does."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dagster import AssetKey, DagsterInstance, ExecuteInProcessResult, asset, materialize

from ingestion.faultpoints import install_hook
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from orchestration.assets.raw import raw_asset
from orchestration.keys import raw_key
from orchestration.run.resources import lake_session
from tests.ingestion.helpers import kafka_stream, produce
from tests.servers.apache_kafka import ApacheKafka

pytestmark = pytest.mark.xdist_group("held_back")  # its tests make the same topic, one after another
TOPIC = "held_back"
MODEL = AssetKey(["marts", "reads_it"])


@asset(key=MODEL, deps=[raw_key(TOPIC)])
def model() -> None: ...


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


@pytest.fixture
def run(
    kafka_settings: Settings, apache_kafka: ApacheKafka, instance: DagsterInstance
) -> Iterator[Callable[[str], ExecuteInProcessResult]]:
    """Sends an event and runs; as soon as the batch is in the lake the given SQL is executed there."""
    apache_kafka.create_topic(TOPIC)

    def execute(spoil: str) -> ExecuteInProcessResult:
        def hook(place: str) -> None:
            if place == "loader.committed" and spoil:
                with Lake(kafka_settings) as lake:
                    lake.connection.execute(spoil)

        produce(apache_kafka.bootstrap_servers, TOPIC, [b"1"])
        install_hook(hook)
        try:
            return materialize(
                [raw_asset(kafka_stream(TOPIC)), model],
                resources={"lake_session": lake_session(lambda: kafka_settings)},
                instance=instance,
                raise_on_error=False,
            )
        finally:
            install_hook(None)

    yield execute
    apache_kafka.delete_topic(TOPIC)


@pytest.mark.parametrize(
    ("spoil", "mend"),
    [
        (
            "update raw.batches set events_landed = 7 where batch_id = 1",
            "update raw.batches set events_landed = 1 where batch_id = 1",
        ),
        (
            "alter table raw.reject_resolutions rename to away",
            "alter table raw.away rename to reject_resolutions",
        ),
    ],
    ids=["the proof fails", "the proof cannot be made"],
)
def test_models_do_not_see_a_batch_before_it_is_proven(
    run: Callable[[str], ExecuteInProcessResult], settings: Settings, spoil: str, mend: str
) -> None:
    assert not _built(run(spoil))
    if "7" in spoil:  # a later batch that is sound does not hide the one before it
        assert not _built(run(""))
    with Lake(settings) as lake:
        lake.connection.execute(mend)
    assert _built(run(""))


def _built(result: ExecuteInProcessResult) -> bool:
    return MODEL in {event.asset_key for event in result.get_asset_materialization_events()}
