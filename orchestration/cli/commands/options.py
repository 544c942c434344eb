"""Options that several commands have."""

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")]
SourceOptions = Annotated[
    list[str] | None,
    typer.Option("--option", "-o", metavar="NAME=VALUE", help="Of the source, as in qos=0. Repeatable."),
]
FormatName = Annotated[
    str | None,
    typer.Option("--format", metavar="FORMAT", help="How to read payloads; else as they look."),
]
NoUi = Annotated[bool, typer.Option("--no-ui", help="Do not start the web UI.")]
