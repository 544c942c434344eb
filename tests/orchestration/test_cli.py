"""The `millrace` command as users meet it: in a process of its own, on real parts."""

import csv
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic

from ingestion.connectors.mqtt.access import MqttAccess
from ingestion.connectors.registry import connectors
from ingestion.data_folder import DEMO_MARKER, system_is_running
from ingestion.formats.schema_registry.access import KIND, SchemaRegistryAccess
from ingestion.lake.lake import Lake
from ingestion.settings import Settings, load_settings
from orchestration.cli.query import QueryRefused, ask
from orchestration.services.kafka import EmbeddedKafka
from orchestration.services.process import is_alive, wait_until
from orchestration.system.lock import AlreadyRunning, only_system
from orchestration.system.runtime import write_runtime
from orchestration.system.services import choose_page_port
from tests.deploy.test_service_manager import Systemd
from tests.frozen.commands import Commands
from tests.repository import REPOSITORY
from tests.security.callers import strangers, watched
from tests.servers.ports import free_ports
from tests.waiting import eventually

TOPIC = "production_orders"  # of the project's own streams.yml, whose dbt sources a running system renders


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The one sentence of an error; fails when there is more, or a traceback."""
        assert self.code == 1, self
        assert "Traceback" not in self.err + self.out
        lines = [line for line in self.err.splitlines() if line.strip()]
        assert len(lines) == 1, self.err
        assert lines[0].startswith("millrace: ")
        return lines[0].removeprefix("millrace: ")


Millrace = Callable[..., Result]


@pytest.fixture
def millrace(tmp_path: Path, commands: Commands) -> Millrace:
    """Runs the command with nothing but what a test says in its environment."""

    def run(*arguments: str, **variables: str) -> Result:
        ours = {"MILLRACE_DATA_DIR": str(tmp_path / "data")}
        done = commands.run_with(
            arguments, ours | {f"MILLRACE_{name.upper()}": value for name, value in variables.items()}
        )
        return Result(done.code, done.out, done.err)

    return run


@pytest.fixture
def installed(tmp_path: Path) -> Millrace:
    """The same in a new interpreter, which begins with this process's environment."""

    def run(*arguments: str, **variables: str) -> Result:
        done = subprocess.run(
            [sys.executable, "-c", "from orchestration.cli import main; main()", *arguments],
            capture_output=True,
            text=True,
            timeout=300,
            cwd=REPOSITORY,
            env=environment(tmp_path, **variables),
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run


def environment(tmp_path: Path, **variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
    ours = {"MILLRACE_DATA_DIR": str(tmp_path / "data"), "MILLRACE_ENV_FILE": str(tmp_path / "none.env")}
    return kept | ours | {f"MILLRACE_{name.upper()}": value for name, value in variables.items()}


@pytest.fixture
def catalog(settings: Settings) -> str:
    return url_of(settings)


def url_of(settings: Settings) -> str:
    assert settings.catalog is not None
    return settings.catalog.get_secret_value()


@pytest.fixture(scope="module")
def made_lake(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str]) -> Settings:
    """A lake with one table of its own, `marts.things` with two rows, for tests that change nothing."""
    settings = load_settings(data_dir=tmp_path_factory.mktemp("made") / "data", catalog=new_database())
    with Lake(settings) as lake:
        lake.prepare([TOPIC])
        lake.connection.execute("create schema marts")
        lake.connection.execute(
            "create table marts.things as select 1 as id, 'a,b' as name, 1.50::decimal(5, 2) as price "
            "union all select 2, null, 2.25"
        )
    return settings


def test_help_and_version_answer_at_once(millrace: Millrace, installed: Millrace) -> None:
    shown = millrace("--help")
    assert shown.code == 0
    for command in ("up", "down", "demo", "status", "query", "ingest", "collect", "doctor", "maintain"):
        assert re.search(rf"\b{command}\b", shown.out)
    assert installed("--version").out.startswith("millrace ")
    assert millrace().out == shown.out


def test_light_commands_import_nothing_heavy() -> None:
    code = (
        "import sys; from orchestration.cli.app import run; "
        "import orchestration.cli.status, orchestration.cli.query, orchestration.cli.context; "
        "run(['--version']); "
        "heavy = {'dagster', 'dbt', 'dlt', 'soda_core', 'kafka', 'paho'} & set(sys.modules); "
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_wrong_usage_is_told_in_one_sentence(millrace: Millrace) -> None:
    for arguments in (("--bad",), ("status", "--bad"), ("nonsense",), ("backup",)):
        result = millrace(*arguments)
        assert result.code == 2
        assert "--help" in result.err
        assert len(result.err.strip().splitlines()) == 1


def test_no_lake(millrace: Millrace) -> None:
    sentence = millrace("query", "select 1").sentence
    assert "millrace up" in sentence
    assert "MILLRACE_CATALOG" in sentence


def test_after_a_demo_nobody_is_sent_to_a_command_that_refuses(millrace: Millrace, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / DEMO_MARKER).touch()
    assert "millrace new" in millrace("query", "select 1").sentence
    assert "millrace new" in millrace("up", "--no-ui").sentence
    findings = json.loads(millrace("doctor", "--json").out)
    (system,) = [row["message"] for row in findings if row["part"] == "system"]
    assert "'millrace demo'" in system
    assert "millrace up" not in system


def test_catalog_away(millrace: Millrace) -> None:
    sentence = millrace(
        "query", "select 1", catalog=f"postgresql://me@127.0.0.1:{free_ports(1)[0]}/lake"
    ).sentence
    assert "cannot be reached" in sentence


def test_wrong_password_is_told_without_the_password(
    millrace: Millrace, catalog: str, tmp_path: Path
) -> None:
    passfile = tmp_path / "pgpass"
    passfile.write_text("*:*:*:*:hunter2\n")
    passfile.chmod(0o600)
    wrong = re.sub(r"passfile=[^&]*", f"passfile={passfile}", catalog)
    result = millrace("query", "select 1", catalog=wrong)
    assert "refuses user" in result.sentence
    assert "hunter2" not in result.err


def test_wrong_setting_names_its_variable(millrace: Millrace) -> None:
    sentence = millrace("status", ui_port="no").sentence
    assert "MILLRACE_UI_PORT" in sentence


def test_bad_streams_file_names_its_line(millrace: Millrace, tmp_path: Path) -> None:
    path = tmp_path / "streams.yml"
    path.write_text("orders:\n  source: {kafka: orders}\n  busines_id: [id]\n")
    for command in (("ingest",), ("up", "--no-ui")):
        assert "streams.yml line 3" in millrace(*command, streams_file=str(path)).sentence
    shown = millrace("status", streams_file=str(path))
    assert (shown.code, shown.err) == (0, "")
    assert "streams.yml line 3" in shown.out


def test_data_folder_that_cannot_be(millrace: Millrace, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    sentence = millrace("--data-dir", str(tmp_path / "file" / "data"), "up", "--no-ui").sentence
    assert str(tmp_path / "file" / "data") in sentence
    assert "MILLRACE_DATA_DIR" in sentence


def test_unknown_stream_suggests_the_likely_one(millrace: Millrace, catalog: str) -> None:
    sentence = millrace("ingest", "production_order", catalog=catalog).sentence
    assert "did you mean 'production_orders'?" in sentence


def test_broker_away(millrace: Millrace, made_lake: Settings) -> None:
    result = millrace(
        "ingest", TOPIC, catalog=url_of(made_lake), source_timeout_seconds="2",
        data_dir=str(made_lake.data_dir), kafka_bootstrap_servers=f"127.0.0.1:{free_ports(1)[0]}",
    )  # fmt: skip
    assert "does not answer" in result.sentence


def test_collect_without_a_broker(millrace: Millrace) -> None:
    assert "MILLRACE_MQTT_HOST" in millrace("collect").sentence


def test_port_of_the_ui_taken(millrace: Millrace, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        sentence = millrace("up", ui_port=str(other.getsockname()[1])).sentence
    assert "MILLRACE_UI_PORT" in sentence
    assert not (tmp_path / "data" / "postgres").exists()


def test_port_of_the_live_page_taken(millrace: Millrace, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        sentence = millrace("up", ui_port="0", page_port=str(other.getsockname()[1])).sentence
    assert "the live page cannot listen" in sentence
    assert "MILLRACE_PAGE_PORT" in sentence
    assert not (tmp_path / "data" / "postgres").exists()


def test_the_live_page_is_beside_the_web_ui() -> None:
    free, other = free_ports(2)
    assert choose_page_port(load_settings(ui_port=free - 1)) == free
    assert choose_page_port(load_settings(ui_port=free, page_port=other)) == other
    assert choose_page_port(load_settings(ui_port=0)) > 0
    assert choose_page_port(load_settings(ui_port=65_535)) > 0


def test_a_defect_is_called_one_and_v_gives_the_traceback(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from orchestration.cli import app
    from orchestration.cli.errors import defect, sentence

    assert sentence(ZeroDivisionError("x")) is None
    assert "millrace -v status" in defect(ZeroDivisionError("x"), command="status")
    assert app.run(["-v", "--data-dir", str(tmp_path), "query", "select 1"]) == 1
    assert "Traceback" in capsys.readouterr().err


# ---- query


def test_query_formats(millrace: Millrace, made_lake: Settings) -> None:
    where = {"catalog": url_of(made_lake), "data_dir": str(made_lake.data_dir)}
    sql = "select * from marts.things order by id"
    assert json.loads(millrace("query", sql, "--json", **where).out) == [
        {"id": 1, "name": "a,b", "price": 1.5},
        {"id": 2, "name": None, "price": 2.25},
    ]
    rows = list(csv.reader(io.StringIO(millrace("query", sql, "--csv", **where).out)))
    assert rows == [["id", "name", "price"], ["1", "a,b", "1.50"], ["2", "", "2.25"]]
    table = millrace("query", sql, "--limit", "1", **where).out
    assert "a,b" in table
    assert "2.25" not in table
    assert "there are more" in table
    assert millrace("query", "show all tables", **where).code == 0


@pytest.mark.parametrize(
    "sql",
    [
        "delete from marts.things",
        "drop table marts.things",
        "create table marts.more as select 1",
        "insert into marts.things values (3, 'c', 1)",
        "set enable_external_access = true",
        "copy (select 1) to '{lake}evil.parquet'",
        "explain analyze copy (select 1) to '{lake}evil.parquet'",
        "select 1; drop table marts.things",
        "select * from read_csv('/etc/passwd')",
        "select * from read_text('{lake}../secrets/duckdb/*')",
        "select * from glob('/etc/*')",
        "attach '{lake}other.db'",
        "selec 1",
        "select * from marts.nothing",
    ],
)
def test_query_changes_nothing_and_reads_nothing_else(sql: str, made_lake: Settings) -> None:
    with pytest.raises(QueryRefused) as refusal:
        list(ask(made_lake, sql.format(lake=made_lake.resolved_lake_path)).rows())
    assert "\n" not in str(refusal.value)
    with Lake(made_lake) as lake:
        assert lake.query("select count(*) from marts.things") == [(2,)]
    assert not list(Path(made_lake.resolved_lake_path).rglob("evil*"))


# ---- ingest, status, doctor


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[EmbeddedKafka]:
    broker = EmbeddedKafka(tmp_path / "kafka", port=free_ports(1)[0])
    broker.start()
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    admin.create_topics([NewTopic(TOPIC, 1, 1)])
    admin.close()
    yield broker
    broker.stop()


def test_ingest_status_and_doctor_agree_and_call_nobody_else(
    installed: Millrace, catalog: str, settings: Settings, kafka: EmbeddedKafka, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    settings.data_dir.mkdir(mode=0o700)
    seen = watched(tmp_path / "seen")
    monkeypatch.setenv("PYTHONPATH", seen["PYTHONPATH"])
    where = {
        "catalog": catalog, "data_dir": str(settings.data_dir),
        "kafka_bootstrap_servers": kafka.bootstrap_servers, "test_seen": seen["MILLRACE_TEST_SEEN"],
    }  # fmt: skip
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap_servers, batch_size=0)
    for payload in (b'{"order_id": "a"}', b'{"order_id": "b"}', b"no json"):
        producer.send(TOPIC, payload).get(timeout=60)
    producer.close()

    first = json.loads(installed("ingest", TOPIC, "--json", **where).out)
    assert (first["stream"], first["batch_id"]) == (TOPIC, 1)
    assert (first["events_landed"], first["events_rejected"]) == (2, 1)
    assert "nothing new" in installed("ingest", TOPIC, **where).out

    told = json.loads(installed("status", "--json", **where).out)
    assert not told["running"]
    stream = next(row for row in told["streams"] if row["stream"] == TOPIC)
    assert (stream["position"], stream["lag_events"], stream["rows"], stream["rejects"]) == (3, 0, 2, 1)

    found = {row["part"]: row for row in json.loads(installed("doctor", "--json", **where).out)}
    for part in ("versions", "streams", "extensions", "data folder", "catalog", "lake", "kafka log"):
        assert found[part]["state"] == "ok", found[part]
    assert strangers(tmp_path / "seen") == set()


def test_doctor_names_each_problem(millrace: Millrace, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o755)
    result = millrace(
        "doctor", "--json", source_timeout_seconds="2",
        catalog=f"postgresql://me@127.0.0.1:{free_ports(1)[0]}/lake",
        kafka_bootstrap_servers=f"127.0.0.1:{free_ports(1)[0]}",
    )  # fmt: skip
    assert result.code == 1
    problems = {row["part"]: row["message"] for row in json.loads(result.out) if row["state"] == "problem"}
    assert "chmod 700" in problems["data folder"]
    assert "cannot be reached" in problems["catalog"]
    assert "does not answer" in problems["kafka log"]


def test_doctor_names_a_misspelt_key_once(millrace: Millrace, tmp_path: Path) -> None:
    file = tmp_path / "streams.yml"
    file.write_text(f"{TOPIC}:\n  source: {{kafka: {TOPIC}}}\n  event_tme: at\n")
    result = millrace("doctor", "--json", streams_file=str(file))
    assert result.code == 1
    (problem,) = [row for row in json.loads(result.out) if row["state"] == "problem"]
    assert "did you mean 'event_time'?" in problem["message"]


# ---- settings, runtime.env, one system per folder


def test_env_example_lists_every_setting_with_its_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (REPOSITORY / ".env.example").read_text()
    variables = re.findall(r"^#(MILLRACE_\w+)=", text, flags=re.MULTILINE)
    names = list(Settings.model_fields)
    names += [f"{each.kind}_{field}" for each in connectors() for field in each.access.model_fields]
    names += [f"{KIND}_{field}" for field in SchemaRegistryAccess.model_fields]
    assert sorted(variables) == sorted(f"MILLRACE_{name.upper()}" for name in names)
    uncommented = tmp_path / "example.env"
    uncommented.write_text(re.sub(r"^#(?=MILLRACE_)", "", text, flags=re.MULTILINE))
    defaults = load_settings()
    monkeypatch.setenv("MILLRACE_ENV_FILE", str(uncommented))
    written = load_settings()
    assert written.model_dump() == defaults.model_dump()
    for each in connectors():
        assert written.access(each.kind, each.access) == defaults.access(each.kind, each.access)
    assert written.access(KIND, SchemaRegistryAccess) == defaults.access(KIND, SchemaRegistryAccess)


def test_runtime_env_counts_while_the_system_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, env_file = tmp_path / "it's data", tmp_path / "my.env"
    folder.mkdir()
    env_file.write_text("MILLRACE_MQTT_HOST=from-env-file\n")
    monkeypatch.setenv("MILLRACE_ENV_FILE", str(env_file))
    with only_system(folder):
        write_runtime(folder, {"catalog": "postgresql://running/lake", "mqtt_host": "embedded"})
        assert (folder / "runtime.env").stat().st_mode & 0o777 == 0o600
        settings = load_settings(data_dir=folder)
        assert settings.catalog is not None
        assert settings.catalog.get_secret_value() == "postgresql://running/lake"
        assert settings.access("mqtt", MqttAccess).host == "from-env-file"
        monkeypatch.setenv("MILLRACE_MQTT_HOST", "from-environment")
        assert load_settings(data_dir=folder).access("mqtt", MqttAccess).host == "from-environment"
        (folder / "demo").touch()
        assert load_settings(data_dir=folder).access("mqtt", MqttAccess).host == "embedded"
        with pytest.raises(AlreadyRunning, match=f"pid {os.getpid()}"), only_system(folder):
            pass
    assert not (folder / "runtime.env").exists()
    assert load_settings(data_dir=folder).catalog is None


def test_runtime_env_of_a_killed_system_is_no_hang(millrace: Millrace, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    code = (
        "import sys, time; from pathlib import Path; from orchestration.system.lock import only_system; "
        "from orchestration.system.runtime import write_runtime; folder = Path(sys.argv[1])\n"
        "with only_system(folder):\n"
        "    write_runtime(folder, {'catalog': 'postgresql://nobody@127.0.0.1:1/lake'})\n"
        "    print('ready', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "ready\n"
    assert system_is_running(folder)
    holder.kill()
    holder.wait()
    assert (folder / "runtime.env").exists()
    assert "start one with 'millrace up'" in millrace("query", "select 1").sentence
    assert millrace("down").code == 0
    assert not (folder / "runtime.env").exists()


@pytest.mark.e2e
def test_up_twice_status_and_down(millrace: Millrace, tmp_path: Path) -> None:
    """The whole system while brokers are away and the port of HTTP is another program's: it runs, says what
    is wrong, and stops cleanly."""
    other = socket.create_server(("127.0.0.1", 0))
    where = {
        "http_port": str(other.getsockname()[1]),
        "kafka_bootstrap_servers": f"127.0.0.1:{free_ports(1)[0]}",
        "mqtt_host": "127.0.0.1",
        "mqtt_port": str(free_ports(1)[0]),
    }
    systemd = Systemd(str(tmp_path / "notify"))
    process = subprocess.Popen(
        [sys.executable, "-c", "from orchestration.cli import main; main()", "up", "--no-ui"],
        cwd=REPOSITORY, env=environment(tmp_path, **where) | {"NOTIFY_SOCKET": str(tmp_path / "notify")},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        assert wait_until((tmp_path / "data" / "system.json").exists, timeout_s=240, interval_s=0.5)
        shown = systemd.received()
        assert "STATUS=starting postgres" in shown
        assert "READY=1" in shown
        assert wait_until(lambda: "WATCHDOG=1" in systemd.received(), timeout_s=60)
        children = psutil.Process(process.pid).children(recursive=True)
        assert not [child for child in children if "NOTIFY_SOCKET" in child.environ()]
        assert "already" in millrace("up", "--no-ui", **where).sentence

        def all_is_said() -> bool:
            systemd.received()  # a socket that nobody reads takes ten messages, and drops the next ones
            told = json.loads(millrace("status", "--json", **where).out)
            return (
                {row["name"] for row in told["services"] if row["running"]} >= {"postgres", "warm", "daemon"}
                and any("does not answer" in row["error"] for row in told["streams"])
                and {each["name"] for each in told["conditions"]}
                >= {"collector_in_trouble", "source_unreachable"}
                and f":{where['http_port']} (Address already in use): set MILLRACE_HTTP_PORT" in str(told)
            )

        eventually(all_is_said, "what runs, that both brokers are away, and the taken port", seconds=180)
        systemd.received()
        stopped = millrace("down", **where)
        assert str(process.pid) in stopped.out
        assert process.wait(timeout=60) == 0
        assert "STOPPING=1" in systemd.received()
        systemd.close()
        assert not [child for child in children if is_alive(child)]
        assert not (tmp_path / "data" / "runtime.env").exists()
        assert "nothing runs" in millrace("down", **where).out
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)
        other.close()
