"""Libraries that an extra installs: whether they are there, and the sentence that says how they come."""

from collections.abc import Iterable
from importlib.util import find_spec

from ingestion.errors import ConfigError
from ingestion.project import DISTRIBUTION


def installed(libraries: Iterable[str]) -> tuple[str, ...]:
    """Those of some modules that are installed: an extra may be left out."""
    return tuple(name for name in libraries if find_spec(name.partition(".")[0]) is not None)


def require(users: str, libraries: Iterable[str], *, extra: str) -> None:
    """Refuse to go on without some modules.

    Args:
        users: What needs them, in the plural.
        libraries: Names of modules.
        extra: The optional dependency that installs them; empty where the product always does.

    Raises:
        ConfigError: Names the missing ones and how they are installed.
    """
    wanted = tuple(libraries)
    there = installed(wanted)
    missing = [name for name in wanted if name not in there]
    if missing:
        remedy = f"install '{DISTRIBUTION}[{extra}]'" if extra else "install the locked requirements"
        raise ConfigError(f"{users} need the package {', '.join(missing)}: {remedy}")
