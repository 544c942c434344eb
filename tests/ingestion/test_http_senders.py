"""Who may send over HTTP: bearer tokens, signatures, TLS; and what would be open to strangers."""

import asyncio
import hmac
import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256, sha512
from pathlib import Path
from typing import Any

import pytest

from ingestion.collect.collector import Collector
from ingestion.connectors.http.access import HttpAccess
from ingestion.connectors.http.app import HttpApp
from ingestion.connectors.http.connector import HTTP
from ingestion.connectors.http.doors import Keepers
from ingestion.connectors.http.signatures import PRESETS, Signature
from ingestion.connectors.http.tokens import TokenFile
from ingestion.connectors.messages import Look, Outgoing
from ingestion.declare.sources import open_sender, peek, read_source
from ingestion.declare.stream import Stream
from ingestion.errors import ConfigError, SourceUnavailable, StorageError
from ingestion.settings import load_settings
from tests.ingestion.posting import JSON, Post, collecting
from tests.servers.certificates import Certificates

SECRET = "It's a Secret to Everybody"
SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554"
    b"%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Post]:
    """Doors: `guarded` wants a token, `hooks` a signature of GitHub's."""
    sources = [{"http": "guarded", "auth": "token"}, {"http": "hooks", "auth": "github"}]
    secrets = f"hooks=former hooks={SECRET.replace(' ', '-')}"
    with collecting(tmp_path_factory.mktemp("guarded"), *sources, http_secrets=secrets) as post:
        yield post


def tokens_of(post: Post) -> TokenFile:
    return TokenFile(post.settings.data_dir / HTTP.collector)


def bearer(token: str) -> dict[str, str]:
    return {**JSON, "Authorization": f"Bearer {token}"}


def test_a_token_counts_as_soon_as_it_is_made_and_no_longer_than_it_is_there(shared: Post) -> None:
    tokens, before = tokens_of(shared), len(shared.values("a"))
    known = {each.id for each in tokens.of("a")}
    refused = shared.post("guarded", b"1")
    assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
    first, second = tokens.make("a"), tokens.make("a")
    made = [each.id for each in tokens.of("a") if each.id not in known]
    foreign = tokens.make("b")
    for token, status in ((first, 202), (second, 202), (foreign, 401), (first[:-1], 401), ("", 401)):
        assert shared.post("guarded", b"1", bearer(token)).status == status
    kept = (shared.settings.data_dir / HTTP.collector / "tokens.json").read_text()
    assert not [token for token in (first, second) if token in kept]
    assert sha256(first.encode()).hexdigest() in kept
    assert tokens.revoke("a", made[0])
    assert not tokens.revoke("b", made[1])
    assert [shared.post("guarded", b"1", bearer(token)).status for token in (first, second)] == [401, 202]
    assert shared.values("a")[before:] == [b"1"] * 3


def test_who_shows_no_token_is_refused_before_the_body_is_read(shared: Post) -> None:
    with socket.create_connection(("127.0.0.1", shared.port)) as client:
        client.sendall(b"POST /v1/guarded HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 401 ")


def test_what_is_kept_of_tokens_and_cannot_be_read_admits_nobody(tmp_path: Path) -> None:
    tokens = TokenFile(tmp_path)
    token = tokens.make("a")
    assert tokens.admits("a", token)
    (tmp_path / "tokens.json").write_text("{")
    assert not tokens.admits("a", token)
    with pytest.raises(StorageError, match=r"tokens\.json cannot be read"):
        tokens.make("a")


def test_a_signed_request_is_stored_and_a_forged_one_is_not(shared: Post) -> None:
    body = b'{"zen": "Keep it logically awesome."}'
    for secret, status in ((SECRET.replace(" ", "-"), 202), ("former", 202), ("guessed", 401)):
        signature = hmac.new(secret.encode(), body, sha256).hexdigest()
        answer = shared.post("hooks", body, {**JSON, "X-Hub-Signature-256": f"sha256={signature}"})
        assert answer.status == status
    assert shared.post("hooks", body).status == 401
    assert shared.values("b") == [body, body]


def test_signatures_are_those_that_the_senders_document() -> None:
    """GitHub's and Slack's documentation give these examples; Stripe's describes its way in words."""
    github = {
        "x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    }
    assert PRESETS["github"].is_valid(github, b"Hello, World!", [SECRET.encode()], now=0)
    slack = {
        "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        "x-slack-request-timestamp": "1531420618",
    }
    secret = b"8f742231b10e8888abcd99yyyzzz85a5"
    assert PRESETS["slack"].is_valid(slack, SLACK_BODY, [secret], now=1_531_420_618 + 300)
    signed = hmac.new(b"whsec", b'1492774577.{"id":1}', sha256).hexdigest()
    stripe = {"stripe-signature": f"t=1492774577,v1={'0' * 64},v1={signed},v0=6ffbb59b"}
    assert PRESETS["stripe"].is_valid(stripe, b'{"id":1}', [b"whsec"], now=1_492_774_577)


@pytest.mark.parametrize(
    "change",
    [
        {"now": 1_000_301}, {"now": 999_699}, {"body": b"other"}, {"secrets": [b"other"]}, {"secrets": []},
        {"headers": {}}, {"headers": {"stripe-signature": "v1={v1}"}},
        {"headers": {"stripe-signature": "t=1000001,v1={v1}"}},
        {"headers": {"stripe-signature": "t=1000000"}},
        {"headers": {"stripe-signature": "t=1000000,v0={v1}"}},
        {"headers": {"stripe-signature": "t=1000000,v1=zz"}},
        {"headers": {"stripe-signature": "t=x,v1={v1}"}},
    ],
)  # fmt: skip
def test_a_signature_that_is_wrong_late_or_missing_is_refused(change: dict[str, Any]) -> None:
    v1 = hmac.new(b"s", b"1000000.body", sha256).hexdigest()
    right: dict[str, Any] = {
        "headers": {"stripe-signature": f"t=1000000,v1={v1}"},
        "body": b"body",
        "secrets": [b"s"],
        "now": 1_000_000,
    }  # fmt: skip
    wrong = right | change
    wrong["headers"] = {name: text.replace("{v1}", v1) for name, text in wrong["headers"].items()}
    assert PRESETS["stripe"].is_valid(**right)
    assert not PRESETS["stripe"].is_valid(**wrong)


def test_a_signature_of_ones_own_is_declared() -> None:
    declared = {
        "header": "X-Sig", "algorithm": "sha512", "encoding": "base64", "signed": "{body}|{timestamp}",
        "timestamp": "X-At", "tolerance_seconds": 5,
    }  # fmt: skip
    stream = Stream.model_validate({"name": "a", "source": {"http": "a", "auth": declared}})
    signature: Signature = stream.source.signature  # type: ignore[attr-defined]
    text = b64encode(hmac.new(b"s", b"body|100", sha512).digest()).decode()
    assert signature.is_valid({"x-sig": text, "x-at": "100"}, b"body", [b"s"], now=105)
    assert not signature.is_valid({"x-sig": text, "x-at": "100"}, b"body", [b"s"], now=106)
    with pytest.raises(ValueError, match=r"must hold \{body\}"):
        Signature(header="X", signed="{timestamp}")


@pytest.mark.parametrize(
    ("source", "settings", "says"),
    [
        ({"auth": "token"}, {"http_host": "0.0.0.0"}, "unencrypted"),
        ({}, {"http_host": "0.0.0.0", "http_proxy": "10.0.0.1"}, "everybody who reaches 0.0.0.0 could send"),
        ({}, {"http_allowed_hosts": "events.example"}, "could send to /v1/door"),
        ({"auth": "github"}, {"http_secrets": "other=x"}, "has no secret for it: add door=SECRET"),
        ({"auth": "token"}, {"http_tls_cert_file": "x.pem"}, "are needed together"),
        (
            {"auth": "token"},
            {"http_tls_cert_file": "x.pem", "http_tls_key_file": "y.pem"},
            "cannot be used with the key",
        ),
    ],
)
def test_what_would_be_open_to_strangers_does_not_start(
    tmp_path: Path, source: dict[str, str], settings: dict[str, str], says: str
) -> None:
    known = load_settings(data_dir=tmp_path, **settings)
    stream = Stream.model_validate({"name": "a", "source": {"http": "door", **source}})
    with pytest.raises(ConfigError, match=says):
        Collector(known, [stream], connector=HTTP)


def test_two_streams_of_one_address_let_the_same_in(tmp_path: Path) -> None:
    streams = [
        Stream.model_validate({"name": name, "source": {"http": "door", "auth": auth}})
        for name, auth in (("a", "none"), ("b", "token"))
    ]
    with pytest.raises(ConfigError, match="make it one"):
        Collector(load_settings(data_dir=tmp_path), streams, connector=HTTP)


def test_over_tls_senders_and_readers_show_their_tokens(tmp_path: Path, certificates: Certificates) -> None:
    tls = {
        "http_tls_cert_file": str(certificates.server), "http_tls_key_file": str(certificates.server),
        "http_host": "0.0.0.0", "http_read_token": "a token for reading", "source_timeout_seconds": 20,
    }  # fmt: skip
    with collecting(tmp_path, {"http": "door", "auth": "token"}, **tls) as post:
        sender = open_sender(read_source("http:door"), post.settings)
        with pytest.raises(SourceUnavailable, match="HTTP 401"):
            sender.send([Outgoing("door", b"1")])
        known = post.settings.replaced(http_token=tokens_of(post).make("a"))
        open_sender(read_source("http:door"), known).send([Outgoing("door", b"2")])
        assert post.values("a") == [b"2"]
        blind = known.replaced(http_read_token="a token that is wrong")
        with pytest.raises(SourceUnavailable, match="MILLRACE_HTTP_READ_TOKEN"):
            list(peek(read_source("http:door"), blind, Look(limit=1)))
        (finding,) = HTTP.examine(known.access("http", HTTP.access), timeout_seconds=10)
        assert finding.state == "ok"


def test_what_is_sent_to_a_guarded_address_is_shown_to_readers_only(shared: Post) -> None:
    token = tokens_of(shared).make("a")
    answer = shared.ask("GET", "/v1/guarded/next", None, bearer(token))
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    receipt = shared.post("guarded", b"1", bearer(token)).json["receipt"]
    assert shared.ask("GET", f"/v1/receipts/{receipt}").status == 401
    known = shared.ask("GET", f"/v1/receipts/{receipt}", None, bearer(token))
    assert (known.status, "the lake does not answer" in known.json["detail"]) == (503, True)


@pytest.mark.parametrize(("client", "status"), [("10.0.0.1", 404), ("10.0.0.2", 403), ("127.0.0.1", 404)])
def test_behind_a_proxy_only_the_proxy_is_answered(tmp_path: Path, client: str, status: int) -> None:
    access = HttpAccess(host="0.0.0.0", proxy="10.0.0.1")
    app = HttpApp(
        {}, access, keepers=Keepers(access, TokenFile(tmp_path)), deliver=lambda _: None,
        whereabouts=lambda *_: None, held=lambda _: None, answer_seconds=1,
    )  # fmt: skip
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"1"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/v1/door", "headers": [], "query_string": b"",
        "client": (client, 1), "http_version": "1.1",
    }  # fmt: skip
    asyncio.run(app.asgi(scope, receive, send))
    assert sent[0]["status"] == status


def test_a_reader_sees_what_is_sent_to_a_guarded_address(tmp_path: Path) -> None:
    guarded = {"http": "door", "auth": "token"}
    with collecting(tmp_path, guarded, http_read_token="a token for reading") as post:
        known, stop = post.settings.replaced(http_token=tokens_of(post).make("a")), threading.Event()

        def send() -> None:
            while not stop.wait(0.05):
                open_sender(read_source("http:door"), known).send([Outgoing("door", b"seen")])

        sending = threading.Thread(target=send)
        sending.start()
        try:
            (message,) = peek(read_source("http:door"), known, Look(limit=1, wait_seconds=60))
        finally:
            stop.set()
            sending.join(60)
        assert message.value == b"seen"
