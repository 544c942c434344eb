"""The rooms of both packages have an order: imports between rooms only go downwards, and never in a circle.

Imports inside functions and under TYPE_CHECKING count too. Which library has which room: test_imports.py.
"""

import ast
from collections.abc import Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.repository import REPOSITORY

Ladder = tuple[str, ...]
"""Steps, lowest first; rooms that share a step do not know each other."""

LADDERS: dict[str, Sequence[Ladder]] = {
    "ingestion": [
        (
            "errors environment",
            "project",
            "libraries",
            "data_folder",
            "faultpoints settings file_lock durable clock",
            "json_file",
            "telemetry",
            "log",
            "spool",
            "formats",
            "lake",
            "connectors",
            "declare",
            "serve",
            "collect",
            "land",
            "watch",
            "trace",
            "upkeep",
            "backup",
            "migrate",
        )
    ],
    # What Dagster loads, what runs Dagster, and the process that runs are forked from: apart from each other.
    "orchestration": [
        (
            "garbage",
            "keys fingerprint overrides drawing",
            "conditions",
            "reactions",
            "dbt",
            "checks",
            "records",
            "report",
            "run",
            "assets",
            "jobs",
            "sensors",
            "build",
            "definitions",
        ),
        (
            "garbage",
            "keys fingerprint drawing",
            "conditions",
            "reactions",
            "dbt",
            "checks",
            "records",
            "report",
            "services",
            "serving",
            "web daemon code_server",
            "observe",
            "flow metrics export",
            "system",
            "scaffold deploy",
            "demo",
            "cli",
            "page",
        ),
        ("garbage fingerprint", "warm"),
    ],
}
MOST_FILES = 12


def faults(package: Path, ladders: Sequence[Ladder]) -> Iterator[str]:
    """A sentence for each import that goes upwards and each room without a place; one for too many files."""
    places = [_steps(ladder) for ladder in ladders]
    files = sorted(package.rglob("*.py"))
    at_top = [file for file in files if file.parent == package]
    if len(at_top) > MOST_FILES:
        yield f"{package.name}/ holds {len(at_top)} files and may hold {MOST_FILES}: move some into a room"
    for room in sorted({_room_of(file, package) for file in files} - {"__init__"}):
        if not any(room in place for place in places):
            yield f"{package.name}/{room} has no place in LADDERS: say there which rooms it stands above"
    for file in files:
        here = _room_of(file, package)
        for module in _imports(file, package.name):
            there = module.split(".")[1]
            if there != here and not any(place.get(there, 99) < place.get(here, -1) for place in places):
                yield (
                    f"{file.relative_to(package.parent)} imports {module}: '{here}' may import only rooms "
                    f"below it, and '{there}' is not below it"
                )


def circle(package: Path) -> list[str]:
    """The modules of a circle of imports; empty when there is none."""
    graph = {
        ".".join(file.relative_to(package.parent).with_suffix("").parts): set(_imports(file, package.name))
        for file in package.rglob("*.py")
    }
    try:
        TopologicalSorter({module: found & graph.keys() for module, found in graph.items()}).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def _steps(ladder: Ladder) -> dict[str, int]:
    return {room: step for step, rooms in enumerate(ladder) for room in rooms.split()}


def _room_of(file: Path, package: Path) -> str:
    return file.relative_to(package).with_suffix("").parts[0]


def _imports(file: Path, package: str) -> Iterator[str]:
    """Modules of the package that a file imports; `from package.room import name` is package.room.name."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        ours = (name for name in found if name.startswith(f"{package}."))
        yield from (name for name in ours if _is_module(name, file, package))


def _is_module(name: str, file: Path, package: str) -> bool:
    root = next(folder for folder in file.parents if folder.name == package).parent
    place = root.joinpath(*name.split("."))
    return place.with_suffix(".py").is_file() or place.is_dir()


@pytest.mark.parametrize("package", LADDERS)
def test_imports_between_rooms_go_downwards(package: str) -> None:
    found = list(faults(REPOSITORY / package, LADDERS[package]))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("package", LADDERS)
def test_no_file_imports_itself_over_others(package: str) -> None:
    assert circle(REPOSITORY / package) == []


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A package of two rooms, `low` under `high`, in which everything is as it should be."""
    for name, text in {
        "low/files.py": "",
        "high/calls.py": "from house.low import files\n",
        "keys.py": "import json\n",
    }.items():
        file = tmp_path / "house" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path / "house"


HOUSE = [("keys", "low", "high")]


def test_a_sound_house_has_no_fault(house: Path) -> None:
    assert list(faults(house, HOUSE)) == []
    assert circle(house) == []


@pytest.mark.parametrize(
    "text",
    [
        "from house.high import calls",
        "from house.high.calls import call",
        "import house.high.calls",
        "def late():\n    import house.high.calls",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.high.calls import Call",
    ],
)
def test_an_import_that_goes_upwards_is_named(house: Path, text: str) -> None:
    (house / "low" / "files.py").write_text(text)
    assert "house/low/files.py imports house.high" in "\n".join(faults(house, HOUSE))
    assert "'low' may import only rooms below it" in "\n".join(faults(house, HOUSE))
    assert circle(house)


def test_rooms_of_one_step_do_not_know_each_other(house: Path) -> None:
    assert "house/high/calls.py imports house.low" in "\n".join(faults(house, [("keys", "low high")]))


def test_a_room_without_a_place_is_named(house: Path) -> None:
    assert "house/low has no place in LADDERS" in "\n".join(faults(house, [("keys", "high")]))


def test_too_many_files_at_the_top_are_counted(house: Path) -> None:
    for number in range(MOST_FILES):
        (house / f"file_{number}.py").write_text("")
    assert f"house/ holds {MOST_FILES + 1} files" in "\n".join(faults(house, HOUSE))
