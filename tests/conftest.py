"""Fixtures that more than one folder of tests uses: PostgreSQL, brokers, a fresh lake per test."""

import functools
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, TypeVar

import hypothesis
import psycopg2
import pytest

from ingestion.connectors.registry import connectors
from ingestion.lake.lake import Lake
from ingestion.settings import Settings, load_settings
from orchestration.services.postgres import EmbeddedPostgres
from orchestration.services.process import wait_until
from tests.frozen.commands import Commands
from tests.names import numbers
from tests.servers import SECURED_PASSWORD, SECURED_USER, ServerMissing
from tests.servers.apache_kafka import ApacheKafka, KafkaServer
from tests.servers.certificates import Certificates
from tests.servers.mosquitto import Mosquitto
from tests.servers.moto import CREDENTIALS, Moto
from tests.servers.rabbitmq import RabbitMq
from tests.servers.shared import (
    shared_certificates,
    shared_kafka,
    shared_postgres_folder,
    shared_rabbitmq,
)

USER, PASSWORD = SECURED_USER, SECURED_PASSWORD
"""Of the secured Kafka."""
T = TypeVar("T")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2)

# Of a first call that imports, or of a busy machine, seconds say nothing.
hypothesis.settings.register_profile(
    "unhurried",
    parent=hypothesis.settings.default,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def _handlers() -> dict[signal.Signals, Any]:
    """The signal handlers of the suite."""
    return {number: signal.getsignal(number) for number in _SIGNALS}


@pytest.fixture(autouse=True)
def _leaves_things_as_they_were(_handlers: dict[signal.Signals, Any]) -> Iterator[None]:
    """No test changes signals, environment or folder for the next one.

    Dagster gives SIGTERM the handler of SIGINT and leaves it so: that is put back. The rest is an error.
    """
    environment, folder = _environment(), os.getcwd()
    yield
    for number, handler in _handlers.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)
    now_folder, now = os.getcwd(), _environment()
    os.chdir(folder)
    os.environ.update(environment)
    for name in now.keys() - environment.keys():
        del os.environ[name]
    changed = {name for name in now.keys() | environment.keys() if now.get(name) != environment.get(name)}
    assert not changed, f"the test has changed environment variables: {sorted(changed)}"
    assert now_folder == folder, "the test has changed the working folder"


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    """An emulator of AWS."""
    server = Moto(tmp_path_factory.mktemp("moto"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def aws_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that the emulator takes, where boto3 finds them."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


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
    patch.setenv("SODA_CORE_TELEMETRY_ENABLED", "false")  # these two as the product sets them
    patch.setenv("PYTHON_DOTENV_DISABLED", "true")  # when it first uses Soda, and for good
    yield
    patch.undo()


@pytest.fixture(scope="session")
def commands() -> Iterator[Commands]:
    """Runs command lines of `millrace`, each in a process of its own that need not import anything."""
    with Commands() as commands:
        yield commands


@pytest.fixture(scope="session")
def postgres() -> EmbeddedPostgres:
    """The embedded PostgreSQL, one for the run; each lake gets a database of its own."""
    return EmbeddedPostgres(shared_postgres_folder())


@pytest.fixture
def own_catalog(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL that a test may break, in `tmp_path/own`."""
    server = EmbeddedPostgres(tmp_path / "own" / "postgres")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def new_database(postgres: EmbeddedPostgres) -> Callable[[], str]:
    """Creates an empty database and returns its URL; it lives as long as the test or fixture that asks."""
    mine = numbers()

    def create() -> str:
        name = f"test_{next(mine)}"
        _command(postgres, f"create database {name}")
        _databases.append((postgres, name))
        return postgres.dsn(name)

    return create


_databases: list[tuple[EmbeddedPostgres, str]] = []


@pytest.fixture(autouse=True)
def _a_tests_databases_go_with_it() -> Iterator[None]:
    """Each holds 8 MB of memory; one that stays does no harm.

    Fixtures of a longer life have made theirs before this one begins.
    """
    before = len(_databases)
    yield
    while len(_databases) > before:
        wait_until(functools.partial(_dropped, *_databases.pop()), timeout_s=10)


def _dropped(server: EmbeddedPostgres, name: str) -> bool:
    with suppress(psycopg2.errors.InsufficientPrivilege):  # autovacuum looks at it
        _command(server, f"drop database if exists {name} with (force)")
        return True
    return False


def _command(server: EmbeddedPostgres, sql: str) -> None:
    with closing(psycopg2.connect(server.libpq("lake"))) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(sql)


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
def apache_kafka() -> ApacheKafka:
    """A real Apache Kafka, one for the run; skips only where Maven or Java is missing."""
    return there(shared_kafka)


@pytest.fixture(scope="session")
def breakable_kafka(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[KafkaServer]:
    """A Kafka that tests may stop, kill or freeze; they are of the group `breakable_kafka`, in one worker."""
    server = there(
        lambda: KafkaServer(
            tmp_path_factory.mktemp("kafka"),
            cache=pytestconfig.rootpath / ".pytest_cache",
            sasl_users={USER: PASSWORD},
        )
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def certificates() -> Certificates:
    """An authority, and what it signed for 127.0.0.1, as the secured Kafka has them."""
    return there(shared_certificates)


@pytest.fixture(scope="session")
def secured(apache_kafka: ApacheKafka, certificates: Certificates) -> ApacheKafka:
    """A Kafka with SASL and TLS listeners and a topic `guarded` of two events."""
    return apache_kafka


@pytest.fixture(scope="session")
def rabbitmq() -> RabbitMq:
    """A real RabbitMQ, one for the run: queues have names that no other test uses (tests/names.py)."""
    return there(shared_rabbitmq)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A Mosquitto with its defaults, for one test."""
    server = there(lambda: Mosquitto(tmp_path / "mosquitto"))
    server.start()
    yield server
    server.stop()


def there(get: Callable[[], T]) -> T:
    """A server, or the test is skipped where its program is not installed; in CI that is an error."""
    try:
        return get()
    except ServerMissing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))
