"""`millrace reactions`: what each reaction is owed and has got, and the way back for what was set aside."""

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestration.cli.commands.options import AsJson
from orchestration.cli.context import out

if TYPE_CHECKING:
    from ingestion.settings import Settings
    from orchestration.reactions.entries import Entry
    from orchestration.reactions.requests import Wish

app = typer.Typer(help="List alerts that reactions have got or are owed; acknowledge, retry or dismiss them.")

Name = Annotated[str, typer.Argument(metavar="REACTION", help="Whose; 'webhook' is the setting's.")]
Key = Annotated[list[str] | None, typer.Option("--key", help="Only this one, as listed; may be repeated.")]


@app.command("list")
def show_list(
    context: typer.Context,
    reaction: Annotated[str, typer.Argument(metavar="[REACTION]", help="Whose; else all.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="Rows shown in the table.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List alerts with their state: what is owed first, then what was delivered last."""
    from orchestration.reactions.entries import read_ledger

    held = read_ledger(context.obj.settings().data_dir)
    entries = [each for each in held.entries.values() if reaction in ("", each.notice.reaction)]
    entries = [each for each in entries if not each.is_done] + [
        each for each in entries[::-1] if each.is_done
    ]
    if as_json:
        _write([_as_json(each) for each in entries])
        return
    if not entries:
        out.print("no alerts yet")
        return
    from rich.markup import escape

    from ingestion.clock import utc_now
    from orchestration.cli.tables import age, table

    made = table("reaction", "state", "tries", "alert", "noted", "answer", "key", right=("tries",))
    now = utc_now()
    for each in entries[:limit]:
        content = each.notice.content
        made.add_row(
            each.notice.reaction, each.became, str(each.attempts),
            escape(f"{content.get('event', '')} {content.get('name', '')} {content.get('subject', '')}"),
            age(each.notice.noted_at, now=now), escape(each.answer), each.notice.key,
        )  # fmt: skip
    out.print(made)
    if len(entries) > limit:
        out.print(f"the first {limit:,} of {len(entries):,}; --limit shows more")


@app.command()
def hops(
    context: typer.Context,
    reaction: Annotated[str, typer.Argument(metavar="[REACTION]", help="Whose; else all.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show how long alerts of rules took from the event to the receiver, hop by hop."""
    from dataclasses import asdict

    from orchestration.cli.tables import table
    from orchestration.reactions.entries import read_ledger
    from orchestration.reactions.hops import journeys, spreads

    found = journeys(read_ledger(context.obj.settings().data_dir).entries.values())
    found = [each for each in found if reaction in ("", each.reaction)]
    if as_json:
        each_of_them = [
            {"key": each.key, "reaction": each.reaction, "subject": each.subject, "seconds": each.seconds}
            for each in found
        ]
        _write({"hops": [asdict(each) for each in spreads(found)], "openings": each_of_them})
        return
    if not found:
        out.print("no alert of a rule was delivered yet")
        return
    made = table("hop", "p50 s", "p95 s", "longest s", right=("p50 s", "p95 s", "longest s"))
    for each in spreads(found):
        made.add_row(each.name, f"{each.half:.3f}", f"{each.most:.3f}", f"{each.longest:.3f}")
    out.print(made)
    out.print(f"{len(found):,} openings that the ledger still holds; the event's time is its sender's")


@app.command()
def retry(context: typer.Context, reaction: Name, key: Key = None, as_json: AsJson = False) -> None:
    """Try alerts again that were set aside after many tries."""
    _ask(context.obj.settings(), "retry", reaction, key or [], states=("failed",), note="", as_json=as_json)


@app.command()
def dismiss(
    context: typer.Context,
    reaction: Name,
    note: Annotated[str, typer.Option("--note", help="Why nobody needs them any more.")],
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Dismiss alerts that were set aside or are still waiting: nobody gets them."""
    states = ("pending", "held", "batched", "failed")
    _ask(context.obj.settings(), "dismiss", reaction, key or [], states=states, note=note, as_json=as_json)


@app.command()
def acknowledge(
    context: typer.Context,
    reaction: Name,
    note: Annotated[str, typer.Option("--note", help="Who takes care of it, and how.")] = "",
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Acknowledge openings, so that no further reaction hears of them."""
    states = ("pending", "held", "batched", "delivered", "escalated", "failed")
    _ask(
        context.obj.settings(), "acknowledge", reaction, key or [], states=states, note=note, as_json=as_json
    )


def _ask(
    settings: "Settings",
    wish: "Wish",
    reaction: str,
    keys: list[str],
    *,
    states: tuple[str, ...],
    note: str,
    as_json: bool,
) -> None:
    from ingestion.data_folder import system_is_running
    from ingestion.errors import ConfigError
    from orchestration.reactions.entries import read_ledger
    from orchestration.reactions.requests import ask

    of = [
        each for each in read_ledger(settings.data_dir).entries.values() if each.notice.reaction == reaction
    ]
    is_fit = (each.became in states and (each.is_awaited or wish != "acknowledge") for each in of)
    fit = {each.notice.key for each, fits in zip(of, is_fit, strict=True) if fits}
    what = "opening of something that still lasts" if wish == "acknowledge" else "alert"
    if unknown := [key for key in keys if key not in fit]:
        raise ConfigError(
            f"reaction '{reaction}' has no {what} {unknown[0]} that is {' or '.join(states)}: "
            "'millrace reactions list' shows what there is"
        )
    chosen = keys or sorted(fit)
    if chosen:
        ask(settings.data_dir, wish, chosen, note=note)
    runs = system_is_running(settings.data_dir)
    if as_json:
        _write({"reaction": reaction, "wish": wish, "keys": chosen, "system_runs": runs})
        return
    when = "within seconds" if runs else "when 'millrace up' runs next: nothing runs now"
    done = {"retry": "tried again", "dismiss": "dismissed", "acknowledge": "acknowledged"}[wish]
    what = "1 alert is" if len(chosen) == 1 else f"{len(chosen):,} alerts are"
    out.print(f"{reaction}: {what} {done} {when}" if chosen else f"{reaction}: nothing to do", markup=False)


def _as_json(entry: "Entry") -> dict[str, Any]:
    notice = entry.notice
    return {
        "key": notice.key,
        "reaction": notice.reaction,
        "origin": notice.origin,
        "state": entry.became,
        "attempts": entry.attempts,
        "answer": entry.answer,
        "noted_at": notice.noted_at.isoformat(),
        "changed_at": entry.changed_at.isoformat() if entry.changed_at else None,
        "latency_seconds": entry.latency_seconds,
        "content": notice.content,
    }


def _write(document: object) -> None:
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")
