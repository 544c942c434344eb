"""A new project's files, from what the product carries: the plant's project, a small shop, or nothing.

The plant's files are this repository's; a wheel holds a copy of them (pyproject.toml).
"""

import os
import re
import shutil
from pathlib import Path

from ingestion.declare.file import load_streams
from ingestion.errors import ConfigError
from ingestion.project import DBT_FOLDER, PAGE_FILE, PRODUCT_DIR, STREAMS_FILE
from orchestration.dbt.prepared import PACKAGE, prepare_project
from orchestration.scaffold.schemas import write_schemas

_HERE = Path(__file__).parent
_FILES = _HERE / "files"
_COMMON = ("workspace.yaml", ".env.example")
_COMMON_DBT = ("profiles.yml", "packages.yml", "macros/millrace.sql")
NOTEBOOK = Path("notebooks") / "first-look.ipynb"
_EMPTY = ("models/staging", "models/marts", "seeds", "tests", "contracts", "macros")
_MADE = frozenset(
    {"target", "logs", "dbt_packages", ".millrace_package", "package-lock.yml", "streams.sql", ".user.yml"}
)
_HARMLESS = frozenset({".git", ".venv", ".millrace"})


def plant_files() -> Path:
    """The folder with the plant's project files."""
    carried = _HERE / "plant"
    return carried if carried.is_dir() else PRODUCT_DIR


def ours() -> dict[str, Path]:
    """The files that no user has to edit: path below a project's folder → the file that is copied there."""
    files = plant_files()
    dbt = {f"{DBT_FOLDER}/{name}": files / DBT_FOLDER / name for name in _COMMON_DBT}
    return {name: files / name for name in _COMMON} | dbt | {".gitignore": _FILES / "gitignore"}


def create_project(folder: Path, *, example: str, files: Path | None = None) -> None:
    """Write a project.

    Args:
        folder: Missing or empty; an absolute path.
        example: plant, shop or none.
        files: Of a plant: the project to copy, in place of the one that the product carries.

    Raises:
        ConfigError: The folder holds something.
    """
    if folder.exists() and {path.name for path in folder.iterdir()} - _HARMLESS:
        raise ConfigError(f"{folder} is not empty: name a new folder, or empty this one")
    dbt = folder / DBT_FOLDER
    if example == "plant":
        plant = files or plant_files()
        shutil.copytree(plant / DBT_FOLDER, dbt, ignore=_left_out)
        shutil.copy(plant / STREAMS_FILE, folder)
        if (plant / PAGE_FILE).is_file():  # a project may do without
            shutil.copy(plant / PAGE_FILE, folder)
    else:
        for name in _EMPTY:
            (dbt / name).mkdir(parents=True, exist_ok=True)
        if example == "shop":
            shutil.copytree(_HERE / "shop", folder, dirs_exist_ok=True)
        else:
            shutil.copy(_FILES / STREAMS_FILE, folder)
        for name in _COMMON_DBT:
            shutil.copy(plant_files() / DBT_FOLDER / name, dbt / name)
        text = (_FILES / "dbt_project.yml").read_text(encoding="utf-8")
        (dbt / "dbt_project.yml").write_text(text.format(name=_dbt_name(folder.name)), encoding="utf-8")
    _write_rest(folder)
    prepare_project(load_streams(folder / STREAMS_FILE), dbt)
    write_schemas(folder)


def _write_rest(folder: Path) -> None:
    for name in _COMMON:
        shutil.copy(plant_files() / name, folder)
    shutil.copy(_FILES / "gitignore", folder / ".gitignore")
    (folder / NOTEBOOK).parent.mkdir(exist_ok=True)
    shutil.copy(_FILES / NOTEBOOK.name, folder / NOTEBOOK)
    readme = (_FILES / "README.md").read_text(encoding="utf-8").format(title=folder.name)
    (folder / "README.md").write_text(readme, encoding="utf-8")
    explained = (folder / ".env.example").read_text(encoding="utf-8").partition("\n")[2]
    first = "# Take away the # before what you set; the rest has the value shown. Git ignores this file.\n"
    descriptor = os.open(folder / ".env", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(first + explained)


def _dbt_name(name: str) -> str:
    """A folder's name as dbt wants a project's: letters, digits, underscores; not the package's own."""
    slug = re.sub(r"\W+", "_", name.lower(), flags=re.ASCII).strip("_")
    usable = slug[:1].isalpha() and slug not in ("dbt", PACKAGE.name, "millrace")
    return slug if usable else f"project_{slug}".rstrip("_")


def _left_out(folder: str, names: list[str]) -> set[str]:
    """What Millrace and dbt have made in a project that is in use."""
    made = set(names) & _MADE
    return made | ({STREAMS_FILE} & set(names) if Path(folder).name == "sources" else set())
