"""BI tools over TCP: off until a port is set, one role and one database, and everybody else as before."""

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import sqlalchemy

from ingestion.errors import ConfigError
from ingestion.serve.shelf import Mart, write_served
from ingestion.settings import Settings, load_settings
from orchestration.cli.app import run
from orchestration.cli.serving import psql
from orchestration.services.postgres import EmbeddedPostgres
from orchestration.services.postgres_cluster import postgres_binaries
from orchestration.services.postgres_folder import READER, Tcp
from orchestration.serving.look import look
from orchestration.serving.role import password_file
from orchestration.system.services import require_serving_door, serving_door
from tests.repository import REPOSITORY
from tests.servers.ports import free_ports
from tests.serving.shop import STREAM, Shop

SLOW = pytest.mark.slow("starts a PostgreSQL of its own")
_LINE = re.compile(r"^PGPASSFILE=.*psql .*$", re.MULTILINE)


class Opened:
    """A shop whose marts are in an embedded PostgreSQL of its own, which listens on a port."""

    def __init__(self, data_dir: Path) -> None:
        (self.port,) = free_ports(1)
        self.server = EmbeddedPostgres(data_dir / "postgres", tcp=Tcp("127.0.0.1", self.port))
        self.server.start()
        self.settings = load_settings(
            data_dir=data_dir, catalog=self.server.dsn("lake"), serving=self.server.dsn("serving")
        )
        self.shop = Shop(self.settings)
        self.shop.open()
        orders = Mart(
            "orders", "marts", "orders", (STREAM,), ("id",),
            description="What was ordered. One row per order.", columns=(("state", "How far it is."),),
        )  # fmt: skip
        write_served(data_dir, [orders])
        self.shop.build()
        self.shop.publish()

    def password(self) -> str:
        """The reader's."""
        return password_file(self.settings).read_text().strip().rsplit(":", 1)[1]

    def close(self) -> None:
        """Stop everything."""
        self.shop.close()
        self.server.stop()


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """A published shop with a port."""
    it = Opened(tmp_path_factory.mktemp("opened"))
    yield it
    it.close()


@SLOW
def test_a_tool_lists_and_describes_marts_over_tcp(opened: Opened) -> None:
    address = f"postgresql+psycopg2://{READER}:{opened.password()}@127.0.0.1:{opened.port}/serving"
    engine = sqlalchemy.create_engine(address)
    seen = sqlalchemy.inspect(engine)
    assert set(seen.get_table_names(schema="marts")) == {"orders", "_served"}
    assert seen.get_pk_constraint("orders", schema="marts")["constrained_columns"] == ["id"]
    assert seen.get_table_comment("orders", schema="marts")["text"] == "What was ordered. One row per order."
    columns = {each["name"]: each for each in seen.get_columns("orders", schema="marts")}
    assert columns["state"]["comment"] == "How far it is."
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("select count(*) from orders")).scalar() == 10
    engine.dispose()


@SLOW
def test_over_tcp_only_the_reader_is_let_in_and_to_marts_only(opened: Opened) -> None:
    owner = opened.server.folder.passfile.read_text().strip().rsplit(":", 1)[1]
    for role, password, database in (
        ("millrace", owner, "serving"), ("millrace", owner, "lake"), (READER, opened.password(), "lake"),
        (READER, opened.password(), "postgres"), (READER, "wrong", "serving"),
    ):  # fmt: skip
        with pytest.raises(psycopg2.OperationalError, match=r"no pg_hba.conf entry|authentication failed"):
            psycopg2.connect(
                host="127.0.0.1", port=opened.port, user=role, password=password, dbname=database
            )
    with closing(psycopg2.connect(opened.server.libpq("lake"))) as connection, connection.cursor() as cursor:
        cursor.execute("select current_user")  # its socket has the name that everybody knows
        assert cursor.fetchone() == ("millrace",)


@SLOW
def test_the_command_shows_how_to_connect_and_what_it_shows_works(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("orchestration.cli.context.Globals.settings", lambda _: opened.settings)
    assert run(["serving", "--json"]) == 0
    printed = capsys.readouterr().out
    shown = json.loads(printed)
    assert (shown["host"], shown["port"], shown["role"]) == ("127.0.0.1", opened.port, READER)
    assert opened.password() not in printed
    with closing(psycopg2.connect(shown["url"])) as connection, connection.cursor() as cursor:
        cursor.execute("select snapshot from _served where mart = 'orders'")
        assert cursor.fetchone() == (shown["marts"][0]["snapshot"],)
    assert run(["serving"]) == 0
    lines = capsys.readouterr().out
    assert opened.password() not in lines
    assert "MILLRACE_SERVING_PORT" not in lines
    (line,) = [line for line in lines.splitlines() if "psql -h" in line]
    assert _asked(line) == "10"


@SLOW
def test_marts_that_wait_are_so_many_versions_behind(opened: Opened) -> None:
    _, (before,) = look(opened.settings)
    assert (before.behind, before.waits_seconds) == (0, 0)
    version = opened.shop.build("update lake.marts.orders set state = 'sent' where id = 3")
    _, (waiting,) = look(opened.settings)
    assert waiting.snapshot == before.snapshot
    assert waiting.behind == version - before.snapshot > 0
    assert waiting.waits_seconds >= 0
    opened.shop.publish()
    _, (after,) = look(opened.settings)
    assert (after.snapshot, after.behind) == (version, 0)


def test_off_loopback_wants_somebody_who_encrypts(settings: Settings) -> None:
    assert serving_door(settings) is None, "off unless a port is set"
    given: dict[str, Any] = {"serving_port": 5433}
    assert serving_door(settings.replaced(**given)) == Tcp("127.0.0.1", 5433)
    with pytest.raises(ConfigError, match="MILLRACE_UI_TLS_ELSEWHERE"):
        serving_door(settings.replaced(serving_host="0.0.0.0", **given))
    elsewhere = settings.replaced(serving_host="0.0.0.0", ui_tls_elsewhere=True, **given)
    assert serving_door(elsewhere) == Tcp("0.0.0.0", 5433)


@SLOW
def test_a_port_that_is_taken_is_said_before_anything_starts(opened: Opened) -> None:
    taken = load_settings(data_dir=opened.settings.data_dir / "other", serving_port=opened.port)
    with pytest.raises(ConfigError, match="MILLRACE_SERVING_PORT"):
        require_serving_door(taken)


@SLOW
def test_without_a_port_the_socket_is_all_there_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line of docs/serving.md, too; a server that listened before leaves nothing behind."""
    project = Path(tempfile.mkdtemp())  # a short path: a socket's may have 103 bytes
    data_dir = project / ".millrace"
    first = Opened(data_dir)
    try:
        first.server.stop()
        again = EmbeddedPostgres(data_dir / "postgres")
        again.start()
        with closing(psycopg2.connect(again.libpq("serving"))) as connection, connection.cursor() as cursor:
            cursor.execute("select current_setting('listen_addresses')")
            assert cursor.fetchone() == ("",)
        with pytest.raises(psycopg2.OperationalError, match="refused"):
            psycopg2.connect(host="127.0.0.1", port=first.port, user=READER, dbname="serving")
        monkeypatch.setattr("orchestration.cli.context.Globals.settings", lambda _: first.settings)
        assert run(["serving"]) == 0
        printed = capsys.readouterr().out
        assert "MILLRACE_SERVING_PORT" in printed
        where, _ = look(first.settings)
        assert _asked(psql(where)) == "10"
        (documented,) = _LINE.findall((REPOSITORY / "docs/serving.md").read_text(encoding="utf-8"))
        monkeypatch.chdir(project)
        assert "orders" in _run(documented)
    finally:
        first.close()
        shutil.rmtree(project)


def _asked(line: str) -> str:
    """How many orders a line of psql finds."""
    return _run(f"{line} -At -c 'select count(*) from orders'").strip()


def _run(line: str) -> str:
    """A line as it is shown, with the psql of the wheel."""
    path = f"{postgres_binaries()}:/usr/bin:/bin"
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, env={"PATH": path})
    assert done.returncode == 0, done.stderr
    return done.stdout
