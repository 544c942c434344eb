"""The processes of a running system: what each is called with and when it is ready.

The order and the supervision are in running.py. Secrets go through the environment, never the command line.
"""

import socket
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import yaml

from ingestion.collect.members import Member
from ingestion.connectors.registry import connectors
from ingestion.environment import child_environment
from ingestion.errors import ConfigError
from ingestion.libraries import installed
from ingestion.project import PRODUCT_DIR
from ingestion.settings import Settings
from orchestration.metrics.access import door
from orchestration.observe.probes import ANSWER_SECONDS, Question, answers_grpc, answers_line
from orchestration.services.postgres_folder import Tcp
from orchestration.services.process import ChildProcess, ProcessSpec
from orchestration.system.code_server import CodeServer
from orchestration.system.instance import dagster_environment, dagster_home, launcher_socket
from orchestration.web.access import access, is_loopback
from orchestration.web.client import WebClient, local_host

DEFINITIONS = "orchestration.definitions"
_RESTING = {
    # After an error of its storage, as when PostgreSQL restarts; 5 s by default.
    "DAGSTER_DAEMON_CORE_LOOP_EXCEPTION_SLEEP_INTERVAL": "1",
}
QUIET = {
    "DO_NOT_TRACK": "1",
    "DAGSTER_DISABLE_TELEMETRY": "true",
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "OTEL_SDK_DISABLED": "true",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "SODA_CORE_TELEMETRY_ENABLED": "false",
    "PYTHONUNBUFFERED": "1",
}
_SOCKET_BYTES = 95  # sockaddr_un holds 107, and gRPC insists on an absolute path
_LOAD_SECONDS = 120.0
_LAST_PORT = 65_535
PAGE = "page"


def environment(settings: Settings, extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of every child: Dagster's folder and storage, telemetry off, ours, `extra` last."""
    return child_environment({**QUIET, **_RESTING, **dagster_environment(settings), **extra})


def log_folder(settings: Settings) -> Path:
    """Where the processes' logs are."""
    return settings.data_dir / "logs"


def code_socket(settings: Settings) -> Path:
    """The code server's Unix socket: in the data folder, or a private one where that path is too long."""
    path = settings.data_dir / "run" / "code.sock"
    if len(str(path).encode()) <= _SOCKET_BYTES:
        return path
    return Path(tempfile.mkdtemp(prefix="millrace-")) / "code.sock"


def warm_process(settings: Settings, env: Mapping[str, str]) -> ChildProcess:
    """The process that runs are forked from. Launches that come while it still imports wait at its socket."""
    path = launcher_socket(settings)
    clients = [library for connector in connectors() for library in installed(connector.libraries)]
    watched = [str(path) for path in (*settings.watched_code, settings.streams_file)]
    return _python(
        settings, env, "warm", "-m", "orchestration.warm", "--socket", str(path), "--module", DEFINITIONS,
        "--log-dir", str(log_folder(settings) / "runs"), "--working-directory", str(PRODUCT_DIR),
        "--stall-seconds", str(_stall_seconds(settings)),
        *(part for place in watched for part in ("--watch", place)),
        *(part for name in clients for part in ("--client", name)), ready=path.exists,
        stop_timeout_s=25.0,
    )  # fmt: skip


def _stall_seconds(settings: Settings) -> float:
    """How long a run may not get on; a batch may take as long as it is allowed to read, and then loads."""
    limit = settings.run_stall_seconds
    return max(limit, 3 * settings.batch_max_seconds) if limit else 0.0


def code_server(settings: Settings, env: Mapping[str, str], *, path: Path) -> CodeServer:
    """What holds the definitions for the daemon and the web server."""

    def process(socket: Path) -> ChildProcess:
        return _python(
            settings, env, "code-server", "-m", "orchestration.code_server", "--socket", str(socket),
            "--module-name", DEFINITIONS, "--working-directory", str(PRODUCT_DIR),
            "--location-name", "millrace", "--lazy-load-user-code", "--log-level", "warning",
            ready=lambda: listens(socket),
        )  # fmt: skip

    return CodeServer("code-server", address=path, process=process)


def daemon(settings: Settings, env: Mapping[str, str], *, path: Path) -> ChildProcess:
    """The process that evaluates sensors and schedules."""
    workspace = str(_workspace(settings, path))
    return _python(settings, env, "daemon", "-m", "orchestration.daemon", "--workspace", workspace)


def web_server(settings: Settings, env: Mapping[str, str], *, path: Path, port: int) -> ChildProcess:
    """The web UI."""
    workspace = str(_workspace(settings, path))
    return _python(
        settings, env, "web", "-m", "orchestration.web", "--port", str(port), "--workspace", workspace
    )


def exporter(settings: Settings, env: Mapping[str, str]) -> ChildProcess:
    """What Prometheus asks."""
    return _python(settings, env, "metrics", "-m", "orchestration.metrics")


def page_server(settings: Settings, env: Mapping[str, str], *, port: int) -> ChildProcess:
    """The live page."""
    return _python(settings, env, PAGE, "-m", "orchestration.page", "--port", str(port))


def questions(
    settings: Settings, *, path: Path, web: WebClient | None, page: WebClient | None = None
) -> dict[str, Question]:
    """How the processes that serve others are asked whether they work.

    Args:
        settings: Of the running system.
        path: The code server's socket.
        web: Reaches the web UI; None without one.
        page: Reaches the live page; None without one.
    """
    asked = {
        # A launch after an edit waits for the code to load, and nobody is answered meanwhile.
        "warm": Question(partial(answers_line, launcher_socket(settings), b'{"op": "ping"}'), 120.0),
        "code-server": Question(partial(answers_grpc, path), 60.0),
    }
    if web is not None:
        asked["web"] = Question(partial(web.answers, timeout_s=ANSWER_SECONDS), 60.0)
    if page is not None:
        asked[PAGE] = Question(partial(page.answers, timeout_s=ANSWER_SECONDS), 60.0)
    return asked


def collector(settings: Settings, env: Mapping[str, str], member: Member) -> ChildProcess:
    """The listener that fills spools of one kind's streams."""
    return _python(settings, env, member.name, "-m", "ingestion.collect", member.key)


def publisher(settings: Settings, env: Mapping[str, str]) -> ChildProcess:
    """What publishes the marts to PostgreSQL."""
    return _python(settings, env, "serving", "-m", "orchestration.serving")


def choose_ui_port(settings: Settings) -> int:
    """The configured port if it is free; a free one for 0.

    Raises:
        ConfigError: Another program listens there, the address is not this machine's, or it would be open
            to strangers.
    """
    access(settings)
    return _listenable(
        settings.ui_host, settings.ui_port, "the web UI",
        "set MILLRACE_UI_PORT to a free port, or use --no-ui",
    )  # fmt: skip


def choose_page_port(settings: Settings) -> int:
    """The configured port of the live page if it is free; without one, the port after the web UI's.

    Raises:
        ConfigError: As choose_ui_port does.
    """
    access(settings)
    port = settings.page_port
    if port is None:
        port = settings.ui_port + 1 if 0 < settings.ui_port < _LAST_PORT else 0
    return _listenable(
        settings.ui_host, port, "the live page", "set MILLRACE_PAGE_PORT to a free port, or use --no-ui"
    )


def require_metrics_door(settings: Settings) -> None:
    """Require that the exporter can listen where the settings say, if they want one.

    Raises:
        ConfigError: Another program listens there, the address is not this machine's, or the metrics would be
            open to strangers.
    """
    opened = door(settings)
    if opened is not None:
        _listenable(
            opened.host, opened.port, "the exporter of metrics", "set MILLRACE_METRICS_PORT to a free port"
        )


def serving_door(settings: Settings) -> Tcp | None:
    """Where the embedded PostgreSQL lets BI tools in over TCP; None where the settings name no port.

    It has no TLS of its own: the wheel's PostgreSQL is built without.

    Raises:
        ConfigError: Passwords and rows would cross a network in the open.
    """
    if settings.serving_port is None:
        return None
    if not (is_loopback(settings.serving_host) or settings.ui_tls_elsewhere):
        raise ConfigError(
            f"marts would be read on {settings.serving_host} without TLS, which the embedded PostgreSQL does "
            "not have: leave MILLRACE_SERVING_HOST at 127.0.0.1, name a server of yours in MILLRACE_SERVING, "
            "or set MILLRACE_UI_TLS_ELSEWHERE where a proxy or a network of its own encrypts"
        )
    return Tcp(settings.serving_host, settings.serving_port)


def require_serving_door(settings: Settings) -> None:
    """Require that the embedded PostgreSQL can listen where the settings say, if it is to.

    Raises:
        ConfigError: Another program listens there, the address is not this machine's, or it would be open.
    """
    opened = serving_door(settings)
    if opened is not None and settings.catalog is None:
        _listenable(
            opened.host, opened.port, "PostgreSQL for BI tools", "set MILLRACE_SERVING_PORT to a free port"
        )


def _listenable(host: str, port: int, what: str, remedy: str) -> int:
    """The port, for 0 a free one, if something can listen there."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(f"{what} cannot listen on {host}:{port} ({error.strerror}): {remedy}") from None
        return int(probe.getsockname()[1])


def _workspace(settings: Settings, path: Path) -> Path:
    """The file that names the code server for Dagster; in the UI it is called millrace."""
    file = dagster_home(settings) / "workspace.yaml"
    server = {"grpc_server": {"socket": str(path), "location_name": "millrace"}}
    file.write_text(yaml.safe_dump({"load_from": [server]}))
    return file


def ui_answers(settings: Settings, port: int) -> bool:
    """Whether the web UI accepts connections."""
    try:
        socket.create_connection((local_host(settings), port), timeout=1).close()
    except OSError:
        return False
    return True


def _python(
    settings: Settings,
    env: Mapping[str, str],
    name: str,
    *arguments: str,
    ready: Callable[[], bool] = lambda: True,
    stop_timeout_s: float = 15.0,
) -> ChildProcess:
    """A process of Python in the project's folder, from which it imports nothing (-P)."""
    return ChildProcess(
        ProcessSpec(
            name=name,
            argv=(sys.executable, "-P", *arguments),
            log_folder=log_folder(settings),
            ready=ready,
            ready_timeout_s=_LOAD_SECONDS,
            stop_timeout_s=stop_timeout_s,
            env=env,
            cwd=settings.project,
        )
    )


def listens(path: Path) -> bool:
    """Whether something accepts connections on this Unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
