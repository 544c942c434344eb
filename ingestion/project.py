"""Where things are: the product, which pip installed, and the project, which is a user's folder.

A project is found as git finds a repository, from the current folder upwards. What it holds: README.md.
"""

from pathlib import Path

from ingestion.errors import ConfigError

PRODUCT_DIR = Path(__file__).resolve().parent.parent
"""The folder that the product's packages are imported from."""

PACKAGES = ("ingestion", "orchestration")
STREAMS_FILE = "streams.yml"
PAGE_FILE = "page.yml"
"""Of a project, for the tiles of its live page; it may be missing."""
REACTIONS_FILE = "reactions.yml"
"""Of a project, for whom its alerts reach; it may be missing."""
DBT_FOLDER = "dbt_project"
SCHEMAS_FOLDER = "schemas"
"""Of a project, for schemas of formats: a running system notices changes there."""
DISTRIBUTION = "millrace-lakehouse"
"""What pip calls the product."""

PROJECT_VARIABLE = "MILLRACE_PROJECT"

_RENDERED = ("models", "sources")  # the dbt project's own streams.yml is in there


class NoProject(ConfigError):
    """The current folder belongs to no project."""


def find_project(start: Path, *, named: str = "") -> Path:
    """The nearest project's folder, from `start` upwards.

    Args:
        start: An absolute path, mostly the current folder.
        named: What MILLRACE_PROJECT says, relative to `start`; empty to search.

    Raises:
        ConfigError: The named folder is not a project.
        NoProject: There is none.
    """
    if named:
        folder = (start / Path(named).expanduser()).resolve()
        if not is_project(folder):
            raise ConfigError(
                f"{PROJECT_VARIABLE} names {folder}, which holds neither {STREAMS_FILE} nor "
                f"{DBT_FOLDER}/dbt_project.yml: name a project's folder, or unset it and start in one"
            )
        return folder
    for folder in (start, *start.parents):
        if is_project(folder):
            return folder
    raise NoProject(
        f"there is no project in {start} or above it: change to the folder that holds {STREAMS_FILE}, or "
        f"name it in {PROJECT_VARIABLE}; 'millrace demo' needs none"
    )


def is_project(folder: Path) -> bool:
    """Whether the folder is a project's root."""
    declares = (folder / STREAMS_FILE).is_file() and folder.parts[-2:] != _RENDERED
    return declares or (folder / DBT_FOLDER / "dbt_project.yml").is_file()
