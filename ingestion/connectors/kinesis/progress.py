"""How far a data stream was stored: kept in a file, and put right by what the spool holds beyond it.

When the collector dies between the two, the spool is ahead of the file, never behind: the file is written
after the spool's flush. So both together say after any crash which record comes next.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ingestion.connectors.kinesis.records import Place
from ingestion.errors import StorageError
from ingestion.json_file import write_json
from ingestion.spool.lanes import Place as Stored


@dataclass
class Progress:
    """How far one data stream was stored for one stream.

    Attributes:
        stream: The data stream's name: the declaration may name another one some day.
        created: When the data stream was made, Unix seconds; 0 before it was seen.
        since: When the stream was first seen declared, Unix seconds: where `start: latest` begins.
        complete_to: Everything that arrived before is stored, Unix seconds, about.
        spool: The newest event of the spool that is counted in `sequences`; None before the first.
        sequences: Shard → sequence number of the newest record that is stored whole.
        finished: Shards that were stored to their end.
    """

    stream: str = ""
    created: float = 0.0
    since: float = 0.0
    complete_to: float = 0.0
    spool: Stored | None = None
    sequences: dict[str, str] = field(default_factory=dict)
    finished: list[str] = field(default_factory=list)

    def note(self, place: Place) -> None:
        """Count a stored event; one in the midst of a packed record leaves the record unread."""
        if place.is_last and int(place.sequence) > int(self.sequences.get(place.shard, "-1")):
            self.sequences[place.shard] = place.sequence

    def begin(self, stream: str) -> None:
        """Begin with another data stream."""
        self.stream, self.created, self.since = stream, 0.0, 0.0
        self.forget_shards()

    def forget_shards(self) -> None:
        """Begin again: the data stream is another one."""
        self.sequences, self.finished, self.complete_to = {}, [], 0.0

    def keep_only(self, shards: Iterable[str]) -> list[str]:
        """Forget the shards that are not there any more; returns those that were not read to their end."""
        there = set(shards)
        lost = [name for name in self.sequences if name not in there and name not in self.finished]
        self.sequences = {name: value for name, value in self.sequences.items() if name in there}
        self.finished = [name for name in self.finished if name in there]
        return lost


def progress_file(state: Path, stream: str) -> Path:
    """Where a stream's progress is, in its listener's folder."""
    return state / f"{stream}.json"


def read_progress(path: Path) -> Progress:
    """What a file says; a new stream's where there is none.

    Raises:
        StorageError: It cannot be read.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        spool = found.pop("spool")
        return Progress(**found, spool=Stored(*spool) if spool else None)
    except FileNotFoundError:
        return Progress()
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise StorageError(
            f"{path} cannot be read ({type(error).__name__}); restore it, or delete it: then its data stream "
            "is read after what the spool still holds, or from its start, and events may come twice"
        ) from None


def write_progress(path: Path, progress: Progress) -> None:
    """Keep it, durably.

    Raises:
        StorageError: The file cannot be written.
    """
    write_json(path, asdict(progress), durable=True)
