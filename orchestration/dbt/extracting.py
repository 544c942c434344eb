"""dbt reads `ref` and `source` of a snapshot in YAML with Jinja here, not with its static parser.

That parser leaves native threads running, whatever `--no-static-parser` says; a process with threads cannot
fork safely.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dbt.clients import jinja_static
from dbt_extractor import ExtractionError
from jinja2 import TemplateError
from jinja2.sandbox import SandboxedEnvironment


@contextmanager
def without_static_parser() -> Iterator[None]:
    """Let Jinja itself read such expressions while the block runs."""
    before = jinja_static.py_extract_from_source
    jinja_static.py_extract_from_source = extract
    try:
        yield
    finally:
        jinja_static.py_extract_from_source = before


def extract(text: str) -> dict[str, Any]:
    """What a piece of Jinja refers to, in the form of dbt's static parser.

    Args:
        text: As in `{{ ref('orders') }}`.

    Raises:
        ExtractionError: It is not Jinja, or calls something else.
    """
    refs: list[dict[str, Any]] = []
    sources: list[tuple[str, ...]] = []

    def ref(*names: str, version: Any = None, v: Any = None) -> None:
        *package, name = names
        found = version if version is not None else v
        refs.append({"package": package[0] if package else None, "name": name, "version": found})

    def source(*names: str) -> None:
        sources.append(names)

    try:
        SandboxedEnvironment().from_string(text).render(ref=ref, source=source)
    except (TemplateError, TypeError, ValueError) as error:
        raise ExtractionError(str(error)) from None
    return {"refs": refs, "sources": sources, "configs": []}
