"""`millrace up` on a project of its own, and everything that shows its conditions."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console

from ingestion.settings import load_settings
from orchestration.cli.live import render
from orchestration.conditions.journal import open_conditions
from orchestration.reactions.entries import read_ledger
from orchestration.records.overview import OverviewReader
from orchestration.records.system_state import SystemState, read_system_state
from tests.servers.browser import Browser
from tests.servers.mosquitto import Mosquitto
from tests.servers.terminal import Terminal
from tests.servers.webhook import Webhook
from tests.waiting import eventually

MILLRACE = Path(sys.executable).with_name("millrace")
PAGER_URL = "PAGER_URL"
REACTIONS = "pager: {{send: {{webhook: {{url_env: PAGER_URL}}}}}}\n"
"""Beside the setting's reaction, one that the project declares hears of everything, too."""
PATIENCE_SECONDS = 150.0  # of a busy machine; alerts of brokers wait for 30 s
_PAGE = "assets/millrace/conditions?view=checks&checkDetail="
_ASKED = """
{ assetNodeOrError(assetKey: {path: ["millrace", "conditions"]}) { ... on AssetNode { assetChecksOrError {
  ... on AssetChecks { checks { name executionForLatestMaterialization { evaluation { success } } } } } } } }
"""


class System:
    """One system.

    Args:
        folder: Becomes its project.
        number: In the names of its streams and topics.
        environment: Of its processes, beside its settings.
        variables: Its settings, without their prefix.
    """

    def __init__(
        self,
        folder: Path,
        *,
        kafka: str,
        mosquitto: Mosquitto | None = None,
        hook: Webhook,
        number: int,
        environment: Mapping[str, str] | None = None,
        **variables: object,
    ) -> None:
        self.folder, self.number, self.hook = folder, number, hook
        self.data_dir = folder / ".millrace"
        own = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "UI_PORT": 0,
            "ALERT_WEBHOOK_URL": hook.url,
        }
        if mosquitto is not None:
            own |= {"MQTT_HOST": mosquitto.host, "MQTT_PORT": mosquitto.port}
        self._settings = {**own, **variables}
        self._environment = os.environ | {PAGER_URL: hook.url} | (environment or {})
        self._environment |= {f"MILLRACE_{n}": str(value) for n, value in self._settings.items()}
        self._terminal: Terminal | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.run("new", str(folder), cwd=folder.parent)
        self.write("reactions.yml", REACTIONS)

    def run(self, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command line of the project's."""
        return subprocess.run(
            [MILLRACE, *arguments], cwd=cwd or self.folder, env=self._environment | {"COLUMNS": "500"},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def set(self, name: str, value: object) -> None:
        """Change one of its settings, for its next start; DATA_DIR takes it to another folder."""
        self._environment[f"MILLRACE_{name}"] = str(value)
        if name == "DATA_DIR":
            self.data_dir = Path(str(value))
        else:
            self._settings[name] = value

    def variable(self, name: str) -> object:
        """One of its settings."""
        return self._settings[name]

    def write(self, name: str, text: str, **values: object) -> None:
        """Write a file of the project; `{n}` in its text is the system's number."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(n=self.number, **values))

    def stage(self, *streams: str) -> None:
        """Write the staging models of streams."""
        for name in streams:
            self.write(
                f"dbt_project/models/staging/stg_{name}{self.number}.sql",
                f"{{{{{{{{ staging('{name}{{n}}') }}}}}}}}",
            )

    def start_in_a_terminal(self) -> None:
        """Where it draws the live view."""
        self._terminal = Terminal([MILLRACE, "up"], cwd=self.folder, env=self._environment)
        eventually(lambda: "Millrace runs" in self.live_view(), "it runs", seconds=PATIENCE_SECONDS)

    def start(self) -> None:
        """Without a terminal, where it prints a line for what changes."""
        with (self.folder / "up.log").open("w") as log:
            self._process = subprocess.Popen(
                [MILLRACE, "up"], cwd=self.folder, env=self._environment, stdout=log, stderr=log
            )
        eventually(lambda: "Millrace runs" in self.output(), "it runs", seconds=PATIENCE_SECONDS)

    def stop(self) -> None:
        """End what runs."""
        for process in (self._process, self._terminal and self._terminal.process):
            if process is not None and process.poll() is None:
                process.terminate()
                process.wait(timeout=60)
        if self._terminal is not None:
            self._terminal.close()
        self._terminal = self._process = None

    def live_view(self) -> str:
        """What the terminal shows; without one, what a terminal would show now."""
        if self._terminal is None:
            return self._rendered()
        assert self._terminal.process.poll() is None, self._terminal.written()[-3000:]
        return self._terminal.view()

    def _rendered(self) -> str:
        given = {name.lower(): value for name, value in self._settings.items()}
        settings = load_settings(project=self.folder, data_dir=self.data_dir, **given)
        reader = OverviewReader(settings, ())
        try:
            seen = reader.read()
        finally:
            reader.close()
        view = render(
            seen, seen.services, title="", conditions=seen.conditions, rates={}, now=datetime.now(UTC)
        )
        console = Console(file=StringIO(), width=600, height=200)
        with console.capture() as shown:
            console.print(view)
        return " ".join(shown.get().split())

    def output(self) -> str:
        """What it printed without a terminal."""
        return (self.folder / "up.log").read_text()

    def status(self) -> Any:
        """`status --json`."""
        return json.loads(self.run("status", "--json").stdout)

    def check(self) -> int:
        """The exit code of `status --check`."""
        return self.run("status", "--check").returncode

    def names(self) -> set[str]:
        """The kinds that are open."""
        return {each.finding.name for each in open_conditions(self.data_dir)}

    def state(self) -> SystemState:
        """What the system publishes of itself."""
        state = read_system_state(self.data_dir)
        assert state is not None
        return state

    def pid(self, service: str) -> int | None:
        """Of a service's process."""
        return next((row.pid for row in self.state().services if row.name == service), None)

    def alerted(self, event: str) -> set[str]:
        """The kinds of which an opening or an end was posted."""
        return {each["name"] for each in self.hook.taken if each["event"] == event}

    def ask(self, query: str, **variables: object) -> Any:
        """Ask the web UI's GraphQL."""
        request = urllib.request.Request(
            f"{self.state().ui_url}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["data"]

    def failed_in_the_ui(self) -> set[str]:
        """The kinds whose check fails in the web UI."""
        checks = self.ask(_ASKED)["assetNodeOrError"]["assetChecksOrError"]["checks"]
        runs = {each["name"]: each["executionForLatestMaterialization"] or {} for each in checks}
        return {name for name, run in runs.items() if not (run.get("evaluation") or {}).get("success", True)}

    def require_shown(self, wanted: Iterable[str], browser: Browser) -> dict[str, str]:
        """Find each kind by its sentence in status, live view, doctor, browser and alert.

        Returns:
            Kind → its sentence.

        Raises:
            AssertionError: One of them does not show one of them.
        """
        wanted = frozenset(wanted)
        eventually(lambda: wanted <= self.names(), f"{sorted(wanted)} are open", seconds=PATIENCE_SECONDS)
        sentences: dict[str, str] = {}

        def listed() -> bool:
            sentences.update({each["name"]: each["sentence"] for each in self.status()["conditions"]})
            return wanted <= sentences.keys()

        eventually(listed, f"status --json has {sorted(wanted)}", seconds=PATIENCE_SECONDS)
        # What a condition says may change while it is looked for: a sensor fails for another reason now.
        said = {kind: {sentences[kind]} for kind in wanted}

        def of(kind: str) -> set[str]:
            said[kind] |= {
                each.finding.sentence for each in open_conditions(self.data_dir) if each.finding.name == kind
            }
            return said[kind]

        def require(kind: str, where: str, read: Callable[[], str]) -> None:
            try:
                eventually(lambda: _shows(read(), of(kind)), where, seconds=PATIENCE_SECONDS)
            except AssertionError as error:
                raise AssertionError(f"{error} lacks each of {said[kind]}; it is: {read()}") from None

        address = self.state().ui_url
        assert self.check() == 1
        printed, examined = self.run("status").stdout, self._problems()
        for kind in sorted(wanted):
            if not _shows(printed, of(kind)):
                require(kind, "status", lambda: self.run("status").stdout)
            if not _shows(examined, of(kind)):
                require(kind, "doctor", self._problems)
            if self._terminal is None:
                require(kind, "the output", self.output)
            require(kind, "the live view", self.live_view)
            browser.require_shown(f"{address}/{_PAGE}{kind}", partial(of, kind))
        for kind in sorted(wanted - {"alert_undelivered"}):
            require(kind, "the webhook", lambda: "\n".join(each["sentence"] for each in self.hook.taken))
        assert wanted - {"alert_undelivered"} <= self.alerted("condition_opened")
        return sentences

    def _problems(self) -> str:
        examined = json.loads(self.run("doctor", "--json").stdout)
        return " ".join(each["message"] for each in examined if each["state"] == "problem")

    def require_over(self, kinds: Iterable[str]) -> None:
        """Wait until nothing is open, and find the ends of these kinds on every surface.

        Raises:
            AssertionError: One does not end.
        """
        kinds = frozenset(kinds)
        eventually(lambda: not kinds & self.names(), "these are over", seconds=2 * PATIENCE_SECONDS)
        # A busy machine has conditions of its own that come and go.
        eventually(lambda: self.check() == 0, "status has nothing open", seconds=PATIENCE_SECONDS)
        kinds -= {"alert_undelivered"}
        eventually(lambda: kinds <= self.alerted("condition_closed"), "ends were posted", seconds=60)
        eventually(lambda: not self.failed_in_the_ui(), "the web UI shows none", seconds=PATIENCE_SECONDS)
        eventually(
            lambda: "not work:" not in self.live_view(), "nor does the live view", seconds=PATIENCE_SECONDS
        )

    def require_each_end_once(self) -> None:
        """Each reaction took each condition's opening and then its end, once, as its ledger says.

        Raises:
            AssertionError: It has not.
        """

        def posted(word: str) -> list[str]:
            return sorted(each["subject"] for each in self.hook.taken if each["event"] == f"condition_{word}")

        eventually(
            lambda: posted("opened") == posted("closed"), "each end was posted", seconds=PATIENCE_SECONDS
        )
        for reaction in ("webhook", "pager"):
            taken = [each for each in self.hook.taken if each["reaction"] == reaction]
            about: dict[str, list[str]] = {}
            for alert in taken:
                about.setdefault(re.sub("-(opened|closed)-", "-", alert["key"]), []).append(alert["event"])
            assert {*map(tuple, about.values())} == {("condition_opened", "condition_closed")}, reaction
            eventually(
                lambda: self._delivered(reaction) == {each["key"]: each for each in taken},  # noqa: B023
                f"the ledger of {reaction} is what was taken",
            )

    def _delivered(self, reaction: str) -> dict[str, dict[str, Any]]:
        """Key → what its ledger says was delivered to a reaction."""
        return {
            each.notice.key: dict(each.notice.content)
            for each in read_ledger(self.data_dir).entries.values()
            if each.notice.reaction == reaction and each.state == "delivered"
        }


def _shows(text: str, sentences: Iterable[str]) -> bool:
    """Whether one of them is in it, wherever its lines are broken."""
    shown = "".join(text.split())
    return any("".join(each.split()) in shown for each in sentences)
