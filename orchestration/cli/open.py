"""`millrace open`: the web UI's address, in a browser where there is one."""

import webbrowser
from pathlib import Path

from ingestion.errors import MillraceError
from ingestion.settings import Settings
from orchestration.cli.context import out
from orchestration.records.reader import DagsterRecords
from orchestration.records.system_state import read_system_state

_IN_THE_TERMINAL = frozenset({"www-browser", "links", "elinks", "lynx", "w3m"})


def open_ui(settings: Settings, *, run: str | None) -> int:
    """Print the address and open it.

    Args:
        settings: Where the data folder is.
        run: A run's id or how it begins; None for the first page.

    Returns:
        The exit code.

    Raises:
        MillraceError: Nothing runs, it has no UI, or there is no such run.
    """
    state = read_system_state(settings.data_dir)
    if state is None:
        raise MillraceError(f"nothing runs on {settings.data_dir}: 'millrace up' starts it")
    if not state.ui_url:
        raise MillraceError(f"what runs on {settings.data_dir} has no web UI: start it again without --no-ui")
    address = state.ui_url
    if run is not None:
        records = DagsterRecords(settings)
        try:
            found = records.run_ids(run)
        finally:
            records.close()
        if len(found) != 1:
            what = "no run has" if not found else f"{len(found)} runs have"
            raise MillraceError(f"{what} an id that begins with '{run}': 'millrace status' shows the newest")
        address = f"{address}/runs/{found[0]}"
    out.print(address)
    if not _is_open(address):
        out.print("No browser was found here: open the address in yours.", style="dim")
    return 0


def _is_open(address: str) -> bool:
    """Whether a browser took it; one that runs in the terminal is not asked."""
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return False
    if Path(str(getattr(browser, "name", ""))).name in _IN_THE_TERMINAL:
        return False
    return browser.open(address)
