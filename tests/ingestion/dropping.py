"""A process in a network of its own that loses every packet: what connections to PostgreSQL make of that.

`python -m tests.ingestion.dropping SOCKET URL FOLDER` (with PORT in the URL) prints, as JSON, what each
connection ends with, and whether it works again with the packets back.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ingestion.errors import MillraceError
from ingestion.lake.catalog import connect_catalog
from ingestion.lake.lake import Lake
from ingestion.settings import load_settings
from orchestration.records.storage import PooledPostgresStorage
from orchestration.system.instance import dagster_environment
from tests.servers.forwarder import Forwarder

_LOOPBACK = ("tc", "qdisc")


def main(socket: str, url: str, folder: str) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    forwarder = Forwarder(Path(socket))
    settings = load_settings(data_dir=Path(folder), catalog=url.replace("PORT", str(forwarder.port)))
    lake = Lake(settings)
    catalog = connect_catalog(settings, application_name="dropping")
    storage = PooledPostgresStorage(dagster_environment(settings)["MILLRACE_DAGSTER_STORAGE"])

    def ask_catalog() -> None:
        with catalog.cursor() as cursor:
            cursor.execute("select 1")

    questions: dict[str, Callable[[], object]] = {
        "catalog": ask_catalog,
        "lake": lake.snapshot_id,
        "storage": storage.run_storage.get_daemon_heartbeats,
    }
    for ask in questions.values():
        ask()
    subprocess.run([*_LOOPBACK, "add", "dev", "lo", "root", "blackhole"], check=True)
    with ThreadPoolExecutor(len(questions)) as pool:
        errors = dict(zip(questions, pool.map(_error, questions.values()), strict=True))
    refused = _error(lambda: connect_catalog(settings, application_name="dropping"))
    subprocess.run([*_LOOPBACK, "del", "dev", "lo", "root"], check=True)
    lake.close()
    connect_catalog(settings, application_name="dropping").close()
    again = lake.snapshot_id()
    print(json.dumps({"errors": errors, "new": refused, "again": again}))
    sys.stdout.flush()
    forwarder.close()


def _error(ask: Callable[[], object]) -> str:
    """What a question ends with; empty when it is answered."""
    try:
        ask()
    except MillraceError as error:
        return str(error)
    except Exception as error:
        return type(error).__name__
    return ""


if __name__ == "__main__":
    main(*sys.argv[1:])
