"""Fixtures that more than one folder of tests uses: PostgreSQL, brokers, a fresh lake per test."""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest

from ingestion.connectors.registry import connectors
from ingestion.lake.lake import Lake
from ingestion.settings import Settings, load_settings
from orchestration.services.postgres import EmbeddedPostgres
from tests.ingestion.helpers import produce
from tests.servers import ServerMissing
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.certificates import Certificates, make_certificates
from tests.servers.mosquitto import Mosquitto

USER, PASSWORD = "reader", "s3cret-of-the-reader"
"""Of the secured Kafka."""


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_developer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Neither the environment nor a .env of the machine reaches a test."""
    patch = pytest.MonkeyPatch()
    names = list(Settings.model_fields)
    names += [f"{each.kind}_{field}" for each in connectors() for field in each.access.model_fields]
    for name in names:
        patch.delenv(f"MILLRACE_{name.upper()}", raising=False)
    patch.setenv("MILLRACE_ENV_FILE", str(tmp_path_factory.mktemp("env") / "none.env"))
    patch.setenv("DO_NOT_TRACK", "1")
    yield
    patch.undo()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """The embedded PostgreSQL, one for the session; each lake gets a database of its own."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_catalog(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL that a test may break, in `tmp_path/own`."""
    server = EmbeddedPostgres(tmp_path / "own" / "postgres")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def new_database(postgres: EmbeddedPostgres) -> Callable[[], str]:
    """Creates an empty database and returns its URL."""
    numbers = itertools.count(1)

    def create() -> str:
        name = f"test_{next(numbers)}"
        connection = psycopg2.connect(postgres.libpq("lake"))
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"create database {name}")
        connection.close()
        return postgres.dsn(name)

    return create


@pytest.fixture
def settings(tmp_path: Path, new_database: Callable[[], str]) -> Settings:
    """Settings of a lake that nobody else has: fresh folder, fresh catalog."""
    return load_settings(data_dir=tmp_path / "data", catalog=new_database(), source_timeout_seconds=15)


@pytest.fixture
def lake(settings: Settings) -> Iterator[Lake]:
    """A fresh lake."""
    with Lake(settings) as lake:
        yield lake


@pytest.fixture
def kafka_settings(request: pytest.FixtureRequest, settings: Settings, apache_kafka: ApacheKafka) -> Settings:
    """The same with Kafka; a parameter names the client (both_clients)."""
    return load_settings(
        data_dir=settings.data_dir,
        catalog=settings.catalog,
        source_timeout_seconds=settings.source_timeout_seconds,
        kafka_bootstrap_servers=apache_kafka.bootstrap_servers,
        kafka_client=getattr(request, "param", "kafka-python"),
    )


@pytest.fixture(scope="session")
def apache_kafka(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[ApacheKafka]:
    """A real Apache Kafka, one for the session; skips only where Maven or Java is missing."""
    try:
        server = ApacheKafka(tmp_path_factory.mktemp("kafka"), cache=pytestconfig.rootpath / ".pytest_cache")
    except ServerMissing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority, and what it signed for 127.0.0.1."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def secured(
    apache_kafka: ApacheKafka,
    certificates: Certificates,
    tmp_path_factory: pytest.TempPathFactory,
    pytestconfig: pytest.Config,
) -> Iterator[ApacheKafka]:
    """A Kafka with SASL and TLS listeners and a topic `guarded` of two events."""
    server = ApacheKafka(
        tmp_path_factory.mktemp("secured"),
        cache=pytestconfig.rootpath / ".pytest_cache",
        sasl_users={USER: PASSWORD},
        certificate=certificates.server,
    )
    server.start()
    server.create_topic("guarded", partitions=1)
    produce(server.bootstrap_servers, "guarded", [b"1", b"2"])
    yield server
    server.stop()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A Mosquitto with its defaults, for one test."""
    try:
        server = Mosquitto(tmp_path / "mosquitto")
    except ServerMissing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))
    server.start()
    yield server
    server.stop()
