"""What of a dbt project cannot be built now, as plain values, and the file where every process finds it.

Finding it is set_aside.py's. No dbt and no Dagster here: commands read this file while they must be quick.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ingestion.json_file import write_json

_FOLDER = Path("dbt")
_FILES: Mapping[str, Path] = {"project": _FOLDER / "broken.json", "builds": _FOLDER / "failing.json"}


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


def publish_problems(
    data_dir: Path, sentences: Iterable[str], *, of: Literal["project", "builds"] = "project"
) -> None:
    """Tell every process of this data folder why models are not built; an unchanged file stays.

    Args:
        data_dir: The data folder.
        sentences: A sentence each.
        of: What was found when the project was loaded, or when models were built.

    Raises:
        StorageError: The file cannot be written.
    """
    problems = list(sentences)
    if problems != _read(data_dir / _FILES[of]):
        write_json(data_dir / _FILES[of], problems)


def read_problems(data_dir: Path) -> tuple[str, ...]:
    """Why models were not built when the project was last loaded and its models last run, a sentence each."""
    return tuple(sentence for file in _FILES.values() for sentence in _read(data_dir / file))


def _read(file: Path) -> list[str]:
    try:
        return [str(sentence) for sentence in json.loads(file.read_text(encoding="utf-8"))]
    except (OSError, ValueError):
        return []
