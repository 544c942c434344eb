"""A webhook's own body: a Jinja template over what an alert holds, in a sandbox.

It is tried when reactions.yml is read, with values that hold what JSON has to escape: a mistake shows there.
"""

import json
from collections.abc import Mapping
from typing import Any

from ingestion.errors import MillraceError

JSON_TYPE = "application/json"
_AWKWARD = 'a "quoted" \\ text\nof two lines'
_ONE: Mapping[str, Any] = {
    "event": "condition_opened", "text": _AWKWARD, "open": 1, "system": "/data", "name": "disk_low",
    "subject": _AWKWARD, "sentence": _AWKWARD, "remedy": _AWKWARD, "severity": "error",
    "opened": "2026-01-01T00:00:00+00:00", "closed": None, "docs": "docs/operations.md#disk-low", "key": "k",
    "reaction": "pager",
}  # fmt: skip
_SEVERAL: Mapping[str, Any] = {
    "event": "alerts", "text": _AWKWARD, "open": 2, "system": "/data", "key": "k", "reaction": "pager",
    "alerts": [_ONE, {**_ONE, "event": "condition_closed", "closed": _ONE["opened"]}],
}  # fmt: skip


class TemplateMistake(MillraceError):
    """A template that cannot be used: the sentence says why."""


def render(template: str, content: Mapping[str, Any]) -> bytes:
    """A body.

    Args:
        template: Jinja: every key of an alert is a name, and `alerts` is always the list of them.
        content: What is sent otherwise.

    Raises:
        TemplateMistake: It has a mistake, or names what the content has not.
    """
    # Only who writes bodies of his own pays for it: 2 MiB in each process that knows reactions.
    from jinja2 import StrictUndefined, TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
    # As text, a name that is not there says so.
    environment.policies["json.dumps_kwargs"] = {"default": str}
    try:
        return environment.from_string(template).render({"alerts": [content], **content}).encode()
    except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise TemplateMistake(f"its body is a template with a mistake: {_said(error)}") from None


def try_template(template: str, *, content_type: str, combines: bool) -> None:
    """Render it with what may come.

    Args:
        template: As declared.
        content_type: Of the body.
        combines: Whether several alerts may be one message.

    Raises:
        TemplateMistake: It fails, or what it makes is not JSON where that is promised.
    """
    for content in (_ONE, _SEVERAL) if combines else (_ONE,):
        try:
            body = render(template, content)
        except TemplateMistake as mistake:
            if content is _SEVERAL:
                raise TemplateMistake(
                    f"{mistake} when several alerts are one message: loop over 'alerts', always there"
                ) from None
            raise
        if content_type == JSON_TYPE:
            try:
                json.loads(body)
            except ValueError:
                raise TemplateMistake(
                    "its body is not JSON once a value holds quotes or line breaks: write "
                    "{{ text | tojson }}, without quotes round it, or give another content_type"
                ) from None


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".")
