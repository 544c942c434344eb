"""`millrace token`: what senders show, made, listed and ended; the collector takes changes in at once."""

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from ingestion.collect.status import state_folder
from ingestion.connectors.port import TokenConnector, Tokens
from ingestion.connectors.registry import collecting_connectors, connector
from ingestion.errors import ConfigError
from ingestion.serve.shelf import served_marts
from orchestration.cli.commands.options import AsJson
from orchestration.cli.context import Globals, err, out

app = typer.Typer(
    no_args_is_help=True, help="Tokens that senders to a stream show, and readers of marts: make, list, end."
)
_STREAM = Annotated[
    str, typer.Argument(help="Which stream; for who reads, 'marts' or one mart, as in marts:orders.")
]
_MARTS = "marts"


def _tokens(options: Globals, name: str) -> tuple[Tokens, str]:
    """The tokens, and what those that are meant belong to."""
    group, _, mart = name.partition(":")
    if group == _MARTS:
        (keeper,) = (each for each in collecting_connectors() if isinstance(each, TokenConnector))
        settings = options.settings()
        known = served_marts(settings.data_dir)
        if mart and mart not in known:
            raise ConfigError(
                f"there is no mart '{mart}' that is served; 'millrace tables' shows what there is"
            )
        return keeper.tokens(state_folder(settings.data_dir, keeper)), keeper.subject_of_mart(mart)
    from orchestration.cli.ingest import choose  # loads dlt, for which no other command should wait

    settings = options.settings()
    (stream,) = choose(options.streams(settings), [name], settings=settings)
    kind = connector(stream.kind)
    if not isinstance(kind, TokenConnector) or not kind.wants_token(stream.source):
        raise ConfigError(f"senders of stream '{name}' show no token: its source in streams.yml says so")
    return kind.tokens(state_folder(settings.data_dir, kind)), name


@app.command()
def make(context: typer.Context, stream: _STREAM) -> None:
    """Make a token; it is shown once, and the others stay valid."""
    tokens, subject = _tokens(context.obj, stream)
    token = tokens.make(subject)
    err.print("valid at once, and not shown again; 'millrace token revoke' ends it", markup=False)
    sys.stdout.write(f"{token}\n")


@app.command("list")
def show(context: typer.Context, stream: _STREAM, as_json: AsJson = False) -> None:
    """Name the tokens of a stream or of marts, without what they are."""
    tokens, subject = _tokens(context.obj, stream)
    found = tokens.of(subject)
    if as_json:
        json.dump([asdict(each) for each in found], sys.stdout)
        sys.stdout.write("\n")
        return
    for each in found:
        out.print(f"{each.id}  made {each.made_at}", markup=False)
    if not found:
        out.print(f"'{stream}' has no token: 'millrace token make {stream}' makes one", markup=False)


@app.command()
def revoke(
    context: typer.Context,
    stream: _STREAM,
    token_id: Annotated[str, typer.Argument(metavar="ID", help="As 'millrace token list' names it.")],
) -> None:
    """End a token; who shows it is refused from now on."""
    tokens, subject = _tokens(context.obj, stream)
    if not tokens.revoke(subject, token_id):
        raise ConfigError(f"'{stream}' has no token '{token_id}': 'millrace token list' names them")
    out.print(f"token {token_id} of '{stream}' is ended", markup=False)
