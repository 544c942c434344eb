"""What Millrace makes in a dbt project: the sources, the list of staged streams, the package `millrace`.

All of it is ignored by git, and made again when it is missing or no longer right. Nothing here imports dbt.
"""

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from orchestration.dbt.meta import StreamLike
from orchestration.dbt.sources import replace_text, write_sources

PACKAGE = Path(__file__).parent / "package"
"""The dbt package `millrace`."""

STAGED_FILE = Path("macros") / "streams.sql"
_LINKS = (Path("dbt_packages") / "millrace", Path(".millrace_package"))  # for dbt, and for `dbt deps`
_MODELS = (".sql", ".py")


def prepare_project(streams: Sequence[StreamLike], project_dir: Path) -> None:
    """Make everything that plain dbt needs in a project; what is right already is left alone.

    Args:
        streams: The declared streams.
        project_dir: Folder of dbt_project.yml.
    """
    write_sources(streams, project_dir)
    replace_text(project_dir / STAGED_FILE, _staged_streams(streams, project_dir))
    for link in _LINKS:
        _link_package(project_dir / link, repository=project_dir.parent.resolve())


def _staged_streams(streams: Iterable[StreamLike], project_dir: Path) -> str:
    """A macro that lists the streams with a staging model: dbt knows its graph only after parsing."""
    models = {path.stem for path in (project_dir / "models").rglob("stg_*") if path.suffix in _MODELS}
    staged = [stream for stream in streams if f"stg_{stream.name}" in models]
    names = [stream.name for stream in staged]
    sequences = {stream.name: stream.sequence.meta() for stream in staged if stream.sequence is not None}
    return (
        "{# Written by Millrace: the declared streams that have a staging model. #}\n"
        f"{{% macro staged_streams() %}}{{{{ return({names}) }}}}{{% endmacro %}}\n"
        "{# Of these, how the senders of a stream number their events. #}\n"
        f"{{% macro counted_streams() %}}{{{{ return({sequences}) }}}}{{% endmacro %}}\n"
    )


def _link_package(link: Path, *, repository: Path) -> None:
    if link.exists() and link.resolve() == PACKAGE.resolve():
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_dir() and not link.is_symlink():
        shutil.rmtree(link)  # a copy: dbt makes one where it cannot link
    # A project that moves takes a package inside it along; another one stays where pip put it.
    inside = PACKAGE.is_relative_to(repository)
    target = os.path.relpath(PACKAGE, link.parent.resolve()) if inside else PACKAGE
    fresh = link.with_name(f"{link.name}-{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)
