"""What watches a system, and its reactions, without the system."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ingestion.settings import load_settings
from orchestration.conditions.condition import Finding
from orchestration.observe.reacting import Reacting
from orchestration.observe.watchman import Watchman
from orchestration.reactions.entries import Entry, read_ledger

NOON = datetime.now(UTC)
"""The present: what is noted in it is not old."""
MODEL = Finding("model_failing", "marts/orders", "Model marts/orders failed: a reason.", "It is tried again.")
DISK = Finding("disk_low", "/data", "the disk is full")
DAEMON = Finding("service_down", "daemon", "daemon does not run")
EVENTS = ("condition_opened", "condition_closed")


class Desk:
    """One on a folder, which is its project, too.

    Args:
        url: Where the setting's alerts go; empty for nowhere.
        more: Further settings.
    """

    def __init__(self, folder: Path, url: str = "", **more: Any) -> None:
        self.folder = folder
        self.settings = load_settings(project=folder, data_dir=folder / "data", alert_webhook_url=url, **more)
        self.watchman, self.reacting = Watchman(self.settings.data_dir), Reacting(self.settings)

    def note(self, findings: Sequence[Finding] = (), *, now: datetime = NOON) -> None:
        """What is wrong now, with what is wrong with the reactions."""
        self.watchman.note([*findings, *self.reacting.findings()], now=now)
        self.look(now=now)

    def look(self, *, now: datetime = NOON) -> None:
        """As the main loop does."""
        self.reacting.look(self.watchman, now=now)

    def entries(self, *states: str) -> list[Entry]:
        """What the ledger's file holds, in all states or in some."""
        held = read_ledger(self.settings.data_dir).entries.values()
        return [each for each in held if not states or each.state in states]

    def noted(self) -> list[tuple[str, str]]:
        """Event and subject of what the ledger's file holds."""
        contents = [each.notice.content for each in self.entries()]
        return [(each["event"], each["subject"]) for each in contents]

    def said(self) -> dict[str, str]:
        """Subject → what is wrong with the reactions."""
        return {each.subject: each.sentence for each in self.reacting.findings()}

    @contextmanager
    def sending(self) -> "Iterator[Desk]":
        """Send while the block runs."""
        self.look()
        self.reacting.start(self.settings)
        try:
            yield self
        finally:
            self.reacting.stop()
