"""A spool that goes on where another one ended: a small file beside its segments shifts its positions.

Written by adoption.py for a spool whose predecessor was lost; the lake sees one log without a break.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ingestion.errors import StorageError
from ingestion.json_file import write_json
from ingestion.log.port import Bounds
from ingestion.spool.mark import FrameMark

SHIFT_FILE = "continues.json"


@dataclass(frozen=True)
class Shift:
    """What to add to a spool's positions, and under which identity the lake knows them.

    Attributes:
        of: Identity of the spool that it is for: a spool that is made again has none.
        log_id: Identity of the log that the lake has read.
        positions: To add to each position of the spool.
    """

    of: str = ""
    log_id: str = ""
    positions: int = 0

    def seen(self, spool: Bounds) -> Bounds:
        """A spool's own bounds as the lake sees them."""
        if spool.log_id != self.of:
            return spool
        begin, end = spool.begin + self.positions, spool.end + self.positions
        mark = FrameMark.parse(spool.proof)
        proof = str(replace(mark, end=end)) if mark else ""
        return Bounds(begin, end, self.log_id, proof)

    def shift(self, spool: Bounds) -> int:
        """What to add to the positions of a spool with these bounds of its own."""
        return self.positions if spool.log_id == self.of else 0


def read_shift(folder: Path) -> Shift:
    """A spool folder's shift; one of nothing where there is none.

    Raises:
        StorageError: It is damaged.
    """
    path = folder / SHIFT_FILE
    try:
        return Shift(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Shift()
    except (OSError, ValueError, TypeError) as error:
        raise StorageError(
            f"{path} cannot be read ({error}); restore it from a backup: without it nobody knows what of "
            "this spool is in the lake"
        ) from None


def write_shift(folder: Path, shift: Shift) -> None:
    """Put a shift into force, durably and at once.

    Raises:
        StorageError: It cannot be written.
    """
    write_json(folder / SHIFT_FILE, asdict(shift), durable=True)
