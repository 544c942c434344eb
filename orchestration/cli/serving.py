"""`millrace serving`: where BI tools read the marts, who may, and how far they are behind the lake."""

import json
import shlex
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import typer
from rich.table import Table

from ingestion.settings import Settings
from orchestration.cli.context import out
from orchestration.export.tools import write_tool_files
from orchestration.serving.look import Door, Shown, look

_SWITCH_ON = (
    "Over TCP: off. Set MILLRACE_SERVING_PORT (5433, say) and start 'millrace up' again: it listens on "
    "127.0.0.1, for this role and this database only."
)


def serving(settings: Settings, *, as_json: bool) -> None:
    """Look, and print it.

    Raises:
        ServingUnavailable: The database does not answer, or nothing is published.
        CatalogUnavailable: The catalog does not answer.
    """
    where, marts = look(settings)
    if as_json:
        content = asdict(where) | {"url": where.url, "marts": [asdict(mart) for mart in marts]}
        typer.echo(json.dumps(content, default=_plain, indent=2))
        return
    for line in _lines(where):
        out.print(line, markup=False, soft_wrap=True)
    table = Table("mart", "version", "behind", "waits", "fresh to", header_style="bold", show_edge=False)
    for mart in marts:
        table.add_row(*_cells(mart))
    out.print(table)


def hand_out(settings: Settings, folder: Path, *, as_json: bool) -> None:
    """Write the files with which BI tools open the marts, and print their names.

    Raises:
        ServingUnavailable: The database does not answer, or listens on no port.
        ConfigError: There is something in the folder.
        StorageError: The files cannot be written.
    """
    written = write_tool_files(settings, folder)
    if as_json:
        typer.echo(json.dumps([str(folder / path) for path in written], indent=2))
        return
    for path in written:
        out.print(str(folder / path), markup=False, soft_wrap=True)


def psql(where: Door) -> str:
    """The line that asks by psql."""
    passfile = f"PGPASSFILE={shlex.quote(where.password_file)} " if where.password_file else ""
    return f"{passfile}psql -h {shlex.quote(where.host)} -p {where.port} -U {where.role} {where.database}"


def _lines(where: Door) -> list[str]:
    place = "socket in" if where.is_socket else "host"
    password = f"in {where.password_file}" if where.password_file else "as its owner has set it"
    lines = [
        f"{place} {where.host}, port {where.port}, database {where.database}, schema marts",
        f"role {where.role}, password {password}",
        f"SQLAlchemy: {where.url.replace('postgresql:', 'postgresql+psycopg2:', 1)}",
        psql(where),
    ]
    return [*lines, _SWITCH_ON] if where.is_socket else lines


def _cells(mart: Shown) -> tuple[str, ...]:
    if mart.snapshot is None:
        return mart.mart, "not yet", "", "", ""
    behind = f"{mart.behind} versions" if mart.behind else "newest"
    waits = f"{mart.waits_seconds:.0f} s" if mart.behind else ""
    fresh = f"{mart.fresh_to:%Y-%m-%d %H:%M:%S}" if mart.fresh_to else ""
    return mart.mart, str(mart.snapshot), behind, waits, fresh


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"JSON has no form for {type(value).__name__}")
