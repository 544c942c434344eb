"""`millrace token`: what senders show, made, listed and ended; the collector takes changes in at once."""

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from ingestion.collect.status import state_folder
from ingestion.connectors.port import TokenConnector, Tokens
from ingestion.connectors.registry import connector
from ingestion.errors import ConfigError
from orchestration.cli.commands.options import AsJson
from orchestration.cli.context import Globals, err, out

app = typer.Typer(no_args_is_help=True, help="Tokens that a stream's senders show: make, list, end.")
_STREAM = Annotated[str, typer.Argument(help="Which stream.")]


def _tokens(options: Globals, name: str) -> Tokens:
    from orchestration.cli.ingest import choose  # loads dlt, for which no other command should wait

    settings = options.settings()
    (stream,) = choose(options.streams(settings), [name])
    kind = connector(stream.kind)
    if not isinstance(kind, TokenConnector) or not kind.wants_token(stream.source):
        raise ConfigError(f"senders of stream '{name}' show no token: its source in streams.yml says so")
    return kind.tokens(state_folder(settings.data_dir, kind))


@app.command()
def make(context: typer.Context, stream: _STREAM) -> None:
    """Make a token of a stream; it is shown once, and the others stay valid."""
    token = _tokens(context.obj, stream).make(stream)
    err.print("valid at once, and not shown again; 'millrace token revoke' ends it", markup=False)
    sys.stdout.write(f"{token}\n")


@app.command("list")
def show(context: typer.Context, stream: _STREAM, as_json: AsJson = False) -> None:
    """Name a stream's tokens, without what they are."""
    found = _tokens(context.obj, stream).of(stream)
    if as_json:
        json.dump([asdict(each) for each in found], sys.stdout)
        sys.stdout.write("\n")
        return
    for each in found:
        out.print(f"{each.id}  made {each.made_at}", markup=False)
    if not found:
        out.print(f"stream '{stream}' has no token: 'millrace token make {stream}' makes one", markup=False)


@app.command()
def revoke(
    context: typer.Context,
    stream: _STREAM,
    token_id: Annotated[str, typer.Argument(metavar="ID", help="As 'millrace token list' names it.")],
) -> None:
    """End a token of a stream; who shows it is refused from now on."""
    if not _tokens(context.obj, stream).revoke(stream, token_id):
        raise ConfigError(f"stream '{stream}' has no token '{token_id}': 'millrace token list' names them")
    out.print(f"token {token_id} of stream '{stream}' is ended", markup=False)
