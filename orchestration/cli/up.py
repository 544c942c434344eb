"""`millrace up` and `millrace down`: the whole system in the foreground, and its end from another shell."""

from contextlib import suppress
from pathlib import Path

from ingestion.data_folder import demo_hint, is_demo
from ingestion.environment import take_variable
from ingestion.errors import ConfigError
from ingestion.settings import Settings
from orchestration.cli.context import out
from orchestration.cli.live import addresses, interruptible, progress, watch
from orchestration.services.postgres import EmbeddedPostgres
from orchestration.system.data_folder import require_usable
from orchestration.system.lock import forget, only_system, stop_running
from orchestration.system.running import System
from orchestration.system.service_manager import ServiceManager, describe


def up(settings: Settings, *, ui: bool) -> int:
    """Start everything and keep it running until Ctrl-C or SIGTERM.

    Returns:
        The exit code: 0, because it was asked to stop.
    """
    require_usable(settings.data_dir)
    with only_system(settings.data_dir), interruptible() as interrupted, suppress(KeyboardInterrupt):
        if is_demo(settings.data_dir):
            raise ConfigError(
                f"{settings.data_dir} is a demo's folder, whose brokers are gone: leave out --data-dir, or "
                "name another folder; 'millrace new' makes a project for streams of your own"
            )
        manager = ServiceManager(take_variable("NOTIFY_SOCKET"))

        def report(message: str) -> None:
            progress(message)
            manager.status(message)

        system = System(settings, mode="up", ui=ui, progress=report, alive=manager.alive)
        try:
            system.start()
            manager.ready()
            watch(
                system,
                title=_title(system),
                until=interrupted,
                checked=lambda services: manager.status(describe(services, system.conditions)),
            )
        finally:
            out.print("stopping …")
            manager.stopping()
            system.stop()
    return 0


def _title(system: System) -> str:
    return f"Millrace runs on {system.settings.data_dir}{addresses(system)}"


def down(settings: Settings) -> int:
    """Stop what runs on the data folder, and a PostgreSQL that a killed system left running.

    Returns:
        The exit code.
    """
    if not settings.data_dir.is_dir():
        out.print(_nothing_runs(settings.data_dir))
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
        out.print(_nothing_runs(settings.data_dir))
    forget(settings.data_dir)
    return 0


def _nothing_runs(data_dir: Path) -> str:
    return f"nothing runs on {data_dir}{demo_hint(data_dir)}"
