"""What OpenLineage knows of, as values: data sets, jobs that read and write them, runs of jobs."""

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["LOAD", "MODEL", "CHECK"]
State = Literal["START", "COMPLETE", "FAIL"]

SWITCHES = (
    "OPENLINEAGE_URL", "OPENLINEAGE_CONFIG", "OPENLINEAGE__TRANSPORT", "OPENLINEAGE__TRANSPORT__TYPE",
)  # fmt: skip
NAMESPACE = "OPENLINEAGE_NAMESPACE"


@dataclass(frozen=True)
class Dataset:
    """Something that is read or written.

    Attributes:
        name: As in raw.orders, or a topic's.
        namespace: Where it is; empty for the lake.
        columns: Name and type of each; none where they are not known.
    """

    name: str
    namespace: str = ""
    columns: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Assertion:
    """A check, and whether it passed."""

    check: str
    passed: bool


@dataclass(frozen=True)
class Job:
    """What reads and writes.

    Attributes:
        name: As in load.orders.
        kind: Of work.
        inputs: What it reads.
        outputs: What it writes.
        sql: Its statement; empty where there is none.
    """

    name: str
    kind: Kind
    inputs: tuple[Dataset, ...] = ()
    outputs: tuple[Dataset, ...] = ()
    sql: str = ""


@dataclass(frozen=True)
class Work:
    """A run of a job, as far as it has come.

    Attributes:
        job: Which.
        parent: The id of Dagster's run.
        begun_at: In seconds since 1970.
        rows: Written so far; None where it is not known.
        bytes: Read so far; None where it is not known.
        version: Of the lake, that shows what it wrote.
        assertions: By check, as it went last.
        failure: Why it failed last, in a sentence; empty after it went well.
    """

    job: Job
    parent: str
    begun_at: float
    rows: int | None = None
    bytes: int | None = None
    version: int | None = None
    assertions: dict[str, bool] = field(default_factory=dict)
    failure: str = ""


@dataclass(frozen=True)
class Event:
    """A change of a job's run.

    Attributes:
        state: What it is now.
        at: When, in seconds since 1970.
        work: The run.
    """

    state: State
    at: float
    work: Work
