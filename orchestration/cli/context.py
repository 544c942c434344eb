"""What every command shares: the global options, the consoles, settings and streams when they are needed."""

import logging
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from ingestion.declare.stream import Stream
    from ingestion.settings import Settings

_FILE_COLUMNS = 220  # a file or a pipe has no width: do not cut there


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _FILE_COLUMNS
    return Console(stderr=stderr, soft_wrap=True, highlight=False, width=width)


out = _console(stderr=False)
err = _console(stderr=True)


def complain(message: str) -> None:
    """One sentence on stderr."""
    err.print(Text.assemble(("millrace: ", "bold red"), message))


def announce(message: str) -> None:
    """What a command does next, on stderr: stdout holds only the answer."""
    err.print(f"{message} …", markup=False)


@dataclass(frozen=True)
class Globals:
    """The global options.

    Attributes:
        data_dir: --data-dir as given; None when it was not.
        verbose: -v.
    """

    data_dir: Path | None = None
    verbose: bool = False

    def settings(self, *, needs_project: bool = True) -> "Settings":
        """The settings, with --data-dir taken from the current folder.

        Args:
            needs_project: Whether the command works in a project only.
        """
        from ingestion.connectors.registry import connectors
        from ingestion.formats.schema_registry.access import registry_access
        from ingestion.settings import current_project, load_settings

        place = {} if needs_project else {"project": current_project(required=False)}
        settings = load_settings(**place, **self.overrides())
        for connector in connectors():  # a wrong variable is an error of every command, not of some streams
            settings.access(connector.kind, connector.access)
        registry_access(settings)
        return settings

    def overrides(self) -> dict[str, object]:
        """What the command line says about settings."""
        return (
            {} if self.data_dir is None else {"data_dir": (Path.cwd() / self.data_dir.expanduser()).resolve()}
        )

    def streams(self, settings: "Settings") -> "tuple[Stream, ...]":
        """The declared streams; those that wait for their schema are named on stderr and left out."""
        from ingestion.declare.file import read_declared

        found = read_declared(settings)
        for each in found.waiting:
            complain(f"{each.sentence}; it is left out until then")
        return found.streams


def log_to_stderr(*, verbose: bool) -> None:
    """Send log lines to stderr, so that stdout holds only the answer."""
    import structlog

    level = logging.DEBUG if verbose else logging.WARNING
    structlog.configure(
        # The stream of the moment: whoever replaces sys.stderr later may close the one of now.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
    # Libraries log at length what becomes an error of one sentence; a service that ends is worth a line.
    logging.basicConfig(stream=sys.stderr, level=logging.INFO if verbose else logging.ERROR)
    if not verbose:
        logging.getLogger("orchestration").setLevel(logging.WARNING)
        warnings.simplefilter("ignore")  # of libraries, about our platform folders and their own futures
        _quieten_clients()


def _quieten_clients() -> None:
    """Brokers' clients log what becomes an error of one sentence."""
    from ingestion.connectors.registry import connectors

    for connector in connectors():
        for library in connector.libraries:
            logging.getLogger(library.partition(".")[0]).setLevel(logging.CRITICAL)
