"""A demo has reactions of its own, which send to a receiver of its own; the project's page nobody."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingestion.errors import ConfigError
from ingestion.settings import Settings
from orchestration.conditions.condition import Finding
from orchestration.demo.brokers import DemoBrokers
from orchestration.demo.folder import added_by_others, wipe
from orchestration.demo.reactions import RECEIVED, declare_reactions
from orchestration.observe.reacting import Reacting
from orchestration.observe.watchman import Watchman
from orchestration.reactions.declared import load_reactions, reactions_file
from orchestration.reactions.variables import require_secret
from tests.repository import REPOSITORY
from tests.waiting import eventually

DISK = Finding("disk_low", "/data", "the disk is full")


@pytest.fixture
def brokers(tmp_path: Path) -> Iterator[DemoBrokers]:
    """Of a demo on the plant's project; only its receiver runs."""
    folder = tmp_path / "data-demo"
    folder.mkdir(mode=0o700)
    wipe(folder)
    declare_reactions(folder)
    brokers = DemoBrokers(folder, REPOSITORY)
    brokers.receiver.start()
    try:
        yield brokers
    finally:
        brokers.receiver.stop()


@pytest.fixture
def settings(brokers: DemoBrokers) -> Settings:
    return brokers.settings()


def test_the_demo_s_receiver_notes_what_its_own_reactions_send(settings: Settings) -> None:
    watchman, reacting = Watchman(settings.data_dir), Reacting(settings)
    reacting.look(watchman, now=datetime.now(UTC))
    reacting.start(settings)
    try:
        for findings, events in (([DISK], 1), ([], 2)):
            watchman.note(findings, now=datetime.now(UTC))
            reacting.look(watchman, now=datetime.now(UTC))
            log = settings.data_dir / RECEIVED
            eventually(lambda: log.is_file() and len(log.read_text().splitlines()) == events, "it is noted")  # noqa: B023
    finally:
        reacting.stop()
    taken = [json.loads(line) for line in (settings.data_dir / RECEIVED).read_text().splitlines()]
    assert [(each["event"], each["reaction"]) for each in taken] == [
        ("condition_opened", "pager"),
        ("condition_closed", "pager"),
    ]


def test_a_demo_does_not_read_the_reactions_of_its_project(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "reactions.yml").write_text("boss: {send: {webhook: {url_env: BOSS_URL}}}\n")
    mine = settings.model_copy(update={"project": tmp_path})
    assert [each.name for each in load_reactions(reactions_file(mine))] == ["pager", "panel"]
    (settings.data_dir / "demo").unlink()
    assert [each.name for each in load_reactions(reactions_file(mine))] == ["boss"]
    with pytest.raises(ConfigError, match="MILLRACE_DEMO_RECEIVER_URL"):
        require_secret(mine, "MILLRACE_DEMO_RECEIVER_URL", reaction="pager")


def test_edits_of_the_demo_s_reactions_are_named_before_they_go(settings: Settings) -> None:
    assert added_by_others(settings.data_dir) == []
    file = reactions_file(settings)
    file.write_text(file.read_text() + "# mine\n")
    assert added_by_others(settings.data_dir) == [f"edits in {file}"]
