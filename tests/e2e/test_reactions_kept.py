"""Alerts beside replay, full refresh, backup and restore, by the real commands: nobody is paged again."""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingestion.settings import load_settings
from orchestration.conditions.rule_alerts import rule_alert_findings
from orchestration.observe.reacting import Reacting
from orchestration.observe.watchman import Watchman
from orchestration.reactions.entries import Entry, read_ledger
from tests.e2e.conditions.system import PATIENCE_SECONDS, System
from tests.ingestion.helpers import produce
from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.receiver import BUSY, REFUSE, RESET, Receiver
from tests.servers.webhook import Webhook
from tests.waiting import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(1800),
    pytest.mark.slow("a whole system is started three times, and its models are built again"),
]
STREAMS = """
kilns{n}:
  source: {{kafka: kilns{n}, start: earliest}}
  event_time: measured_at
  fields: {{device: varchar, celsius: double, measured_at: timestamp}}
"""
RULES = "rule_id,metric,operator,threshold,severity\nhot,celsius,>,80,critical\n"
RUNS = (
    "{{{{ alert_runs(ref('stg_kilns{n}'), rules=ref('alert_rules'), key='device', metrics=['celsius']) }}}}"
)
ALERTS = "{{{{ alerts(ref('int_alert_runs'), rules=ref('alert_rules'), key='device') }}}}"
DECLARED = """
models:
  - name: alerts
    config: {{meta: {{rule_alerts: {{key: device, conditions: [critical]}}}}}}
"""
PAGER = "pager: {{on: {{kinds: [rule_alert]}}, send: {{webhook: {{url_env: PAGER_URL}}}}}}\n"
LAUNCH = """
mutation { launchRun(executionParams: {
  runConfigData: {ops: {models: {config: {full_refresh: true}}}}, selector: {
  repositoryName: "__repository__", repositoryLocationName: "millrace", jobName: "refresh"}}) {
    __typename ... on LaunchRunSuccess { run { runId } } } }
"""
ENDED = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"


class Kilns:
    """The system, its topic, and who is paged."""

    def __init__(self, system: System, kafka: ApacheKafka, receiver: Receiver) -> None:
        self.system, self.receiver, self._kafka = system, receiver, kafka
        self.stream, self.sent = f"kilns{system.number}", 0

    def send(self, device: str, celsius: float) -> None:
        at = datetime.now(UTC).isoformat()
        event = {"device": device, "celsius": celsius, "measured_at": at}
        produce(self._kafka.bootstrap_servers, self.stream, [json.dumps(event).encode()])
        self.sent += 1

    def paged(self, event: str, device: str) -> None:
        """Wait until the receiver took it."""
        wanted = (f"condition_{event}", f"hot of {device}")
        eventually(
            lambda: wanted in self.receiver.events(), f"{wanted} was taken", seconds=2 * PATIENCE_SECONDS
        )

    def everything_is_built(self) -> None:
        """Wait until all that was sent is in the models, and what was noted is delivered."""
        marker = f"marker-{self.sent}"  # of one partition it is the last
        self.send(marker, 99)
        self.paged("opened", marker)

    def requests(self) -> list[str]:
        """The keys that came, as often as they came, without those of markers."""
        return [each.key for each in self.receiver.requests if "marker" not in each.alert["subject"]]

    def entries(self) -> list[Entry]:
        """What the ledger holds for the pager."""
        found = read_ledger(self.system.data_dir).entries.values()
        return [each for each in found if each.notice.reaction == "pager"]

    def nothing_waits(self) -> bool:
        """Whether the ledger says of all that it was delivered."""
        return {each.state for each in self.entries()} == {"delivered"}

    def judge(self) -> None:
        """The ledger is the receiver's own list, each key once, an opening before its end."""
        eventually(self.nothing_waits, "all is delivered", seconds=PATIENCE_SECONDS)
        mine = self.entries()
        taken = self.receiver.alerts()
        assert len({each["key"] for each in taken}) == len(taken)
        assert {each.notice.key for each in mine} == {each["key"] for each in taken}
        for subject in {each["subject"] for each in taken}:
            events = [each["event"] for each in taken if each["subject"] == subject]
            assert events in (["condition_opened"], ["condition_opened", "condition_closed"]), subject


@pytest.fixture
def kilns(tmp_path: Path, apache_kafka: ApacheKafka) -> Iterator[Kilns]:
    number = 4_000 + next(numbers())
    with Webhook() as hook, Receiver([REFUSE, RESET, BUSY]) as receiver:
        system = System(
            tmp_path / "p", kafka=apache_kafka.bootstrap_servers, hook=hook, number=number,
            environment={"PAGER_URL": receiver.url},
        )  # fmt: skip
        apache_kafka.create_topic(f"kilns{number}")
        system.write("streams.yml", STREAMS)
        system.write("reactions.yml", PAGER)
        system.stage("kilns")
        system.write("dbt_project/seeds/alert_rules.csv", RULES)
        system.write("dbt_project/models/intermediate/int_alert_runs.sql", RUNS)
        system.write("dbt_project/models/marts/alerts.sql", ALERTS)
        system.write("dbt_project/models/marts/alerts.yml", DECLARED)
        system.start()
        try:
            yield Kilns(system, apache_kafka, receiver)
        finally:
            system.stop()


def full_refresh(system: System) -> None:
    launched = system.ask(LAUNCH)["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    run = launched["run"]["runId"]

    def ended() -> bool:
        status = system.ask(ENDED, id=run)["runOrError"]["status"]
        assert status not in ("FAILURE", "CANCELED")
        return bool(status == "SUCCESS")

    eventually(ended, "all models are built again", seconds=3 * PATIENCE_SECONDS)


def said(system: System, *command: str) -> None:
    done = system.run(*command)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_replay_and_a_full_refresh_page_nobody_again(kilns: Kilns) -> None:
    system = kilns.system
    kilns.send("k-1", 90)
    kilns.send("k-2", 90)
    kilns.everything_is_built()
    kilns.judge()
    before = kilns.requests()
    said(system, "replay", kilns.stream, "--json")
    full_refresh(system)
    kilns.everything_is_built()
    assert kilns.requests() == before
    kilns.judge()
    kilns.send("k-1", 20)
    kilns.paged("closed", "k-1")


def test_restores_page_nobody_again_and_send_no_end_early(kilns: Kilns, tmp_path: Path) -> None:
    system, backups, fresh = kilns.system, tmp_path / "backups", tmp_path / "fresh"
    kilns.send("k-1", 90)
    kilns.paged("opened", "k-1")
    eventually(kilns.nothing_waits, "the sender knows it, too")
    said(system, "backup", str(backups))
    kilns.send("k-0", 20)
    kilns.send("k-2", 90)  # the backup knows nothing of it
    kilns.everything_is_built()
    kilns.judge()
    before = kilns.requests()

    system.stop()

    said(system, "--data-dir", str(fresh), "restore", str(backups))
    watchman = Watchman(fresh)
    reacting = Reacting(load_settings(project=system.folder, data_dir=fresh))
    watchman.note(rule_alert_findings(fresh), now=datetime.now(UTC))
    reacting.look(watchman, now=datetime.now(UTC))
    heard = [each for each in read_ledger(fresh).entries.values() if each.notice.reaction == "pager"]
    assert [(each.notice.content["subject"], each.state) for each in heard] == [("hot of k-1", "delivered")]
    assert [each.finding.subject for each in watchman.open()] == ["hot of k-1"]

    for part in ("lake", "postgres", "spool"):  # the folder goes on, with a lake from before
        shutil.rmtree(system.data_dir / part, ignore_errors=True)
    said(system, "restore", str(backups))
    system.set("BATCH_MAX_EVENTS", 1)  # what it has to read again comes in many builds
    system.start()
    kilns.everything_is_built()
    assert kilns.requests() == before, "no end came early, and nothing twice"
    for device in ("k-1", "k-2"):
        kilns.send(device, 20)
    for device in ("k-1", "k-2"):
        kilns.paged("closed", device)
    kilns.everything_is_built()
    kilns.judge()
