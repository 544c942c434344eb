"""`millrace diagram`: what flows where in this project."""

import sys
from pathlib import Path
from typing import Literal

from ingestion.errors import ConfigError, StorageError
from orchestration.cli.context import Globals, complain, out
from orchestration.dbt.project import parse_models
from orchestration.flow.graph import flow_of
from orchestration.flow.mermaid import mermaid
from orchestration.flow.svg import svg

Form = Literal["svg", "mermaid"]
_SUFFIXES: dict[str, Form] = {".svg": "svg", ".mmd": "mermaid", ".mermaid": "mermaid", ".md": "mermaid"}


def form_of(*, as_svg: bool, as_mermaid: bool, output: Path | None) -> Form:
    """What is asked for: by an option, else by the name of the file, else Mermaid.

    Raises:
        ConfigError: Two forms are asked for, or the file's name says neither.
    """
    if as_svg and as_mermaid:
        raise ConfigError("--svg and --mermaid are two pictures; choose one")
    if as_svg or as_mermaid:
        return "svg" if as_svg else "mermaid"
    if output is None:
        return "mermaid"
    if output.suffix.lower() not in _SUFFIXES:
        raise ConfigError(
            f"'{output.name}' does not say which picture it is; name it .svg or .mmd, or add --svg"
        )
    return _SUFFIXES[output.suffix.lower()]


def diagram(context: Globals, *, form: Form, with_product: bool) -> str:
    """The picture as text; what cannot be built is in it, and said on stderr."""
    settings = context.settings()
    streams = context.streams(settings)
    parsed = parse_models(settings, streams)
    for problem in parsed.broken.problems:
        complain(problem)
    flow = flow_of(streams, parsed, with_product=with_product)
    return mermaid(flow) if form == "mermaid" else svg(flow, name="What flows where, from the sources on")


def hand_over(picture: str, output: Path | None) -> None:
    """Print it, or write it to a file.

    Raises:
        StorageError: The file cannot be written.
    """
    if output is None:
        sys.stdout.write(picture)
        return
    try:
        output.expanduser().write_text(picture, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{output} cannot be written: {error.strerror or error}") from None
    out.print(f"{output} is written", markup=False)
