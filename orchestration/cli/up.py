"""`millrace up` and `millrace down`: the whole system in the foreground, and its end from another shell."""

from contextlib import suppress

from ingestion.errors import ConfigError
from ingestion.settings import DEMO_MARKER, Settings
from orchestration.cli.context import out
from orchestration.cli.live import interruptible, progress, watch
from orchestration.services.postgres import EmbeddedPostgres
from orchestration.system.data_folder import require_usable
from orchestration.system.lock import forget, only_system, stop_running
from orchestration.system.running import System


def up(settings: Settings, *, ui: bool) -> int:
    """Start everything and keep it running until Ctrl-C or SIGTERM.

    Returns:
        The exit code: 0, because it was asked to stop.
    """
    require_usable(settings.data_dir)
    with only_system(settings.data_dir), interruptible() as interrupted, suppress(KeyboardInterrupt):
        if (settings.data_dir / DEMO_MARKER).exists():
            raise ConfigError(
                f"{settings.data_dir} holds a demo lake, whose brokers are gone: name another folder with "
                "--data-dir or MILLRACE_DATA_DIR, or delete this one; 'millrace new' makes a project for "
                "streams of your own"
            )
        system = System(settings, mode="up", ui=ui, progress=progress)
        try:
            system.start()
            watch(system, title=_title(system), until=interrupted)
        finally:
            out.print("stopping …")
            system.stop()
    return 0


def _title(system: System) -> str:
    where = f"Millrace runs on {system.settings.data_dir}"
    return f"{where}; {system.ui_url} is the web UI" if system.ui_url else where


def down(settings: Settings) -> int:
    """Stop what runs on the data folder, and a PostgreSQL that a killed system left running.

    Returns:
        The exit code.
    """
    if not settings.data_dir.is_dir():
        out.print(f"nothing runs on {settings.data_dir}")
        return 0
    with out.status("stopping …"):
        pid = stop_running(settings.data_dir)
    if pid is not None:
        out.print(f"stopped what ran on {settings.data_dir} (pid {pid})")
        return 0
    postgres = EmbeddedPostgres(settings.data_dir / "postgres")
    if postgres.is_running():
        postgres.stop()
        out.print(f"stopped a left-over PostgreSQL on {settings.data_dir}")
    else:
        out.print(f"nothing runs on {settings.data_dir}")
    forget(settings.data_dir)
    return 0
