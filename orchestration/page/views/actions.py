"""What operators did from the page, the newest first."""

import shlex
from collections.abc import Sequence

from ingestion.clock import utc_now
from orchestration.cli.messages import printable
from orchestration.page.action_log import Did
from orchestration.page.html import Html, since, table, tag, tile

_CLASSES = {"done": "good", "failed": "bad", "refused": "warn"}
_LONGEST = 200


def done_tiles(done: Sequence[Did]) -> dict[str, Html]:
    """A tile; none while nobody did anything."""
    if not done:
        return {}
    now = utc_now()
    rows = [
        (
            since(each.at, now=now), printable(each.name) or each.role, each.role,
            tag("code", _cut(printable(shlex.join(["millrace", *each.command])))),
            tag("span", each.state, class_=_CLASSES.get(each.state)),
            _cut(printable(" ".join(each.said.split()))),
        )
        for each in done
    ]  # fmt: skip
    shown = table(("when", "who", "role", "command", "", "said"), rows, texts=("command", "said"))
    return {"done": tile("What operators did", shown, note=f"the newest {len(rows)}", kind="wide")}


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"
