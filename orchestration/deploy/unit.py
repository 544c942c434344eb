"""The systemd unit of a project, from millrace.service beside this file.

See systemd.service(5) and systemd.exec(5).
"""

import os
import pwd
import re
import sys
import sysconfig
import tempfile
from pathlib import Path
from string import Template

from ingestion.errors import ConfigError
from ingestion.project import PROJECT_VARIABLE
from ingestion.settings import Settings
from orchestration.services.postgres_folder import PostgresFolder
from orchestration.system.data_folder import require_usable
from orchestration.system.lock import STOP_SECONDS

_TEMPLATE = Path(__file__).with_name("millrace.service")
_PLAIN = re.compile(r"[A-Za-z0-9_./=:@+,-]+")
_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))


def systemd_unit(settings: Settings, *, user: str | None) -> str:
    """A unit that keeps `millrace up` running.

    Args:
        settings: Of the project. Its data folder is made: a unit can open only a folder that is there.
        user: The account that the service runs as; None for the owner of the project's folder.

    Raises:
        ConfigError: There is no such account, it is root or does not own the project, or a path cannot stand
            in a unit.
        StorageError: The data folder cannot be used.
    """
    project, data_dir = settings.project, settings.data_dir
    account = _account(project, user)
    _make_folder(data_dir, account)
    for folder in (settings.dbt_folder, data_dir):
        if folder.stat().st_uid != account.pw_uid:
            raise ConfigError(
                f"{folder} does not belong to '{account.pw_name}', as whom the service would run: 'chown -R "
                f"{account.pw_name} {folder}', or name its owner with --user"
            )
    command = Path(sysconfig.get_path("scripts")) / "millrace"
    temporary = [] if _keeps_sockets_inside(settings) else [Path(tempfile.gettempdir())]
    writable = _outermost([settings.dbt_folder, data_dir, *_lake_folder(settings), *temporary])
    needed = [project, data_dir, Path(sys.prefix), Path(sys.base_prefix), *writable]
    variables = {PROJECT_VARIABLE: project, "MILLRACE_DATA_DIR": data_dir}
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        project=_line(project),
        name=_line(Path(project.name)),
        user=account.pw_name,
        folder=_line(project),
        environment=" ".join(_word(f"{name}={path}") for name, path in variables.items()),
        command=_word(str(command)).replace("$", "$$"),
        stop_seconds=f"{STOP_SECONDS:.0f}",
        writable=" ".join(_word(str(path)) for path in writable),
        protect_home="read-only" if any(_below(path, _HOMES) for path in needed) else "yes",
        private_tmp="no" if temporary else "yes",
    )


def _lake_folder(settings: Settings) -> list[Path]:
    place = settings.resolved_lake_path
    return [] if "://" in place else [Path(place)]


def _outermost(folders: list[Path]) -> list[Path]:
    """The folders without those inside another one."""
    return [each for each in folders if not _below(each, [other for other in folders if other != each])]


def _below(path: Path, folders: list[Path] | tuple[Path, ...]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _keeps_sockets_inside(settings: Settings) -> bool:
    """Else the embedded PostgreSQL has its socket in the temp folder, where commands look for it."""
    folder = PostgresFolder(settings.data_dir / "postgres")
    return settings.catalog is not None or folder.socket_folder.is_relative_to(folder.root)


def _account(project: Path, user: str | None) -> pwd.struct_passwd:
    try:
        account = pwd.getpwnam(user) if user is not None else pwd.getpwuid(project.stat().st_uid)
    except KeyError:
        who = f"user '{user}'" if user is not None else f"user of {project} (id {project.stat().st_uid})"
        raise ConfigError(f"there is no {who} here: name one with --user") from None
    if account.pw_uid == 0:
        raise ConfigError(
            f"a service does not need root: give {project} and the data folder to another user (chown -R), "
            "and name it with --user"
        )
    return account


def _make_folder(data_dir: Path, account: pwd.struct_passwd) -> None:
    is_new = not data_dir.exists()
    require_usable(data_dir)
    if is_new and os.geteuid() == 0:
        os.chown(data_dir, account.pw_uid, account.pw_gid)


def _line(path: Path) -> str:
    """A path that is a whole value: % begins a specifier there."""
    return _printable(str(path)).replace("%", "%%")


def _word(text: str) -> str:
    """One of several values on a line."""
    escaped = _printable(text).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return escaped if _PLAIN.fullmatch(escaped) else f'"{escaped}"'


def _printable(text: str) -> str:
    if not text.isprintable() or os.fsencode(text) != text.encode():
        raise ConfigError(f"{text!r} cannot stand in a systemd unit: choose a path of plain characters")
    return text
