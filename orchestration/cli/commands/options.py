"""Options that several commands have."""

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")]
NoUi = Annotated[bool, typer.Option("--no-ui", help="Do not start the web UI.")]
