"""A report as one HTML file that asks for nothing else: its style is inside, and it has no script."""

from pathlib import Path

from ingestion.data_folder import is_demo
from ingestion.settings import Settings
from orchestration.drawing.html import Html, tag
from orchestration.report.checks import conditions, contracts, figures
from orchestration.report.content import Content
from orchestration.report.costs import costs
from orchestration.report.events import batches, freshness, lateness, rejects, values
from orchestration.report.parts import lasted, moment

_STYLE = Path(__file__).with_name("style.css")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_MENU = {
    "conditions": "What did not work",
    "checks": "Contracts and checks",
    "freshness": "Freshness",
    "events": "Events",
    "lateness": "Lateness",
    "rejects": "Rejects",
    "values": "Cast errors and conflicts",
    "costs": "Time and CPU",
}


def page(content: Content, settings: Settings) -> str:
    """The file's text.

    Args:
        content: What it shows.
        settings: Whose report it is.
    """
    title = f"Millrace report: {'demo' if is_demo(settings.data_dir) else content.project}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("title", title),
        tag("link", rel="icon", href="data:,"),
        tag("style", Html(_STYLE.read_text(encoding="utf-8"))),
    )
    span = content.span
    covered = (
        f"{moment(span.start)} to {moment(span.end)} UTC, {lasted((span.end - span.start).total_seconds())}"
    )
    version = (
        f"version {content.version:,} of the lake" if content.version is not None else "without the lake"
    )
    body = tag(
        "body",
        tag(
            "header",
            tag("h1", title),
            tag(
                "p", covered, " · ", version, " · ", "running" if content.overview.running else "not running"
            ),
            tag(
                "nav",
                [tag("a", words, href=f"#{key}") for key, words in _MENU.items()],
                aria_label="Sections",
            ),
            class_="top",
        ),
        tag(
            "main",
            _missing(content),
            figures(content),
            conditions(content),
            contracts(content),
            freshness(content),
            batches(content),
            lateness(content),
            rejects(content),
            values(content),
            costs(content),
            tag("footer", _about(content, settings), class_="dim"),
        ),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _missing(content: Content) -> Html | None:
    if not content.missing:
        return None
    lines = [tag("li", sentence) for sentence in content.missing]
    return tag("section", tag("h2", "What could not be read"), tag("ul", lines), class_="wrong", id="missing")


def _about(content: Content, settings: Settings) -> str:
    days = (content.span.end - content.span.start).total_seconds() / 86400
    short = days < content.asked_days - 0.01
    less = f" Asked for {content.asked_days:g} days: nothing older is recorded." if short else ""
    return (
        f"Made {content.span.end:%Y-%m-%d %H:%M:%S} UTC of {settings.data_dir}, by 'millrace report'. "
        f"Times are UTC.{less}"
    )
