"""What operators may do from the page: each action is a command of `millrace`, asked for with a button.

Buttons stand in tiles that viewers get, too: `for_viewers` takes them out. Who may act, acting.py decides.
"""

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from orchestration.page.html import Html, tag

_BEGIN, _END = Html("<!--act-->"), Html("<!--/act-->")
"""Text is escaped, so that no other part of a page can hold these."""
_BUTTONS = re.compile(f"{re.escape(_BEGIN)}.*?{re.escape(_END)}", re.DOTALL)
_NAME = r"^([A-Za-z0-9_][A-Za-z0-9_.-]{0,199})?$"


@dataclass(frozen=True)
class Action:
    """Something that may be done.

    Attributes:
        label: Of its button.
        question: What is asked before; {of} and {item} stand for what it is about.
        command: The arguments of `millrace`, of `of`, `item` and the note.
        wants_note: Whether it needs a reason.
    """

    label: str
    question: str
    command: Callable[[str, str, str], Sequence[str]]
    wants_note: bool = False


def _last(item: str) -> list[str]:
    """An argument at the end, which cannot be taken for an option."""
    return ["--", item] if item else []


def _option(name: str, value: str) -> list[str]:
    return [f"--{name}={value}"] if value else []


ACTIONS: Mapping[str, Action] = {
    "retry_alerts": Action(
        "Try again",
        "Send the alerts to '{of}' again that were set aside?",
        lambda of, item, note: ["reactions", "retry", of, *_option("key", item)],
    ),
    "dismiss_alerts": Action(
        "Dismiss",
        "Nobody gets these alerts of '{of}' any more. Dismiss them?",
        lambda of, item, note: ["reactions", "dismiss", of, f"--note={note}", *_option("key", item)],
        wants_note=True,
    ),
    "acknowledge_alerts": Action(
        "Acknowledge",
        "Take care of this? No further reaction hears of it by '{of}' then.",
        lambda of, item, note: ["reactions", "acknowledge", of, f"--note={note}", *_option("key", item)],
        wants_note=True,
    ),
    "retry_rejects": Action(
        "Try again",
        "Decode the kept bytes of these rejects of '{of}' again, and land what decodes?",
        lambda of, item, note: ["rejects", "retry", of, *_last(item)],
    ),
    "dismiss_rejects": Action(
        "Dismiss",
        "Dismiss these rejects of '{of}'? Their bytes stay in the lake.",
        lambda of, item, note: ["rejects", "resolve", of, f"--note={note}", *_last(item)],
        wants_note=True,
    ),
    "dismiss_reason": Action(
        "Dismiss",
        "Dismiss all open rejects of '{of}' with the reason {item}? Their bytes stay in the lake.",
        lambda of, item, note: ["rejects", "resolve", of, f"--note={note}", *_option("reason", item)],
        wants_note=True,
    ),
    "accept_gaps": Action(
        "Accept",
        "Accept these gaps of '{of}' as lost? Nobody is warned of them any more.",
        lambda of, item, note: ["gaps", "accept", of, f"--note={note}", *_option("sender", item)],
        wants_note=True,
    ),
    "refresh": Action(
        "Refresh now",
        "Ingest, build and check everything now, as the job 'refresh' does?",
        lambda of, item, note: ["refresh"],
    ),
}  # fmt: skip


class Asked(BaseModel):
    """What a browser sends.

    Attributes:
        action: Which of ACTIONS.
        of: A stream or a reaction; empty for what concerns everything.
        item: An event, an alert's key, a sender; empty for all.
        note: Why, where that is wanted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: str = Field(max_length=40)
    of: str = Field(default="", pattern=_NAME)
    item: str = Field(default="", max_length=500)
    note: str = Field(default="", max_length=500)

    @field_validator("action")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in ACTIONS:
            raise ValueError("there is no such action")
        return value

    @field_validator("item", "note")
    @classmethod
    def _is_one_line(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("it holds characters that cannot be printed")
        return value.strip()

    @field_validator("note")
    @classmethod
    def _has_a_note(cls, value: str, info: ValidationInfo) -> str:
        action = ACTIONS.get(str(info.data.get("action")))
        if action is not None and action.wants_note and not value:
            raise ValueError("say why")
        return value

    @property
    def command(self) -> Sequence[str]:
        """The arguments of `millrace`."""
        return ACTIONS[self.action].command(self.of, self.item, self.note)


def button(action: str, *, of: str = "", item: str = "", label: str = "") -> Html:
    """A button that asks before it acts.

    Args:
        action: Which of ACTIONS.
        of: A stream or a reaction.
        item: An event, an alert's key, a sender; empty for all.
        label: Instead of the action's own.
    """
    known = ACTIONS[action]
    shown = shlex.join(["millrace", *known.command(of, item, "…")])
    made = tag(
        "button", label or known.label, type="button", class_="act", data_action=action, data_of=of,
        data_item=item, data_question=known.question.format(of=of, item=item), data_command=shown,
        data_note=known.wants_note,
    )  # fmt: skip
    return Html(f"{_BEGIN}{made}{_END}")


def for_viewers(tiles: Mapping[str, str]) -> dict[str, str]:
    """Tiles without their buttons."""
    return {name: _BUTTONS.sub("", html) for name, html in tiles.items()}
