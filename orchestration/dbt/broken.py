"""What of a dbt project cannot be built now, as plain values. Finding it is set_aside.py's."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from orchestration.conditions.condition import Finding


@dataclass(frozen=True)
class LeftOut:
    """A model or seed that is not built.

    Attributes:
        unique_id: dbt's id.
        resource_type: model, seed or snapshot.
        name: Its name.
        fqn: dbt's path of it: the project, folders, the name.
        parents: dbt's ids of what it reads, as far as it is known.
        why: A sentence.
    """

    unique_id: str
    resource_type: str
    name: str
    fqn: tuple[str, ...]
    parents: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Broken:
    """What is wrong with a project, and what is left out because of it.

    Attributes:
        problems: A sentence for each file that is wrong: the place, the reason, what is left out.
        models: What is left out.
        everything: Whether no model can be built.
    """

    problems: tuple[str, ...] = ()
    models: tuple[LeftOut, ...] = ()
    everything: bool = False

    def __add__(self, other: "Broken") -> "Broken":
        """Both."""
        return Broken(
            self.problems + other.problems, self.models + other.models, self.everything or other.everything
        )

    def names(self) -> frozenset[str]:
        """The names of what is left out."""
        return frozenset(model.name for model in self.models)

    def awaiting(self, streams: Iterable[str]) -> "Broken":
        """The same, where what a file lacks is a stream that waits: there is nothing to correct.

        Args:
            streams: The declared streams that wait for their schema.
        """
        names = tuple(streams)
        models = (replace(model, why=_awaiting(model.why, names)) for model in self.models)
        problems = (_awaiting(problem, names) for problem in self.problems)
        return Broken(tuple(problems), tuple(models), self.everything)

    def dumps(self) -> str:
        """JSON."""
        return json.dumps(asdict(self), indent=1)

    @staticmethod
    def loads(text: str) -> "Broken":
        """What `dumps` wrote."""
        content: Mapping[str, Any] = json.loads(text)
        models = (
            LeftOut(**model | {"fqn": tuple(model["fqn"]), "parents": tuple(model["parents"])})
            for model in content["models"]
        )
        return Broken(tuple(content["problems"]), tuple(models), content["everything"])


REMEDY = "Correct it: it is taken up at once."
"""What a sentence about a file says to do, after why it cannot be used."""


def _awaiting(sentence: str, streams: Sequence[str]) -> str:
    place, _, rest = sentence.partition(": ")
    reason, _, after = rest.partition(REMEDY)
    name = next((each for each in streams if f"'raw.{each}'" in reason), None)
    if name is None:
        return sentence
    return (
        f"{place}: its stream '{name}' waits for the schema that its fields come from (stream_waiting says "
        "why); nothing is wrong with this file, and it is taken up by itself as soon as the registry "
        f"answers, or at once if 'fields' is declared.{after}"
    )


def project_findings(problems: Iterable[str]) -> list[Finding]:
    """What is wrong with a project as conditions, one for each file.

    Args:
        problems: A sentence each, which begins with the file.
    """
    return [Finding("project_file_broken", _place(problem), problem) for problem in problems]


def _place(problem: str) -> str:
    """The file that a sentence about the dbt project begins with."""
    return re.split(r"[:,] ", problem, maxsplit=1)[0].partition(" is not checked")[0]
