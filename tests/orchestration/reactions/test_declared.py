"""reactions.yml: what is right is taken, a mistake has its line, no secret stands in it."""

from datetime import timedelta
from pathlib import Path

import pytest

from ingestion.errors import ConfigError
from orchestration.cli.app import run
from orchestration.conditions.condition import Finding
from orchestration.reactions.declared import read_reactions
from tests.orchestration.reactions.desk import DISK, MODEL, NOON, Desk
from tests.scaffold.test_schemas import problems

WHOLE = """
pager:
  on: {kinds: [disk_low, "model_*"], subjects: ["marts/*", /data]}
  send: {webhook: {url_env: PAGER_URL, secret_env: PAGER_SECRET}}
  all_well: no
  timeout_seconds: 10
  limit: {openings: 3, within_seconds: 3600}
  quiet: {begin: "22:00", end: "07:00", zone: Europe/Vienna, passes: [error]}
  batch: {within_seconds: 30, most: 50}
  escalate: {to: everything, after_seconds: 900}
everything:
  send:
    webhook: {url_env: ALL_URL}
"""
WAY = "send: {webhook: {url_env: U}}"


def body(template: str, more: str = "") -> str:
    """A reaction with a body of its own."""
    return f"p: {{send: {{webhook: {{url_env: U, body: {template}}}}}{more}}}"


MISTAKES = {
    "a misspelt key": ("p: {sned: {}}", "line 1, reaction 'p': unknown key 'sned'; did you mean 'send'?"),
    "a misspelt kind": (
        "p:\n  send: {webhook: {url_env: U}}\n  on:\n    kinds: [disk_lwo]",
        "line 4, reaction 'p': there is no kind 'disk_lwo'; did you mean 'disk_low'?",
    ),
    "nowhere to": ("p: {send: {}}", "line 1, reaction 'p': give one of webhook"),
    "an address in place of a name": (
        "p: {send: {webhook: {url_env: 'https://x/t0ken'}}}", "reaction 'p': send.webhook.url_env: string",
    ),
    "a key that webhooks have not": (
        "p: {send: {webhook: {url: U}}}", "unknown key 'url'; did you mean 'url_env'?",
    ),
    "the setting's name": ("webhook: {send: {webhook: {url_env: U}}}", "line 1: 'webhook' is the name of"),
    "a name that no key may hold": ("p.q: {send: {webhook: {url_env: U}}}", "its name needs small letters"),
    "no mapping": ("- p", "a mapping of names is expected"),
    "a reaction without a body": ("p:", "it needs 'send'"),
    "hours without quotes": (
        f"p: {{{WAY}, quiet: {{begin: 22:00, end: '07:00', zone: UTC}}}}", "a time of day needs quotes",
    ),
    "an hour that is none": (
        f"p: {{{WAY}, quiet: {{begin: '25:00', end: '07:00', zone: UTC}}}}", "quiet.begin: string",
    ),
    "a zone that is none": (
        f"p: {{{WAY}, quiet: {{begin: '22:00', end: '07:00', zone: Europe/Wien}}}}", "there is no time zone",
    ),
    "hours without a length": (
        f"p: {{{WAY}, quiet: {{begin: '22:00', end: '22:00', zone: UTC}}}}", "give two different ones",
    ),
    "a limit without its time": (f"p: {{{WAY}, limit: {{openings: 3}}}}", "limit.within_seconds: field"),
    "a misspelt key of a batch": (
        f"p: {{{WAY}, batch: {{within_seconds: 3, mots: 3}}}}", "unknown key 'mots'; did you mean 'most'?",
    ),
    "a batch of one": (f"p: {{{WAY}, batch: {{within_seconds: 3, most: 1}}}}", "batch.most: input should be"),
    "an escalation to nobody": (
        f"p: {{{WAY}, escalate: {{to: chef, after_seconds: 3}}}}\nchief: {{{WAY}}}",
        "line 1, reaction 'p': it escalates to 'chef', which is not declared; did you mean 'chief'?",
    ),
    "an escalation to itself": (
        f"p:\n  {WAY}\n  escalate: {{to: p, after_seconds: 3}}", "line 3, reaction 'p': it escalates to i",
    ),
    "a reaction that hears of nothing": (f"p: {{{WAY}, on: {{kinds: []}}}}", "it hears of no kind"),
    "a body that is no template": (
        body("'{{ text'"), "reaction 'p': its body is a template with a mistake: unexpected end of template",
    ),
    "a body that names what alerts have not": (
        body("'{{ subjct | tojson }}'"), "a template with a mistake: 'subjct' is undefined",
    ),
    "a body that breaks with quotes": (
        body("""'{"text": "{{ text }}"}'"""), "is not JSON once a value holds quotes or line breaks: write",
    ),
    "a body that reaches out of its sandbox": (
        body("'{{ alerts.__class__.__mro__ | tojson }}'"), "access to attribute '__class__' of",
    ),
    "a body for one alert where several may come": (
        body("'{{ subject | tojson }}'", ", batch: {within_seconds: 3}"), "loop over 'alerts', always",
    ),
    "the same twice": ("p: {send: {webhook: {url_env: U}}}\np: {}", "line 2: 'p' stands already on line 1"),
    "no YAML": ("p: [", "line 1 is not YAML"),
}  # fmt: skip
UNSEEN = {
    "the same twice", "no YAML", "a zone that is none", "hours without a length", "an escalation to nobody",
    "an escalation to itself", "a reaction that hears of nothing", "a body that is no template",
    "a body that names what alerts have not", "a body that breaks with quotes",
    "a body that reaches out of its sandbox", "a body for one alert where several may come",
}  # fmt: skip
"""Mistakes that no JSON Schema sees."""


PLAIN = """
pager:
  on: {kinds: [disk_low, "model_*"], subjects: ["marts/*", /data]}
  send: {webhook: {url_env: PAGER_URL, secret_env: PAGER_SECRET}}
  all_well: no
everything:
  send:
    webhook: {url_env: ALL_URL}
"""


def test_a_whole_file_is_taken() -> None:
    pager, everything = read_reactions(WHOLE)
    assert (pager.name, pager.all_well, everything.all_well) == ("pager", False, True)
    assert [pager.takes(each) for each in (DISK, MODEL)] == [True, True]
    assert not pager.takes(Finding("model_failing", "staging/orders", "It failed."))
    assert not pager.takes(Finding("sensor_off", "/data", "It is off."))
    assert everything.takes(Finding("sensor_off", "x", "It is off."))
    assert read_reactions("") == ()


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_place_and_without_its_value(mistake: str) -> None:
    text, said = MISTAKES[mistake]
    with pytest.raises(ConfigError) as error:
        read_reactions(text)
    assert said in str(error.value)
    assert "t0ken" not in str(error.value)


@pytest.mark.parametrize("mistake", sorted(MISTAKES.keys() - UNSEEN))
def test_the_schema_sees_it_too(mistake: str) -> None:
    assert problems("reactions", MISTAKES[mistake][0])


def test_the_schema_takes_what_is_right() -> None:
    assert problems("reactions", WHOLE.replace("all_well: no", "all_well: false")) == []


def test_a_mistake_stops_nothing_and_is_a_condition(tmp_path: Path) -> None:
    file = tmp_path / "reactions.yml"
    file.write_text(PLAIN)
    desk = Desk(tmp_path)
    desk.note([DISK])
    file.write_text("pager: {}")
    desk.note([DISK, MODEL])
    assert "line 1, reaction 'pager'" in desk.said()["reactions.yml"]
    assert {each.notice.reaction for each in desk.entries()} == {"pager", "everything"}
    assert len(desk.entries()) == 4, "what was declared before stays in use"
    after = Desk(tmp_path)
    after.note([DISK, MODEL, Finding("disk_low", "marts/x", "the disk is full")])
    assert len(after.entries()) == 6, "also by the next system"
    file.write_text(PLAIN.replace("pager:", "phone:"))
    after.note([DISK])
    after.note([DISK])
    assert "reactions.yml" not in after.said()
    assert [
        each.notice.content["subject"] for each in after.entries() if each.notice.reaction == "phone"
    ] == ["/data"], "a new one hears of what is open, and of nothing that was over before"


def test_who_wants_no_ends_gets_none(tmp_path: Path) -> None:
    (tmp_path / "reactions.yml").write_text(WHOLE)
    desk = Desk(tmp_path)
    desk.note([DISK])
    desk.note([], now=NOON + timedelta(minutes=1))
    found = [(each.notice.reaction, each.notice.content["event"]) for each in desk.entries()]
    assert sorted(found) == [
        ("everything", "condition_closed"), ("everything", "condition_opened"), ("pager", "condition_opened"),
    ]  # fmt: skip


def test_the_trouble_of_one_reaction_is_anothers_alert(tmp_path: Path) -> None:
    (tmp_path / "reactions.yml").write_text(WHOLE)
    desk = Desk(tmp_path)
    trouble = Finding("alert_undelivered", "everything", "alerts do not reach 'everything'")
    desk.watchman.note([trouble], now=NOON)
    desk.look(now=NOON + timedelta(minutes=1))
    assert desk.entries() == [], "pager hears of other kinds, and everything not of itself"
    (tmp_path / "reactions.yml").write_text(
        WHOLE.replace("pager:", "pager:", 1) + "third: {send: {webhook: {url_env: U}}}\n"
    )
    desk.look(now=NOON + timedelta(minutes=1))
    assert [each.notice.reaction for each in desk.entries()] == ["third"]


def test_a_demo_reads_no_file(tmp_path: Path) -> None:
    (tmp_path / "reactions.yml").write_text(WHOLE)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "demo").touch()
    desk = Desk(tmp_path, "http://127.0.0.1:1")
    desk.note([DISK])
    assert {each.notice.reaction for each in desk.entries()} == {"webhook"}


def test_status_and_doctor_say_it_when_nothing_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "streams.yml").write_text("")
    (tmp_path / "reactions.yml").write_text("pager: {}")
    monkeypatch.setenv("MILLRACE_PROJECT", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "300")
    run(["status"])
    assert "reactions.yml line 1, reaction 'pager'" in capsys.readouterr().out
    (tmp_path / "reactions.yml").write_text(WHOLE)
    monkeypatch.setenv("ALL_URL", "http://127.0.0.1:1/t0ken")
    run(["doctor"])
    shown = capsys.readouterr().out
    assert "PAGER_URL, which reaction 'pager' names, is not set: set it in .env" in shown
    assert "alerts go to pager, everything" in shown
    assert "t0ken" not in shown
