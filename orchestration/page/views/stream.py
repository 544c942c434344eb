"""A stream: what arrives, what could not be decoded and its way back, what is wrong with the rest."""

from ingestion.land.rejects import Reject
from ingestion.watch.fates import Fate
from orchestration.cli.messages import Row, printable
from orchestration.page.actions import button
from orchestration.page.content import SHOWN_BYTES, StreamContent
from orchestration.page.html import Child, Html, clock, join, nothing, since, table, tag, tile
from orchestration.page.look import Look
from orchestration.page.views.overview import errors, lag, rate, version
from orchestration.records.overview import StreamRow

_SHOWN_CHARACTERS = 400


def stream_tiles(look: Look, content: StreamContent | None, *, name: str) -> dict[str, Html]:
    """The tiles of a stream's page.

    Args:
        look: Of everything.
        content: What was read of it; None where no such stream is declared.
        name: The stream.
    """
    if content is None:
        known = ", ".join(row.stream for row in look.overview.streams) or "none"
        text = f"No stream of the name '{name[:100]}' is declared; declared are: {known}."
        return {"unknown": tile("Not declared", nothing(text), kind="wide")}
    row = next((each for each in look.overview.streams if each.stream == name), None)
    tiles = {
        **errors(look),
        "figures": _figures(look, content, row),
        "newest": _newest(look, content),
        "rejects": _rejects(look, content, row),
    }
    if content.resolved:
        tiles["resolved"] = _resolved(look, content)
    if row and row.schemas:
        tiles["schemas"] = _schemas(look, row)
    if content.gaps is not None:
        tiles["gaps"] = _gaps(look, content)
    return {**tiles, "staged": _staged(content), "fields": _fields(content), "checks": _checks(look, content)}


def _figures(look: Look, content: StreamContent, row: StreamRow | None) -> Html:
    if row is None:
        return tile("Now", nothing("Nothing is known of it now."), kind="wide")
    unread, oldest = lag(row)
    figures: list[tuple[str, Child]] = [
        ("events a second", rate(look, row)),
        ("unread", unread),
        ("oldest unread", oldest),
        ("rows", f"{row.rows:,}"),
        ("open rejects", f"{row.open_rejects:,}"),
        ("loaded", since(row.last_load_at, now=look.at)),
        ("newest event", since(row.last_event_at, now=look.at)),
    ]
    shown = tag(
        "dl", [tag("div", tag("dt", name), tag("dd", value)) for name, value in figures], class_="figures"
    )
    why = tag("p", row.error, class_="sentence") if row.error else None
    return tile(content.stream.source.origin, shown, why, note=version(look), kind="wide")


def _newest(look: Look, content: StreamContent) -> Html:
    if content.why_not:
        return tile("Newest events", tag("p", content.why_not, class_="sentence"), kind="wide")
    if not content.newest:
        return tile("Newest events", nothing("The lake has read no event of it yet."), kind="wide")
    rows = [_event(each) for each in content.newest]
    shown = table(("event", "sent", "key", "payload", "became"), rows, texts=("payload",))
    return tile("Newest events", shown, note=f"the newest {len(rows)} that were read", kind="wide")


def _event(row: Row) -> tuple[Child, ...]:
    seen, fate = row
    message = seen.message
    if seen.reason:
        payload: Child = tag("span", f"{seen.reason}: {printable(seen.detail)}", class_="bad")
    else:
        payload = tag("code", _cut(printable(" ".join((seen.payload or "null").split()))))
    key = "" if seen.key is None else _cut(printable(seen.key), 40)
    return f"{message.partition}@{message.position}", clock(message.sent_at), key, payload, _became(fate)


def _became(fate: Fate | None) -> Child:
    if fate is None:
        return None
    if fate.reject and fate.batch_id is None:
        return tag("span", f"rejected: {fate.reject}", class_="bad")
    if fate.batch_id is None:
        return tag("span", "not in raw yet", class_="dim")
    if fate.staged is None:
        return f"batch {fate.batch_id}; {fate.why_not}"
    if wrong := fate.staged.get("cast_errors"):
        return tag("span", f"batch {fate.batch_id}; not of their type: {', '.join(wrong)}", class_="warn")
    return f"batch {fate.batch_id}, staged"


def _cut(text: str, most: int = _SHOWN_CHARACTERS) -> str:
    return text if len(text) <= most else f"{text[:most]} …"


def _rejects(look: Look, content: StreamContent, row: StreamRow | None) -> Html:
    if not content.rejects:
        return tile("Open rejects", nothing("None: everything that came was decoded."), kind="wide")
    rows = [
        (
            each.event_id,
            each.reason,
            f"{each.payload_bytes:,}",
            "yes" if each.kept else "no",
            since(each.ingested_at, now=look.at),
            join([_cut(printable(each.detail)), _sent(content, each), _ways(content.stream.name, each)]),
        )
        for each in content.rejects
    ]
    shown = table(("event", "reason", "bytes", "kept", "rejected", ""), rows, right=("bytes",))
    name, total = content.stream.name, row.open_rejects if row else len(rows)
    way = _commands(
        "Their way back:",
        (f"millrace rejects show {name} {content.rejects[0].event_id}", "shows the bytes of one"),
        (f"millrace rejects retry {name}", "decodes kept bytes again, after a decoder was corrected"),
        (f"millrace rejects resolve {name} --note …", "dismisses them; their bytes stay"),
    )
    everything = tag(
        "p",
        button("retry_rejects", of=name, label="Try all again"),
        [
            button("dismiss_reason", of=name, item=reason, label=f"Dismiss all {reason}")
            for reason in sorted({each.reason for each in content.rejects})
        ],
    )
    note = f"the newest {len(rows)} of {total:,}" if total > len(rows) else f"{total}"
    return tile("Open rejects", shown, everything, way, note=note, kind="wide")


def _sent(content: StreamContent, reject: Reject) -> Html:
    """Its first bytes, to be unfolded."""
    sent = content.sent.get(reject.event_id)
    if sent is None:
        return Html(" ")
    text = printable(sent.decode("utf-8", "backslashreplace"))
    more = " …" if len(sent) >= SHOWN_BYTES else ""
    return tag("details", tag("summary", "what was sent"), tag("code", f"{text}{more}"))


def _resolved(look: Look, content: StreamContent) -> Html:
    rows = [
        (
            each.event_id,
            each.reason,
            tag("span", each.outcome, class_="good" if each.outcome == "landed" else "dim"),
            "" if each.landed_batch_id is None else str(each.landed_batch_id),
            since(each.resolved_at, now=look.at),
            _cut(printable(each.note)),
        )
        for each in content.resolved
    ]
    shown = table(("event", "reason", "became", "batch", "when", ""), rows, right=("batch",))
    return tile(
        "Rejects that came back or were dismissed", shown, note=f"the newest {len(rows)}", kind="wide"
    )


def _ways(name: str, reject: Reject) -> Html:
    again = button("retry_rejects", of=name, item=reject.event_id) if reject.kept else None
    return join([again, button("dismiss_rejects", of=name, item=reject.event_id)])


def _schemas(look: Look, row: StreamRow) -> Html:
    """The versions of the schemas that its values name, the newest first."""
    rows = [
        (
            printable(each.label(one)),
            since(one.since, now=look.at),
            since(one.last_at, now=look.at),
            printable(one.changes),
        )
        for each in row.schemas
        for one in reversed(each.versions)
    ]
    return tile("Schemas", table(("schema", "since", "last", ""), rows), kind="wide")


def _gaps(look: Look, content: StreamContent) -> Html:
    gaps = content.gaps or ()
    if not gaps:
        return tile("Gaps", nothing("None: every number of its senders has come."), kind="wide")
    rows = [
        (
            printable(each.sender),
            str(each.first_number),
            str(each.last_number),
            f"{each.missing:,}",
            clock(each.last_before_at),
            since(each.opened_at, now=look.at),
            button("accept_gaps", of=content.stream.name, item=each.sender, label="Accept the sender's"),
        )
        for each in gaps[:50]
    ]
    shown = table(
        ("sender", "from", "to", "missing", "after", "noticed", ""), rows, right=("from", "to", "missing")
    )
    name = content.stream.name
    way = _commands(
        "An event that comes late closes its gap.",
        (f"millrace gaps accept {name} --note …", "accepts them as lost"),
    )
    everything = tag("p", button("accept_gaps", of=name, label="Accept all"))
    return tile("Gaps", shown, everything, way, note=f"{len(gaps):,} open", kind="wide")


def _commands(intro: str, *commands: tuple[str, str]) -> Html:
    lines = [tag("li", tag("code", command), " ", text) for command, text in commands]
    return tag("div", tag("p", intro, class_="dim"), tag("ul", lines, class_="commands"))


def _staged(content: StreamContent) -> Html:
    """Values that do not fit, and deliveries that contradict each other, of the newest hour."""
    casts, conflicts = content.casts, content.conflicts
    if casts is None:
        return tile("In staging", nothing(f"No model stg_{content.stream.name} is built yet."))
    said: list[Child] = []
    if casts.errors:
        head = f"{casts.errors:,} of {casts.events:,} events have a value that is not of its type."
        rows = [
            (each.field, f"{each.errors:,}", each.event_id, printable(each.value)) for each in casts.fields
        ]
        said += [
            tag("p", head, class_="warn"),
            table(("field", "errors", "for example", ""), rows, right=("errors",)),
        ]
    else:
        said.append(nothing(f"Every value of {casts.events:,} events is of its type."))
    if conflicts is not None and conflicts.conflicts:
        said.append(
            tag(
                "p",
                f"{conflicts.conflicts:,} deliveries have another one's business id and another payload: "
                f"{conflicts.event_id} and {conflicts.first_event_id} ({printable(conflicts.business_id)}).",
                class_="warn",
            )
        )
    else:
        said.append(nothing("No two deliveries contradict each other."))
    return tile("In staging", said, note="the newest hour")


def _fields(content: StreamContent) -> Html:
    stream = content.stream
    if not stream.fields:
        return tile("Fields", nothing("It declares none: staging has the payload as it came."))
    rows = [(name, str(field.type), _roles(content, name)) for name, field in stream.fields.items()]
    return tile("Fields", table(("field", "type", ""), rows), note=stream.format.name)


def _roles(content: StreamContent, name: str) -> str:
    stream = content.stream
    roles = [("event time", name == stream.event_time), ("business id", name in stream.business_id)]
    return ", ".join(word for word, holds in roles if holds)


def _checks(look: Look, content: StreamContent) -> Html:
    name = content.stream.name
    assets = {f"raw/{name}", f"staging/stg_{name}"}
    checks = [check for check in look.overview.checks if check.asset in assets]
    if not checks:
        return tile("Checks", nothing("None has run yet; they run with its first events."), kind="wide")
    rows = [
        (
            check.check,
            check.asset,
            _outcome(check.outcome),
            since(check.checked_at, now=look.at),
            check.message,
        )
        for check in sorted(checks, key=lambda each: (each.outcome == "passed", each.asset, each.check))
    ]
    return tile("Checks", table(("check", "of", "outcome", "when", ""), rows), kind="wide")


def _outcome(outcome: str) -> Html:
    kind = {"passed": "good", "warned": "warn"}.get(outcome, "bad")
    return tag("span", outcome.replace("_", " "), class_=kind)
