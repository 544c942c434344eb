"""`millrace upgrade-project`: what orchestration/scaffold/upgrade.py finds, done and shown."""

from collections.abc import Sequence

from ingestion.declare.stream import Stream
from ingestion.settings import Settings
from orchestration.cli.context import complain, out
from orchestration.dbt.prepared import prepare_project
from orchestration.scaffold.schemas import write_schemas
from orchestration.scaffold.upgrade import apply, changes

_DONE = {"write": "wrote {}", "replace": "replaced {}", "extend": "added lines to {}"}
_WOULD = {"write": "would write {}", "replace": "would replace {}", "extend": "would add lines to {}"}


def upgrade(settings: Settings, streams: Sequence[Stream], *, dry_run: bool) -> int:
    """Bring a project's files to this release, and make what plain dbt needs.

    Returns:
        The exit code: 1 when something is left to do.
    """
    project = settings.project
    found = list(changes(project))
    words = _WOULD if dry_run else _DONE
    for change in found:
        if change.action == "leave":
            complain(
                f"{project / change.path} was edited and is left as it is: bring in by hand what this "
                "release changes in it"
            )
        else:
            if not dry_run:
                apply(project, change)
            out.print(words[change.action].format(change.path), markup=False)
        if change.difference and (dry_run or change.action == "leave"):
            out.print(change.difference.rstrip("\n"), markup=False)
    if not found:
        out.print("nothing to do: this release changes no file of the project")
    if not dry_run:
        prepare_project(streams, settings.dbt_folder)
        write_schemas(project)
    left = found if dry_run else [change for change in found if change.action == "leave"]
    return int(bool(left))
