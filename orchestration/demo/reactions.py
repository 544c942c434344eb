"""The demo's own reactions, so that a first look shows some: a webhook to its receiver, and an MQTT topic.

They are in the data folder and hear of everything that does not work. The format is in docs/reactions.md.
"""

from pathlib import Path

from ingestion.project import REACTIONS_FILE

RECEIVER_URL = "demo_receiver_url"
"""The setting that holds the receiver's address, without its prefix."""
TOPIC = "millrace/alerts"
RECEIVED = "alerts.jsonl"
"""What the receiver took, in the data folder."""

_TEXT = f"""\
# The demo's reactions. An edit is in use within seconds; docs/reactions.md has all keys.
pager:
  # The demo's own receiver: it writes {RECEIVED}.
  send: {{webhook: {{url_env: MILLRACE_{RECEIVER_URL.upper()}}}}}
panel:
  # What a rule says of a machine.
  on: {{kinds: [rule_alert]}}
  send: {{publish: {{to: "mqtt:{TOPIC}"}}}}
"""


def declare_reactions(data_dir: Path) -> None:
    """Write them into a demo's folder, which was wiped."""
    (data_dir / REACTIONS_FILE).write_text(_TEXT, encoding="utf-8")


def are_edited(data_dir: Path) -> bool:
    """Whether somebody has edited them."""
    file = data_dir / REACTIONS_FILE
    return file.is_file() and file.read_text(encoding="utf-8", errors="replace") != _TEXT
