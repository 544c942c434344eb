"""Streams that have brought nothing for longer than is usual there.

A run notes when a stream was heard and how long it is usually silent; the supervisor judges that by the
clock, without the lake. What is usual: ingestion/watch/silence.py.
"""

import json
from collections.abc import Iterator, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from ingestion.json_file import write_json
from ingestion.lake.lake import Lake
from ingestion.watch.silence import usual_silence
from orchestration.conditions.condition import Finding

_FOLDER = Path("conditions") / "heard"
_NOTED_EVERY = timedelta(seconds=30)
_RECKONED_EVERY = timedelta(hours=1)


@dataclass(frozen=True)
class Heard:
    """What is known of a stream.

    Attributes:
        at: When a batch of it brought events, UTC; up to 30 s too early.
        reckoned_at: When its usual silence was, UTC.
        usual: How long it may be silent; None while that is not known.
    """

    at: datetime
    reckoned_at: datetime
    usual: timedelta | None


def note_heard(lake: Lake, stream: str, *, now: datetime) -> None:
    """Note that a batch brought events.

    Args:
        lake: The lake.
        stream: The stream.
        now: UTC.

    Raises:
        StorageError: The file cannot be written.
    """
    file = lake.settings.data_dir / _FOLDER / f"{stream}.json"
    before = _read(file)
    if before is not None and timedelta(0) <= now - before.at < _NOTED_EVERY:
        return
    if before is not None and timedelta(0) <= now - before.reckoned_at < _RECKONED_EVERY:
        reckoned_at, usual = before.reckoned_at, before.usual
    else:
        reckoned_at, usual = now, usual_silence(lake, stream, now=now)
    write_json(
        file,
        {
            "at": now.isoformat(),
            "reckoned_at": reckoned_at.isoformat(),
            "usual_seconds": usual and usual.total_seconds(),
        },
    )


def silence_findings(
    data_dir: Path, streams: Set[str], *, troubled: Set[str], now: datetime
) -> Iterator[Finding]:
    """The streams that are silent for longer than usual.

    Args:
        data_dir: The data folder.
        streams: The declared ones.
        troubled: Those of which something else is wrong: why they bring nothing is known.
        now: UTC.
    """
    for stream in sorted(streams - troubled):
        heard = _read(data_dir / _FOLDER / f"{stream}.json")
        if heard is not None and heard.usual is not None and now - heard.at > heard.usual:
            yield Finding(
                "stream_silent", stream,
                f"stream '{stream}' has brought nothing since {heard.at:%Y-%m-%d %H:%M} UTC: it is usually "
                f"silent for at most {_span(heard.usual)}",
                "Its broker answers and nothing waits there: look at what sends to it.",
            )  # fmt: skip


def _span(span: timedelta) -> str:
    minutes = span.total_seconds() / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.0f} h"


def _read(file: Path) -> Heard | None:
    """What a file holds; None where it is missing, torn or of another release."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        at, reckoned_at = (datetime.fromisoformat(content[name]) for name in ("at", "reckoned_at"))
        seconds = content["usual_seconds"]
        return Heard(at, reckoned_at, None if seconds is None else timedelta(seconds=seconds))
    except (OSError, ValueError, TypeError, KeyError):
        return None
