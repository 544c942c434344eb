"""The reactions of a running system: as declared now, each with its courier, and what is wrong with them."""

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from ingestion.durable import make_folder, replace_file
from ingestion.errors import ConfigError
from ingestion.project import REACTIONS_FILE
from ingestion.settings import Settings
from ingestion.telemetry.spans import Spans, open_spans
from orchestration.conditions.condition import Finding
from orchestration.observe.courier import Courier, stop
from orchestration.observe.watchman import Watchman
from orchestration.reactions.declared import (
    Reaction,
    load_reactions,
    own_reaction,
    reactions_file,
    read_reactions,
)
from orchestration.reactions.ledger import Ledger
from orchestration.reactions.requests import take_in
from orchestration.reactions.ways import Launch

IN_USE = Path("conditions") / "reactions_in_use.yml"
"""What was read last without a mistake: for a start at which the project's file has one."""
_log = logging.getLogger(__name__)
_STAYS = "What was declared before stays in use; a corrected file is taken in within seconds."


class Reacting:
    """One a running system. `look` is called from its main loop.

    Args:
        settings: As loaded.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._file = reactions_file(settings)
        self._ledger = Ledger(settings.data_dir)
        self._couriers: dict[str, Courier] = {}
        self._reactions: tuple[Reaction, ...] = ()
        self._read: bytes | None = None
        self._begun = False
        self._complaint = ""
        self._sends = False
        self._spans: Spans | None = None
        self._launch: Launch | None = None

    def start(self, settings: Settings, *, launch: Launch | None = None) -> None:
        """Begin to send.

        Args:
            settings: Hold the secrets.
            launch: Runs jobs; None where no web UI runs.
        """
        self._settings, self._launch, self._sends = settings, launch, True
        self._spans = open_spans(settings, part="reactions")
        for name in self._couriers:
            self._couriers[name] = self._courier(self._couriers[name].reaction)
            self._couriers[name].worker.start()

    def look(self, watchman: Watchman, *, now: datetime) -> None:
        """Take in an edited file and what operators ask for, and note what reactions are to hear of.

        Args:
            watchman: Knows the conditions.
            now: UTC.

        Raises:
            StorageError: A file cannot be written; reactions hear of everything all the same.
        """
        self._take_in_file()
        try:
            take_in(self._settings.data_dir, self._ledger, now=now)
        finally:
            before = self._ledger.noted
            watchman.hand_over(self._reactions, self._ledger, now=now)
            if self._ledger.noted != before:
                for courier in self._couriers.values():
                    courier.wake()

    def findings(self) -> Iterator[Finding]:
        """What is wrong with them."""
        if self._complaint:
            yield Finding("reactions_file_refused", REACTIONS_FILE, self._complaint, _STAYS)
        for courier in tuple(self._couriers.values()):
            yield from courier.findings()
        for name, counts in sorted(self._ledger.counts().items()):
            waiting = sum(counts[state] for state in ("pending", "held", "batched", "failed"))
            if waiting and name not in self._couriers:
                yield Finding(
                    "alert_undelivered", name,
                    f"{waiting:,} alerts wait for '{name}', which is not declared any more",
                    f"Declare it in {REACTIONS_FILE}, or 'millrace reactions dismiss {name} --note …'.",
                )  # fmt: skip

    def stop(self) -> None:
        """End."""
        stop(tuple(self._couriers.values()))
        if self._spans is not None:
            self._spans.close()

    def _courier(self, reaction: Reaction) -> Courier:
        return Courier(reaction, self._ledger, self._settings, launch=self._launch, spans=self._spans)

    def _take_in_file(self) -> None:
        try:
            content = self._file.read_bytes()
        except FileNotFoundError:
            content = b""
        except OSError as error:
            self._read = None
            self._refuse(f"{self._file} cannot be read ({error.strerror or error}); repair its permissions")
            return
        if content == self._read:
            return
        self._read = content
        try:
            self._use(read_reactions(content.decode()))
        except UnicodeDecodeError:
            self._refuse(f"{REACTIONS_FILE} is not UTF-8: save it as that")
        except ConfigError as error:
            self._refuse(str(error))
        else:
            self._complaint = ""
            self._remember(content)

    def _refuse(self, complaint: str) -> None:
        self._complaint = complaint
        if not self._begun:
            self._use(self._from_before())

    def _remember(self, content: bytes) -> None:
        path = self._settings.data_dir / IN_USE
        try:
            if content or path.exists():
                make_folder(path.parent)
                replace_file(path, content)
        except OSError as error:  # it is for a start with a mistake only
            _log.warning("%s cannot be written: %s", path, error.strerror or error)

    def _from_before(self) -> tuple[Reaction, ...]:
        """What the system before this one used."""
        try:
            return load_reactions(self._settings.data_dir / IN_USE)
        except ConfigError:
            return ()

    def _use(self, declared: Sequence[Reaction]) -> None:
        self._begun = True
        own = (own_reaction(),) if self._settings.alert_webhook_url is not None else ()
        self._reactions = reactions = (*own, *declared)
        wanted = {each.name: each for each in reactions}
        gone = [name for name, each in self._couriers.items() if wanted.get(name) != each.reaction]
        stop([self._couriers.pop(name) for name in gone])
        for name, reaction in wanted.items():
            if name not in self._couriers:
                self._couriers[name] = self._courier(reaction)
                if self._sends:
                    self._couriers[name].worker.start()
