"""SASL against a real Kafka listener: both mechanisms work, a wrong password is told and never shown."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestion.errors import SourceUnavailable
from ingestion.lake import Lake
from ingestion.settings import Settings, load_settings
from ingestion.sources.kafka import KafkaLog
from tests.ingestion.helpers import ingest, kafka_stream, produce
from tests.servers.apache_kafka import ApacheKafka

USER, PASSWORD = "reader", "s3cret-of-the-reader"
pytestmark = pytest.mark.usefixtures("apache_kafka")  # skips where Kafka cannot run


@pytest.fixture(scope="module")
def secured(
    apache_kafka: ApacheKafka, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[ApacheKafka]:
    server = ApacheKafka(
        tmp_path_factory.mktemp("secured"),
        cache=pytestconfig.rootpath / ".pytest_cache",
        sasl_users={USER: PASSWORD},
    )
    server.start()
    server.create_topic("guarded", partitions=1)
    produce(server.bootstrap_servers, "guarded", [b"1", b"2"])
    yield server
    server.stop()


def _settings(settings: Settings, server: ApacheKafka, **options: object) -> Settings:
    return load_settings(
        data_dir=settings.data_dir,
        catalog=settings.catalog,
        kafka_bootstrap_servers=server.sasl_bootstrap_servers,
        kafka_security_protocol="SASL_PLAINTEXT",
        kafka_username=USER,
        source_timeout_seconds=10,
        **options,
    )


@pytest.mark.parametrize("client", ["kafka-python", "librdkafka"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_each_mechanism_reads(
    lake: Lake, settings: Settings, secured: ApacheKafka, mechanism: str, client: str
) -> None:
    known = _settings(
        settings, secured, kafka_sasl_mechanism=mechanism, kafka_password=PASSWORD, kafka_client=client
    )
    assert ingest(lake, kafka_stream("guarded"), known).events_landed == 2


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_a_wrong_password_is_one_sentence_without_the_password(
    settings: Settings, secured: ApacheKafka, mechanism: str
) -> None:
    wrong = _settings(settings, secured, kafka_sasl_mechanism=mechanism, kafka_password="wr0ng-and-private")
    log = KafkaLog(kafka_stream("guarded"), wrong)
    with pytest.raises(SourceUnavailable, match=f"refuses user '{USER}'.*MILLRACE_KAFKA_PASSWORD") as caught:
        log.bounds()
    log.close()
    assert "wr0ng" not in str(caught.value)
    assert "wr0ng" not in repr(wrong)
    assert not list(Path(settings.data_dir).rglob("*wr0ng*"))
