"""A page before anything is known: head, menu, and a place for the tiles, which page.js fills."""

from orchestration.page.html import Html, tag
from orchestration.page.hub import Key
from orchestration.page.pages import PAGES
from orchestration.web.roles import Who

_READING = "Reading …"


def shell(key: Key, *, ui_url: str, stamp: str, who: Who, extra: Html | None = None) -> str:
    """The HTML of a page.

    Args:
        key: Which.
        ui_url: Of Dagster's web UI; empty without one.
        stamp: Changes with the files of the page: browsers keep them until then.
        who: Who looks.
        extra: What stands above the tiles, a form for example.
    """
    page = PAGES[key.view]
    links = [
        tag("a", each.title, href=each.path, aria_current="page" if name == key.view else None)
        for name, each in PAGES.items()
        if each.in_menu
    ]
    links.append(tag("a", "dbt docs", href="/docs", class_="away"))
    if ui_url:
        links.append(tag("a", "Dagster ↗", href=ui_url, class_="away"))
    title = f"{page.title} {key.of}".strip()
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title} · Millrace"),
        tag("link", rel="icon", href=f"/assets/icon.svg?{stamp}", type="image/svg+xml"),
        tag("link", rel="stylesheet", href=f"/assets/page.css?{stamp}"),
        tag("link", rel="stylesheet", href=f"/assets/flow.css?{stamp}") if key.view == "flow" else None,
        tag("script", src=f"/assets/page.js?{stamp}", defer=True),
    )
    body = tag(
        "body",
        tag("a", "Skip to the content", href="#content", class_="skip"),
        tag(
            "header",
            tag("a", "Millrace", href="/", class_="brand"),
            tag("nav", links, aria_label="Pages"),
            tag("div", id="state"),
            tag("span", f"{who.role} {who.name}".strip(), class_="dim who") if who.name else None,
            class_="top",
        ),
        tag(
            "main",
            tag("div", tag("h1", title), tag("span", id="age", class_="dim", role="status"), class_="title"),
            extra,
            tag("div", tag("p", _READING, class_="empty"), id="tiles"),
            id="content",
            data_view=key.view,
            data_of=key.of,
        ),
        _sure() if who.operates else None,
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _sure() -> Html:
    """What asks before an action."""
    return tag(
        "dialog",
        tag("form", tag("p", id="sure-question"), tag("p", tag("code", id="sure-command")),
            tag("label", "Why: ", tag("input", id="sure-note", maxlength=500), id="sure-why"),
            tag("p", id="sure-said", role="status"),
            tag("div", tag("button", "Do it", id="sure-yes", type="submit"),
                tag("button", "Cancel", id="sure-no", type="button", class_="quiet"), class_="row"),
            method="dialog"),
        id="sure", aria_labelledby="sure-question",
    )  # fmt: skip
