"""Delivery: whatever a receiver does, it takes each opening and each end once by key, in their order."""

import base64
import hmac
import io
from collections.abc import Mapping
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from rich.console import Console

from orchestration.cli.app import run
from orchestration.cli.tables import reactions_table
from orchestration.conditions import webhook
from orchestration.conditions.condition import Finding
from orchestration.observe import courier
from orchestration.reactions.counts import reaction_counts
from orchestration.reactions.entries import LEDGER_FILE
from tests.orchestration.reactions.desk import DISK, EVENTS, MODEL, Desk
from tests.servers.receiver import BUSY, HANG, NEVER, REFUSE, RESET, SLOW, Receiver
from tests.waiting import eventually

SCRIPTS = {
    "refuses": [REFUSE] * 3,
    "is busy": [BUSY, BUSY],
    "hangs": [HANG, HANG],
    "takes and resets": [RESET, RESET],
    "is slow": [SLOW] * 3,
    "does all of it": [REFUSE, RESET, SLOW, HANG, BUSY, RESET, REFUSE],
}
PAGER = """
pager: {send: {webhook: {url_env: PAGER_URL, secret_env: PAGER_SECRET}}}
"""


SHOWN = ["reaction", "pending", "delivered", "failed"]


def shown(counts: Mapping[str, Mapping[str, int]]) -> str:
    """Their table in `status`."""
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(reactions_table(counts))
    return console.export_text()


def equal(desk: Desk, receiver: Receiver) -> None:
    """The ledger holds what the receiver took, and nothing else."""
    delivered = {each.notice.key: dict(each.notice.content) for each in desk.entries("delivered")}
    assert {each.key: each.alert for each in receiver.taken()} == delivered
    assert desk.entries("pending", "failed", "dismissed") == []


@pytest.fixture
def project(tmp_path: Path, secret: bytes) -> Path:
    """A project with a reaction of its own."""
    (tmp_path / "reactions.yml").write_text(PAGER)
    return tmp_path


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_opening_and_each_end_is_taken_once_in_order(
    script: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "POST_SECONDS", 0.5)
    with Receiver(SCRIPTS[script], retry_after="0") as receiver:
        monkeypatch.setenv("PAGER_URL", receiver.url)
        with Desk(project).sending() as desk:
            desk.note([MODEL])
            desk.note([DISK])
            desk.note([MODEL, DISK])
            desk.note([])
            eventually(lambda: len(receiver.taken()) == 6, "all are taken")
            eventually(lambda: len(desk.entries("delivered")) == 6, "and noted")
    for subject, count in (("marts/orders", 2), ("/data", 1)):
        assert [event for event, of in receiver.events() if of == subject] == list(EVENTS) * count
    equal(desk, receiver)
    assert all(each.latency_seconds is not None for each in desk.entries())


def test_what_is_sent_is_signed_and_every_try_has_the_same_key(
    project: Path, secret: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Receiver([REFUSE]) as receiver:
        monkeypatch.setenv("PAGER_URL", receiver.url)
        with Desk(project).sending() as desk:
            desk.note([MODEL])
            eventually(lambda: desk.entries("delivered"), "it is taken")
    first, second = receiver.requests
    assert first.key == second.key == second.headers["idempotency-key"] == second.alert["key"]
    assert first.body == second.body
    for each in receiver.requests:
        signed = f"{each.key}.{each.headers['webhook-timestamp']}.".encode() + each.body
        expected = base64.b64encode(hmac.new(secret, signed, sha256).digest()).decode()
        assert each.headers["webhook-signature"] == f"v1,{expected}"


def test_a_signature_is_that_of_the_specification() -> None:
    """The example of https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md."""
    from pydantic import SecretStr

    from orchestration.reactions.signature import headers, secret_bytes

    secret = secret_bytes(SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), variable="S")
    found = headers("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', now_s=1614265330, secret=secret)
    assert found["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_one_alert_that_is_refused_holds_up_no_other_and_has_a_way_back(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "_MOST_REFUSALS", 3)
    with Receiver([NEVER]) as receiver:
        monkeypatch.setenv("PAGER_URL", receiver.url)
        with Desk(project).sending() as desk:
            desk.note([MODEL])
            eventually(lambda: receiver.requests, "it was refused once")
            receiver.then(NEVER, NEVER)
            eventually(lambda: desk.entries("failed"), "it is set aside")
            desk.note([MODEL, DISK])
            desk.note([DISK])
            eventually(lambda: ("condition_opened", "/data") in receiver.events(), "others go on")
            assert "1 alerts for 'pager' were set aside" in desk.said()["pager"]
            counts = reaction_counts(desk.settings)
            assert counts == {"pager": {"failed": 1, "pending": 1, "delivered": 1}}
            assert shown(counts).split() == [*SHOWN, "pager", "1", "1", "1"]
            assert ("condition_closed", "marts/orders") not in receiver.events(), "ends wait for openings"
            assert run(["--data-dir", str(desk.settings.data_dir), "reactions", "retry", "pager"]) == 0
            desk.look()
            eventually(lambda: len(receiver.taken()) == 3, "all are taken")
            eventually(lambda: desk.said() == {}, "all is well")
    assert [event for event, of in receiver.events() if of == "marts/orders"] == list(EVENTS)
    equal(desk, receiver)


def test_an_alert_that_is_too_old_is_set_aside_by_a_reaction_and_never_by_the_setting(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "_LONGEST", timedelta(0))
    with Receiver([REFUSE] * 6) as receiver:
        monkeypatch.setenv("PAGER_URL", "http://127.0.0.1:1/t0ken")
        with Desk(project, receiver.url).sending() as desk:
            desk.note([MODEL])
            eventually(lambda: desk.entries("failed"), "it is set aside")
            eventually(lambda: desk.entries("delivered"), "the setting's is not")
    assert [each.notice.reaction for each in desk.entries("failed")] == ["pager"]
    assert [each.notice.reaction for each in desk.entries("delivered")] == ["webhook"]


def test_a_receiver_that_asks_for_a_pause_gets_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver([BUSY], retry_after="3600") as receiver:
        monkeypatch.setenv("PAGER_URL", receiver.url)
        with Desk(project).sending() as desk:
            desk.note([MODEL])
            eventually(lambda: desk.said(), "it was refused")
            courier_ = desk.reacting._couriers["pager"]
            eventually(lambda: courier_._pause() == 3600.0, "it waits")
    assert len(receiver.requests) == 1


def test_a_request_waits_until_something_runs_and_counts_once(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PAGER_URL", "http://127.0.0.1:1/t0ken")
    desk = Desk(project)
    desk.note([MODEL, DISK])
    folder = str(desk.settings.data_dir)
    assert run(["--data-dir", folder, "reactions", "dismiss", "pager", "--note", "known"]) == 0
    assert "2 alerts are dismissed when 'millrace up' runs next: nothing runs now" in capsys.readouterr().out
    assert len(desk.entries("pending")) == 2
    (request,) = (desk.settings.data_dir / "conditions" / "requests").glob("*.json")
    content = request.read_text()
    after = Desk(project)
    after.look()
    assert [each.answer for each in after.entries("dismissed")] == ["known", "known"]
    size = (desk.settings.data_dir / LEDGER_FILE).stat().st_size
    request.write_text(content)  # a crash before it was removed
    after.look()
    assert (desk.settings.data_dir / LEDGER_FILE).stat().st_size == size
    assert not request.exists()
    assert run(["--data-dir", folder, "reactions", "list"]) == 0
    assert run(["--data-dir", folder, "reactions", "retry", "pager", "--key", "x"]) == 1


def test_alerts_of_a_reaction_that_is_declared_no_more_are_named(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAGER_URL", "http://127.0.0.1:1/t0ken")
    desk = Desk(project)
    desk.note([MODEL])
    (project / "reactions.yml").unlink()
    after = Desk(project)
    after.look()
    assert "1 alerts wait for 'pager', which is not declared" in after.said()["pager"]


def test_no_secret_is_in_a_file_or_a_sentence(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGER_URL", "http://127.0.0.1:1/t0ken")
    with Desk(project).sending() as desk:
        desk.note([MODEL])
        eventually(lambda: "cannot be reached" in desk.said().get("pager", ""), "it is said")
        monkeypatch.setenv("PAGER_SECRET", "whsec_t0ken")
        eventually(lambda: "PAGER_SECRET must hold whsec_" in desk.said().get("pager", ""), "so is this")
        desk.note([MODEL])
    for file in desk.settings.data_dir.rglob("*"):
        assert file.is_dir() or b"t0ken" not in file.read_bytes()


def test_an_address_in_the_projects_env_file_counts_at_the_next_try(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_ENV_FILE", str(project / ".env"))
    with Receiver() as receiver, Desk(project).sending() as desk:
        desk.note([MODEL])
        eventually(lambda: "PAGER_URL, which" in desk.said().get("pager", ""), "it is missing")
        (project / ".env").write_text(f"PAGER_URL={receiver.url}\n")
        eventually(lambda: desk.entries("delivered"), "it is taken")


SLACK = """
pager:
  send:
    webhook:
      url_env: PAGER_URL
      secret_env: PAGER_SECRET
      body: |
        {"text": {{ text | tojson }}, "blocks": [
        {% for each in alerts %}{"is": {{ each.subject | tojson }}}{{ "," if not loop.last }}{% endfor %}]}
  batch: {within_seconds: 0.1}
"""


def test_a_receiver_gets_a_body_of_its_own_signed_as_it_is_sent(
    project: Path, secret: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "reactions.yml").write_text(SLACK)
    awkward = Finding("disk_low", 'C:\\"new"\n', "</script> 'full'")
    with Receiver() as receiver:
        monkeypatch.setenv("PAGER_URL", receiver.url)
        with Desk(project).sending() as desk:
            desk.note([MODEL, awkward])
            eventually(lambda: len(desk.entries("delivered")) == 2, "both are taken")
    (request,) = receiver.requests
    assert [each["is"] for each in request.alert["blocks"]] == [MODEL.subject, awkward.subject]
    assert request.headers["content-type"] == "application/json"
    signed = f"{request.key}.{request.headers['webhook-timestamp']}.".encode() + request.body
    expected = base64.b64encode(hmac.new(secret, signed, sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{expected}"
