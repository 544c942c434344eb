"""What of a dbt project cannot be built now, as plain values. Finding it is set_aside.py's."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
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


def project_findings(problems: Iterable[str]) -> list[Finding]:
    """What is wrong with a project as conditions, one for each file.

    Args:
        problems: A sentence each, which begins with the file.
    """
    return [Finding("project_file_broken", _place(problem), problem) for problem in problems]


def _place(problem: str) -> str:
    """The file that a sentence about the dbt project begins with."""
    return re.split(r"[:,] ", problem, maxsplit=1)[0].partition(" is not checked")[0]
