"""What a backup holds of conditions and reactions, so that a restored system sends nobody what he has heard.

It is copied after the lake's instant. What that lake does not know yet, conditions/rule_alerts.py keeps open.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from orchestration.conditions.journal import JOURNAL_FILE, in_another_journal
from orchestration.conditions.lines import Line, read_lines
from orchestration.conditions.rule_alerts import RULES_FOLDER
from orchestration.reactions.entries import LEDGER_FILE

_TRIES = 20


def kept(data_dir: Path) -> dict[str, bytes]:
    """Path below the data folder → content; empty where no system has run yet.

    The ledger is never behind the journal, as after a crash; what rules have open is never older than both.

    Args:
        data_dir: The data folder; a system may run on it.
    """
    ledger, journal = list(read_lines(data_dir / LEDGER_FILE)), list[Line]()
    for _ in range(_TRIES):
        journal = list(in_another_journal(read_lines(data_dir / JOURNAL_FILE)))
        before, ledger = ledger, list(read_lines(data_dir / LEDGER_FILE))
        if ledger == before:
            break
    files = {str(JOURNAL_FILE): _text(journal), str(LEDGER_FILE): _text(ledger)}
    return {name: text for name, text in (*files.items(), *_rules(data_dir)) if text}


def _rules(data_dir: Path) -> Iterator[tuple[str, bytes]]:
    for file in sorted((data_dir / RULES_FOLDER).glob("*.json")):
        try:
            yield str(RULES_FOLDER / file.name), file.read_bytes()
        except FileNotFoundError:  # its model was dropped just now
            continue


def _text(lines: list[Line]) -> bytes:
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode()
