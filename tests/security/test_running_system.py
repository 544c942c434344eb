"""A running system with planted secrets: none is written where it does not belong, and nobody is called.

`millrace up` runs once, with passwords for Kafka, MQTT and the catalog and a secret webhook; a batch lands,
a run fails, logins are refused. Afterwards everything that was written is searched.
"""

import json
import os
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg2
import pytest
from paho.mqtt.publish import single

from ingestion.lake.lake import Lake
from ingestion.settings import load_settings
from orchestration.conditions.journal import open_conditions
from orchestration.services.postgres import EmbeddedPostgres
from tests.conftest import PASSWORD, USER
from tests.e2e.test_demo import MILLRACE, processes_of
from tests.ingestion.helpers import produce
from tests.repository import REPOSITORY
from tests.security.callers import calls, strangers, watched
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.mosquitto import Mosquitto
from tests.waiting import eventually

pytestmark = pytest.mark.long

MQTT, WEBHOOK, WRONG = "pl4ntedmqtt", "pl4ntedwebhook", "pl4ntedwrong"
READING = {"reading_id": "r1", "machine_id": "press-01", "measured_at": "2030-01-01T00:00:00Z"}


@dataclass
class Exposed:
    """What the system left behind.

    Attributes:
        folder: Its data folder.
        catalog: Address of the database of lake and Dagster, for us.
        seen: File of connections.
        password: The catalog's.
        said: What each command printed.
        command_lines: Of every process that ran for it.
    """

    folder: Path
    catalog: str
    seen: Path
    password: str
    said: dict[str, str] = field(default_factory=dict)
    command_lines: set[str] = field(default_factory=set)

    def secrets_in(self, content: bytes) -> list[str]:
        """Which of the planted ones are there."""
        planted = (PASSWORD, MQTT, WEBHOOK, WRONG, self.password)
        return [secret for secret in planted if secret.encode() in content]


def _environment(parent: Path, variables: dict[str, str]) -> dict[str, str]:
    """As a user has it who set nothing but these: no DO_NOT_TRACK either."""
    dropped = ("MILLRACE_", "DO_NOT_TRACK", "DAGSTER_", "DBT_", "RUNTIME__")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return kept | {
        **watched(parent / "seen"),
        "MILLRACE_ENV_FILE": str(parent / "none.env"),
        **{f"MILLRACE_{name.upper()}": value for name, value in variables.items()},
    }


def _with_password(postgres: EmbeddedPostgres, url: str) -> tuple[str, str]:
    """The catalog's URL with the password in it instead of a password file, and that password."""
    password = postgres.folder.passfile.read_text().strip().rpartition(":")[2]
    return url.split("&passfile")[0].replace("millrace@", f"millrace:{password}@"), password


def _failures(lake_url: str) -> int:
    with closing(psycopg2.connect(lake_url)) as connection, connection.cursor() as cursor:
        cursor.execute("select count(*) from runs where status = 'FAILURE'")
        return int((cursor.fetchone() or (0,))[0])


def _landed(folder: Path, url: str) -> bool:
    try:
        with Lake(load_settings(data_dir=folder, catalog=url), read_only=True) as lake:
            return lake.query(
                "select (select count(*) from staging.stg_plant_telemetry), "
                "(select count(*) from staging.stg_production_orders)"
            ) == [(1, 1)]
    except Exception:
        return False


@pytest.fixture(scope="module")
def exposed(
    secured: ApacheKafka,
    postgres: EmbeddedPostgres,
    new_database: Callable[[], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Exposed]:
    parent = tmp_path_factory.mktemp("exposed")
    url, password = _with_password(postgres, new_database())
    found = Exposed(parent / "data", url, parent / "seen", password)
    mosquitto = Mosquitto(parent / "mosquitto", users={"sensor": MQTT})
    mosquitto.start()
    secured.create_topic("production_orders", partitions=1)
    variables = {
        "data_dir": str(found.folder),
        "catalog": url,
        "kafka_bootstrap_servers": secured.sasl_bootstrap_servers,
        "kafka_security_protocol": "SASL_PLAINTEXT",
        "kafka_username": USER,
        "kafka_password": PASSWORD,
        "mqtt_host": mosquitto.host,
        "mqtt_port": str(mosquitto.port),
        "mqtt_username": "sensor",
        "mqtt_password": MQTT,
        "http_port": "0",
        "alert_webhook_url": f"http://127.0.0.1:1/{WEBHOOK}",
        "source_timeout_seconds": "3",
    }
    env = _environment(parent, variables)
    output = (parent / "up.txt").open("w")
    up = subprocess.Popen(
        [*MILLRACE, "up", "--no-ui"], cwd=REPOSITORY, env=env, stdout=output, stderr=subprocess.STDOUT
    )
    try:
        order = b'{"order_event_id": "o1", "order_id": "o", "event": "created", "occurred_at": "2030-01-01"}'
        produce(secured.bootstrap_servers, "production_orders", [order])
        status = found.folder / "collector" / "status.json"
        eventually(
            lambda: status.exists() and json.loads(status.read_text())["subscribed"],
            "subscribed",
            seconds=120,
        )
        single(
            "plant/l/m/telemetry", json.dumps(READING), qos=1, hostname=mosquitto.host, port=mosquitto.port,
            auth={"username": "sensor", "password": MQTT},
        )  # fmt: skip
        eventually(lambda: _landed(found.folder, url), "both events are in staging", seconds=120)
        found.command_lines |= _command_lines(found.folder)
        secured.delete_topic("production_orders")
        produce_after = {
            "kafka_password": WRONG,
            "mqtt_password": WRONG,
            "catalog": url.replace(password, WRONG),
        }
        wrong = _environment(parent, variables | produce_after)
        right_catalog = _environment(parent, variables | {"kafka_password": WRONG})
        commands = {
            name: subprocess.Popen(
                [*MILLRACE, *command],
                cwd=REPOSITORY,
                env=variant,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for name, command, variant in (
                ("status", ("status",), env),
                ("query", ("query", "select * from raw.batches"), env),
                ("ingest, login refused", ("-v", "ingest", "production_orders"), right_catalog),
                ("doctor, logins refused", ("-v", "doctor"), wrong),
                ("query, login refused", ("-v", "query", "select 1"), wrong),
            )
        }
        # Another topic under the name, with unread events: its run fails.
        secured.create_topic("production_orders", partitions=1)
        produce(secured.bootstrap_servers, "production_orders", [order] * 3)
        eventually(lambda: _failures(url), "a run has failed", seconds=60)
        eventually(
            lambda: "alert_undelivered" in {each.finding.name for each in open_conditions(found.folder)},
            "the alert was tried",
            seconds=150,
        )
        found.command_lines |= _command_lines(found.folder)
        found.said = {name: command.communicate(timeout=120)[0] for name, command in commands.items()}
        yield found
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(timeout=120)
        output.close()
        mosquitto.stop()


def _command_lines(folder: Path) -> set[str]:
    lines = set()
    for process in processes_of(folder):
        try:
            lines.add(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return lines


def test_commands_say_no_secret(exposed: Exposed) -> None:
    said = exposed.said | {"up": (exposed.folder.parent / "up.txt").read_text()}
    assert {name: exposed.secrets_in(text.encode()) for name, text in said.items()} == {
        name: [] for name in said
    }
    for name in ("ingest, login refused", "query, login refused"):
        assert "refuses user" in said[name], said[name]


def test_no_command_line_shows_a_secret(exposed: Exposed) -> None:
    assert len(exposed.command_lines) >= 5
    assert [line for line in exposed.command_lines if exposed.secrets_in(line.encode())] == []


def test_files_hold_no_secret_but_where_duckdb_keeps_them(exposed: Exposed) -> None:
    places = [exposed.folder, *(REPOSITORY / "dbt_project" / name for name in ("target", "logs"))]
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    assert len(files) > 50
    holding = {path: found for path in files if (found := exposed.secrets_in(path.read_bytes()))}
    vault = exposed.folder / "secrets" / "duckdb"
    assert {path.parent for path in holding} <= {vault}, holding
    for path in holding:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert holding[path] == [exposed.password]
    assert stat.S_IMODE(vault.stat().st_mode) == 0o700
    assert holding, "the search finds what is there"


def test_no_table_holds_a_secret(exposed: Exposed) -> None:
    """Dagster's storage with its event log, the lake's catalog, and ours."""
    with closing(psycopg2.connect(exposed.catalog)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "select format('%I.%I', table_schema, table_name) from information_schema.tables "
            "where table_schema not in ('pg_catalog', 'information_schema') and table_type = 'BASE TABLE'"
        )
        tables = [name for (name,) in cursor.fetchall()]
        assert "millrace.event_logs" in tables
        assert "ducklake.ducklake_snapshot" in tables
        rows, holding = 0, []
        for table in tables:
            cursor.execute(f"select t::text from {table} as t")
            for (text,) in cursor:
                rows += 1
                holding += [(table, secret) for secret in exposed.secrets_in(text.encode())]
    assert rows > 100
    assert holding == []


def test_nobody_outside_is_called(exposed: Exposed) -> None:
    programs = {part for call in calls(exposed.seen) for part in call["program"]}
    assert any("dagster" in part for part in programs), programs
    assert strangers(exposed.seen) == set()
