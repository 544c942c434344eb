"""The formats: the only list of them. What a format is: port.py.

A format of another package is found through the entry point group `millrace.formats`: name = its name.
"""

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from ingestion.formats.port import Format

FORMATS = {"json": "ingestion.formats.json:JSON"}
"""Name → module and name of the format; a module is imported when its format is first asked for."""
ENTRY_POINTS = "millrace.formats"


def formats() -> tuple[str, ...]:
    """Every known format's name, ours first."""
    return (*FORMATS, *(name for name in _installed() if name not in FORMATS))


def find_format(name: str) -> Format:
    """A format by its name.

    Raises:
        KeyError: There is no such format.
    """
    module, _, attribute = (FORMATS.get(name) or _installed()[name]).partition(":")
    found: Format = getattr(import_module(module), attribute)
    return found


@cache
def _installed() -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
