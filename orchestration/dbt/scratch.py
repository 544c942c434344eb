"""A copy of a dbt project in which files can be replaced or left out, for parsing the rest of it.

Files are symbolic links until they are replaced; what dbt writes (`target`, `logs`) is not there.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import yaml

from orchestration.dbt.call import DbtProject

Kind = Literal["model", "seed", "properties", "macro", "other", "project"]

_SKIPPED = frozenset({"target", "logs", "__pycache__"})
_LINKED = frozenset({"dbt_packages", "dbt_modules"})
_STUB = "{{ config(materialized='view', contract={'enforced': false}) }} select 1 as set_aside\n"
_TESTS = ("data_tests", "tests")
_NAME = re.compile(r"^(\s*)-\s+name:\s*['\"]?([\w.]+)", re.MULTILINE)
_FOLDERS: Mapping[str, tuple[Kind, tuple[str, ...]]] = {
    "model-paths": ("model", ("models",)),
    "seed-paths": ("seed", ("seeds",)),
    "macro-paths": ("macro", ("macros",)),
    "test-paths": ("other", ("tests",)),
    "snapshot-paths": ("other", ("snapshots",)),
    "analysis-paths": ("other", ("analyses",)),
}


class Scratch:
    """The copy.

    Args:
        project: The project.
        folder: An empty folder.

    Attributes:
        project: The copy, for dbt.
        files: The project's files, relative to its folder.
    """

    def __init__(self, project: DbtProject, folder: Path) -> None:
        self.project = replace(project, project_dir=folder)
        self._original = project.project_dir
        self._folders = _folders(project.project_dir)
        self.files = tuple(sorted(self._link()))

    def kind(self, file: str) -> Kind:
        """What a file holds, by its folder and ending."""
        for kind, folders in self._folders:
            if any(file.startswith(f"{folder}/") for folder in folders):
                if kind in ("model", "seed") and file.endswith((".yml", ".yaml")):
                    return "properties"
                if "/generic/" in file and kind == "other":
                    return "macro"
                if kind == "model" and not file.endswith((".sql", ".py")):
                    return "other"
                return kind
        return "project"

    def stub(self, model: str) -> None:
        """Put a model that always parses in place of one: what refers to it goes on parsing."""
        self.remove(model)
        (self.project.project_dir / model).with_suffix(".sql").write_text(_STUB, encoding="utf-8")

    def remove(self, file: str) -> None:
        """Leave a file out."""
        path = self.project.project_dir / file
        path.unlink(missing_ok=True)
        path.with_suffix(".sql").unlink(missing_ok=True)

    def without_tests(self, properties: str, *, unit_tests: bool) -> bool:
        """Leave out the tests that a file of properties declares.

        Args:
            properties: The file.
            unit_tests: Leave out its unit tests instead of its data tests.

        Returns:
            Whether there were any.
        """
        path = self.project.project_dir / properties
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            return False
        kept = _without(document, ("unit_tests",) if unit_tests else _TESTS)
        if kept == document:
            return False
        path.unlink()
        path.write_text(yaml.safe_dump(kept, sort_keys=False), encoding="utf-8")
        return True

    def described(self, properties: str) -> list[str]:
        """The files of the models and seeds that a file of properties is about, even if it is not YAML."""
        text = (self._original / properties).read_text(encoding="utf-8", errors="replace")
        found = _NAME.findall(text)
        outermost = min((len(indent) for indent, _ in found), default=0)
        names = {name for indent, name in found if len(indent) == outermost} | {Path(properties).stem}
        return [
            file for file in self.files if self.kind(file) in ("model", "seed") and Path(file).stem in names
        ]

    def defined(self, file: str, name: str) -> bool:
        """Whether a file of the project is the model of this name, or describes something of this name."""
        if self.kind(file) != "properties":
            return Path(file).stem == name
        text = (self._original / file).read_text(encoding="utf-8", errors="replace")
        return re.search(rf"\bname:\s*['\"]?{re.escape(name)}\b", text) is not None

    def _link(self) -> Iterator[str]:
        for folder, names, files in os.walk(self._original):
            here = Path(folder).relative_to(self._original)
            target = self.project.project_dir / here
            target.mkdir(parents=True, exist_ok=True)
            for name in [name for name in names if name in _LINKED]:
                (target / name).symlink_to(Path(folder).absolute() / name)
            names[:] = [name for name in names if not name.startswith(".") and name not in _SKIPPED | _LINKED]
            for name in files:
                (target / name).symlink_to(Path(folder).absolute() / name)
                yield (here / name).as_posix()


def _folders(project_dir: Path) -> list[tuple[Kind, tuple[str, ...]]]:
    try:
        document = yaml.safe_load((project_dir / "dbt_project.yml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        document = None
    declared: Mapping[str, Any] = document if isinstance(document, Mapping) else {}
    return [
        (kind, tuple(str(path).strip("/") for path in declared.get(name) or usual))
        for name, (kind, usual) in _FOLDERS.items()
    ]


def _without(value: Any, keys: tuple[str, ...]) -> Any:
    if isinstance(value, Mapping):
        return {key: _without(each, keys) for key, each in value.items() if key not in keys}
    if isinstance(value, list):
        return [_without(each, keys) for each in value]
    return value
