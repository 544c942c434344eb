"""`make superset`: Superset with the plant's dashboard, beside a running Millrace, until Ctrl-C."""

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path

from deploy.superset.bundle import SLUG, packed, unpack
from deploy.superset.client import Client, Refused
from deploy.superset.environment import environment
from deploy.superset.server import USER, Superset
from ingestion.errors import MillraceError, ServingUnavailable
from ingestion.settings import load_settings
from orchestration.services.process import ServiceError
from orchestration.serving.look import Door, look

_REPOSITORY = Path(__file__).resolve().parents[2]
_CACHE = _REPOSITORY / ".superset"


def main() -> int:
    """Run it; the exit code."""
    given = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
    overrides = {"data_dir": given.data_dir} if given.data_dir else {}
    try:
        door, password = _marts(overrides)
        superset = Superset(environment(given.cache), given.home or given.cache / "home", port=given.port)
        superset.start()
        try:
            client = Client(superset.url, USER, superset.password())
            if given.export:
                _export(client)
            else:
                _import(client, door, password)
                print(
                    f"{superset.url}/superset/dashboard/{SLUG}/ · user {USER}, password in "
                    f"{superset.password_file}; Ctrl-C ends Superset",
                    flush=True,
                )
                while superset.is_running():
                    time.sleep(1)
                raise ServiceError(f"Superset ended; its log is in {superset.password_file.parent / 'logs'}")
        finally:
            superset.stop()
    except KeyboardInterrupt:
        return 0
    except (MillraceError, ServiceError, Refused, subprocess.SubprocessError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make superset", description=__doc__)
    parser.add_argument(
        "--data-dir", type=Path, help="the running Millrace's data folder (default: its settings)"
    )
    parser.add_argument("--port", type=int, default=8088, help="of Superset on 127.0.0.1 (default: 8088)")
    parser.add_argument("--cache", type=Path, default=_CACHE, help="where its environment is kept")
    parser.add_argument("--home", type=Path, help="Superset's own folder (default: CACHE/home)")
    parser.add_argument(
        "--export",
        action="store_true",
        help="write the dashboard as Superset has it into deploy/superset/dashboard",
    )
    return parser.parse_args()


def _marts(overrides: dict[str, object]) -> tuple[Door, str]:
    """Where the marts are, and the reader's password.

    Raises:
        ServingUnavailable: No Millrace runs, or it listens on no port.
    """
    door, _ = look(load_settings(**overrides))
    if door.is_socket:
        raise ServingUnavailable(
            "the marts listen on a socket only: start Millrace with MILLRACE_SERVING_PORT=5433, as in "
            "'MILLRACE_SERVING_PORT=5433 make demo'"
        )
    if not door.password_file:
        raise ServingUnavailable(
            f"the password of the role {door.role} is not in the data folder: its owner has set it; add the "
            "database in Superset by hand"
        )
    return door, Path(door.password_file).read_text(encoding="utf-8").strip().rpartition(":")[2]


def _import(client: Client, door: Door, password: str) -> None:
    bundle, passwords = packed(door.url, password)
    client.send_file("assets/import/", field="bundle", content=bundle, fields={"passwords": passwords})


def _export(client: Client) -> None:
    for path in unpack(client.read(f"dashboard/export/?q=!({client.dashboard(SLUG)['id']})")):
        print(path)


if __name__ == "__main__":
    sys.exit(main())
