"""The SQL with which staging types a value, for programs: the macros themselves, not a second copy.

dbt renders the same file when it builds a staging model.
"""

from functools import cache
from typing import Any

from jinja2 import Environment

from orchestration.dbt.prepared import PACKAGE

_FILE = PACKAGE / "macros" / "typed_events.sql"


class _Package:
    """What the macros call `millrace`: themselves."""

    macros: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.macros, name)


def typed_value(text: str, type_name: str) -> str:
    """SQL for a text as a type, null where it is not of that type.

    Args:
        text: SQL of the text.
        type_name: As streams.yml names it.
    """
    return str(_macros().typed_value(text, type_name)).strip()


@cache
def _macros() -> Any:
    package = _Package()
    # It renders SQL of the product; nothing of it is shown as HTML.
    environment = Environment(extensions=["jinja2.ext.do"])  # noqa: S701
    source = _FILE.read_text(encoding="utf-8")
    package.macros = environment.from_string(source).make_module({"millrace": package})
    return package.macros
