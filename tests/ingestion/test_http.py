"""The HTTP source on its real server: what a request may hold, what is refused, and when it is answered."""

import gzip
import hmac
import re
import select
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import zstandard

from ingestion.collect.collector import Collector
from ingestion.connectors.http import protocol
from ingestion.connectors.http.connector import HTTP
from ingestion.connectors.http.delivery import Stored
from ingestion.connectors.http.problems import Problem
from ingestion.connectors.http.rates import Rate
from ingestion.connectors.http.receipts import receipt_id
from ingestion.connectors.messages import Look, Message
from ingestion.declare.sources import open_sender, peek, read_source
from ingestion.declare.stream import Stream
from ingestion.errors import ConfigError, SourceUnavailable
from ingestion.faultpoints import install_hook
from ingestion.lake.lake import Lake
from ingestion.settings import Settings, load_settings
from ingestion.spool.guarded import Limits
from ingestion.spool.reader import SpoolReader
from tests.ingestion.collecting import running, spooled, wait_until
from tests.ingestion.helpers import ingest, positions_of
from tests.ingestion.posting import JSON, LINES, Post, collecting
from tests.servers.ports import free_ports

BYTES = {"Content-Type": "application/octet-stream"}
GZIP, ZSTD = ({**JSON, "Content-Encoding": name} for name in ("gzip", "zstd"))
BOMB = gzip.compress(b" " * 3_000_000)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Post]:
    """Doors: `one`; `two`, which two streams read; `kept`, which keeps a header."""
    sources = [
        {"http": "one"}, {"http": "two"}, {"http": "two"}, {"http": "kept", "headers": ["X-GitHub-Event"]},
    ]  # fmt: skip
    folder = tmp_path_factory.mktemp("posted")
    with collecting(folder, *sources, http_body_max_bytes=1_000_000, http_request_max_events=1_000) as post:
        yield post


@pytest.fixture
def hook() -> Iterator[None]:
    yield
    install_hook(None)


@pytest.mark.parametrize(
    ("body", "headers", "events"),
    [
        (b'{"a": 1.50}', JSON, [b'{"a": 1.50}']),
        (b' [1, {"b": ["]", 2]} ,"x,\\"y"]\n', JSON, [b"1", b'{"b": ["]", 2]}', b'"x,\\"y"']),
        (b'[[1,2],[],{}]', {"Content-Type": "application/cloudevents-batch+json"}, [b"[1,2]", b"[]", b"{}"]),
        (b'{"a":1}\r\n\n{"a":1e400}\n', LINES, [b'{"a":1}', b'{"a":1e400}']),
        (b'[123456789012345678901234567890]', JSON, [b"123456789012345678901234567890"]),
        (b"\x00\xff{", BYTES, [b"\x00\xff{"]),
        (b"a,b\n1,\xe9\n", {"Content-Type": "text/csv; charset=iso-8859-1"}, [b"a,b\n1,\xe9\n"]),
        (b"\x81\xa1a\x01", {"Content-Type": "application/vnd.msgpack"}, [b"\x81\xa1a\x01"]),
        (gzip.compress(b'"zip"', mtime=0), GZIP, [b'"zip"']),
        (gzip.compress(b"[1", mtime=0) + gzip.compress(b",2]", mtime=0), GZIP, [b"1", b"2"]),
        (zstandard.compress(b'"zstd"'), ZSTD, [b'"zstd"']),
        (b'"text"', {"Content-Type": "Application/JSON; Charset=UTF-8"}, [b'"text"']),
    ],
)  # fmt: skip
def test_each_kind_of_body_is_stored_as_it_came(
    shared: Post, body: bytes, headers: Mapping[str, str], events: list[bytes]
) -> None:
    before = len(shared.values("a"))
    answer = shared.post("one", body, headers)
    assert (answer.status, answer.json["events"]) == (202, len(events))
    (place,) = answer.json["streams"]
    assert (place["stream"], place["first"], place["last"]) == ("a", before, before + len(events) - 1)
    assert shared.values("a")[before:] == events
    if "Content-Encoding" not in headers:
        assert answer.json["digest"] == f"sha256:{sha256(body).hexdigest()}"


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "says"),
    [
        ("POST", "/v1/none", b"1", JSON, 404, "no stream reads"),
        ("POST", "/elsewhere", b"1", JSON, 404, "POSTed to /v1/NAME"),
        ("GET", "/v1/one", None, {}, 405, "not a method"),
        ("POST", "/v1/one", b"1", {"Content-Type": "text/plain"}, 415, "application/x-ndjson"),
        ("POST", "/v1/one", b"1", {"Content-Type": "text/plain; charset=utf-8"}, 415, "any page"),
        ("POST", "/v1/one", b"a=1", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "and forms"),
        ("POST", "/v1/one", b"1", {"Content-Type": "multipart/form-data; boundary=x"}, 415, "and forms"),
        ("POST", "/v1/one", b"1", {"Content-Type": "csv"}, 415, "as in text/csv"),
        ("POST", "/v1/one", b"1", {}, 415, "application/json"),
        ("POST", "/v1/one", b"1", {"Content-Type": "application/json; charset=utf-16"}, 415, "UTF-8"),
        ("POST", "/v1/one", b"1", {**JSON, "Content-Encoding": "br"}, 415, "gzip, zstd or none"),
        ("POST", "/v1/one", b"{", JSON, 400, "not JSON"),
        ("POST", "/v1/one", b'"\xff"', JSON, 400, "not JSON in UTF-8"),
        ("POST", "/v1/one", b"[" * 5_000 + b"]" * 5_000, JSON, 400, "not JSON"),
        ("POST", "/v1/one", b"1\nNaN\n", LINES, 400, "line 2 is not JSON"),
        ("POST", "/v1/one", b" \n", JSON, 400, "is empty"),
        ("POST", "/v1/one", b"[]", JSON, 422, "holds no event"),
        ("POST", "/v1/one", b"", BYTES, 422, "holds no event"),
        ("POST", "/v1/one", gzip.compress(b"1", mtime=0)[:-3], GZIP, 400, "not whole gzip"),
        ("POST", "/v1/one", b"plain", ZSTD, 400, "not whole zstd"),
        ("POST", "/v1/one", BOMB, GZIP, 413, "unpacks to more than 1,000,000 bytes"),
        ("POST", "/v1/one", b" " * 1_000_001, JSON, 413, "more than 1,000,000 bytes"),
        ("POST", "/v1/one", b"1\n" * 1_001, LINES, 413, "may hold 1,000"),
        ("POST", "/v1/one", b"1", {**JSON, "Host": "evil.example"}, 421, "127.0.0.1 or localhost"),
    ],
)  # fmt: skip
def test_what_is_refused_says_why_and_stores_nothing(
    shared: Post,
    method: str,
    path: str,
    body: bytes | None,
    headers: Mapping[str, str],
    status: int,
    says: str,
) -> None:
    before = len(shared.values("a"))
    answer = shared.ask(method, path, body, headers)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["status"] == status
    assert says in answer.json["detail"]
    assert len(shared.values("a")) == before


def test_a_body_that_is_too_large_is_refused_before_it_is_read(shared: Post) -> None:
    head = b"POST /v1/one HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", shared.port)) as client:
        client.sendall(head + b"Content-Length: 99999999999\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 413 ")
    with socket.create_connection(("127.0.0.1", shared.port)) as client:
        client.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
        with suppress(OSError):
            for _ in range(200):
                client.sendall(b"4000\r\n" + b" " * 0x4000 + b"\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_an_address_takes_so_many_requests_a_minute_and_says_how_many_are_left(tmp_path: Path) -> None:
    sources = [{"http": "slow", "requests_per_minute": 2}, {"http": "free"}]
    with collecting(tmp_path, *sources) as post:
        for left in (1, 0):
            answer = post.post("slow", b"1")
            assert answer.status == 202
            assert answer.headers["ratelimit-policy"] == '"slow";q=2;w=60'
            assert re.fullmatch(rf'"slow";r={left};t=\d+', answer.headers["ratelimit"])
            assert [answer.headers[f"x-ratelimit-{name}"] for name in ("limit", "remaining")] == [
                "2",
                f"{left}",
            ]
        refused = post.post("slow", b"{")
        assert (refused.status, refused.headers["x-ratelimit-remaining"]) == (429, "0")
        assert refused.headers["retry-after"] == refused.headers["x-ratelimit-reset"]
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert "ratelimit" not in post.post("free", b"1").headers
        assert len(post.values("a")) == 2


def test_a_minute_begins_with_its_first_request() -> None:
    rate = Rate("a", 1)
    assert rate.take(1000.0)["ratelimit"] == '"a";r=0;t=60'
    with pytest.raises(Problem) as caught:
        rate.take(1059.5)
    assert caught.value.headers["retry-after"] == "1"
    assert rate.take(1060.0)["ratelimit"] == '"a";r=0;t=60'


def test_who_may_not_send_uses_up_nothing(tmp_path: Path) -> None:
    signed = {"http": "signed", "auth": "github", "requests_per_minute": 1}
    with collecting(tmp_path, signed, http_secrets="signed=secret") as post:
        assert [post.post("signed", b"1").status for _ in range(3)] == [401, 401, 401]
        signature = f"sha256={hmac.new(b'secret', b'1', 'sha256').hexdigest()}"
        assert post.post("signed", b"1", {**JSON, "X-Hub-Signature-256": signature}).status == 202


def test_a_door_that_two_streams_read_brings_each_event_to_both(shared: Post) -> None:
    answer = shared.post("two", b"[1,2]")
    assert [(each["stream"], each["last"] - each["first"]) for each in answer.json["streams"]] == [
        ("b", 1),
        ("c", 1),
    ]
    assert shared.values("b") == shared.values("c") == [b"1", b"2"]


def test_an_event_keeps_its_door_its_type_and_the_headers_that_are_declared(shared: Post) -> None:
    assert shared.post("kept", b"1", {**JSON, "X-GitHub-Event": "push", "X-Other": "no"}).status == 202
    (row,) = spooled(shared.settings.data_dir, "d")
    assert row["headers"] == {"content_type": "application/json", "x-github-event": "push"}
    assert row["event_key"] == b"kept"


def test_a_page_of_another_site_gets_no_leave_to_send(shared: Post) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = shared.ask("OPTIONS", "/v1/one", None, asked)
    assert answer.status == 204
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_it_says_whether_it_is_well(shared: Post) -> None:
    assert shared.ask("GET", "/healthz").json == {"status": "ok", "doors": 3, "held": 0}
    (finding,) = HTTP.examine(shared.settings.access("http", HTTP.access), timeout_seconds=5)
    assert (finding.state, finding.message) == ("ok", f"http://127.0.0.1:{shared.port} receives events")


@pytest.mark.usefixtures("hook")
def test_the_answer_comes_after_the_flush_and_many_requests_share_one(tmp_path: Path) -> None:
    flushes: list[str] = []
    arrived, go_on = threading.Event(), threading.Event()

    def hold(place: str) -> None:
        if place == "spool.durable":
            flushes.append(place)
        if place == "spool.written" and not flushes:
            arrived.set()
            assert go_on.wait(60)

    with collecting(tmp_path, {"http": "one"}) as post, ThreadPoolExecutor(20) as pool:
        install_hook(hold)
        with socket.create_connection(("127.0.0.1", post.port)) as first:
            first.sendall(
                b"POST /v1/one HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: 1\r\n\r\n1"
            )
            assert arrived.wait(60)
            others = [pool.submit(post.post, "one", b"%d" % number) for number in range(2, 22)]
            wait_until(lambda: post.listener.waiting_requests == 20)
            assert post.ask("GET", "/healthz").status == 200  # whatever was to be answered before, was
            assert select.select([first], [], [], 0)[0] == []
            go_on.set()
            assert first.recv(4096).startswith(b"HTTP/1.1 202 ")
        assert {each.result().status for each in others} == {202}
    assert len(flushes) == 2
    assert sorted(map(int, post.values("a"))) == list(range(1, 22))


def test_a_full_spool_refuses_until_it_is_drained(tmp_path: Path) -> None:
    limits = Limits(spool_max_bytes=1, segment_bytes=1, blocked_seconds=0.05)
    with collecting(tmp_path, {"http": "one"}, {"http": "other"}, limits=limits) as post:
        stored = 0
        while (answer := post.post("one", b"1")).status == 202:
            stored += 1
            assert stored < 100
        assert (answer.status, answer.headers["retry-after"]) == (429, "1")
        assert (answer.headers["x-ratelimit-remaining"], answer.headers["x-ratelimit-reset"]) == ("0", "1")
        assert "spool is full" in answer.json["detail"]
        assert post.ask("GET", "/healthz").status == 503
        assert post.post("other", b"1").status == 202
        SpoolReader(tmp_path / "spool" / "a").trim(stored)
        wait_until(lambda: post.post("one", b'"again"').status == 202)
    assert post.values("a")[-1:] == [b'"again"']


@pytest.mark.usefixtures("hook")
def test_a_spool_that_cannot_be_written_refuses_and_goes_on(tmp_path: Path) -> None:
    def broken(place: str) -> None:
        if place == "spool.written":
            raise OSError(28, "No space left on device")

    with collecting(tmp_path, {"http": "one"}, limits=Limits(blocked_seconds=0.05)) as post:
        install_hook(broken)
        answer = post.post("one", b"1")
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert "nothing of this request is stored" in answer.json["detail"]
        install_hook(None)
        wait_until(lambda: post.post("one", b"2").status == 202)
    assert post.values("a") == [b"2"]


def test_a_slow_client_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "_HEAD_SECONDS", 0.3)
    head = b"POST /v1/one HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with collecting(tmp_path, {"http": "one"}, http_request_seconds=0.3) as post:
        with socket.create_connection(("127.0.0.1", post.port)) as client:
            client.sendall(head + b"Content-Length: 9\r\n\r\n1")
            assert client.recv(4096).startswith(b"HTTP/1.1 408 ")
        with socket.create_connection(("127.0.0.1", post.port)) as client:
            client.sendall(head)
            assert ended(client)
        with socket.create_connection(("127.0.0.1", post.port)) as client, suppress(OSError):
            client.sendall(head + b"X-Large: " + b"x" * 100_000)
            assert ended(client)
        assert post.post("one", b"1").status == 202


def ended(client: socket.socket) -> bool:
    try:
        return client.recv(4096) == b""
    except ConnectionError:
        return True


def test_a_taken_port_is_named_and_tried_again(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    settings = load_settings(data_dir=tmp_path, http_port=port)
    stream = Stream.model_validate({"name": "a", "source": {"http": "one"}})
    other = socket.create_server(("127.0.0.1", port))
    with running(Collector(settings, [stream], connector=HTTP), subscribed=False) as collector:
        wait_until(lambda: collector.status()["error"])
        assert (
            f"127.0.0.1:{port} (Address already in use): set MILLRACE_HTTP_PORT"
            in collector.status()["error"]
        )
        other.close()
        wait_until(lambda: collector.status()["subscribed"] and not collector.status()["error"])


def test_off_loopback_it_does_not_start(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path, http_host="0.0.0.0")
    stream = Stream.model_validate({"name": "a", "source": {"http": "one"}})
    with pytest.raises(ConfigError, match="unencrypted"):
        Collector(settings, [stream], connector=HTTP)
    (finding,) = HTTP.examine(settings.access("http", HTTP.access), timeout_seconds=1)
    assert finding.state == "problem"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ({"http": "a/b"}, "cannot be the end of an address"),
        ({"http": "marts"}, "neither marts nor receipts"),
        ({"http": "a", "headers": "X: y"}, "not a header's name"),
        ({"http": "a", "headers": "Authorization"}, "holds secrets"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused(source: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Stream.model_validate({"name": "a", "source": source})


def test_events_land_like_those_of_any_source(lake: Lake, settings: Settings) -> None:
    with collecting(settings.data_dir, {"http": "one"}, catalog=settings.catalog) as post:
        two = post.post("one", b'[{"n": 1}, {"n": 2}]').json["receipt"]
        assert post.post("one", b"\xff", BYTES).status == 202
        stream = Stream.model_validate({"name": "a", "source": {"http": "one"}})
        lake.prepare([stream.name])

        def where() -> dict[str, Any]:
            (found,) = post.ask("GET", f"/v1/receipts/{two}").json["streams"]
            return {name: found[name] for name in ("state", "in_lake", "batches", "first", "last")}

        assert where() == {"state": "spool", "in_lake": 0, "batches": [], "first": 0, "last": 1}
        report = ingest(lake, stream, settings)
        assert where() == {"state": "lake", "in_lake": 2, "batches": [1], "first": 0, "last": 1}
        after = post.ask("GET", f"/v1/receipts/{two}").json["streams"][0]["snapshot"]
        seen = lake.query(f"select count(*) from raw.a at (version => {after})")
        assert seen == [(2,)]
        for strange in ("x", "WyJ4Il0", receipt_id([Stored("none", "l", 0, 1)], "sha256:0")):
            assert post.ask("GET", f"/v1/receipts/{strange}").status == 404
        replaced = receipt_id([Stored("a", "another log", 0, 1)], "sha256:0")
        (gone,) = post.ask("GET", f"/v1/receipts/{replaced}").json["streams"]
        assert gone["state"] == "unknown"
    assert (report.events_landed, report.events_rejected) == (2, 1)
    assert positions_of(lake, "a") == [("a-0", 0), ("a-0", 1)]


def test_without_a_collector_whoever_looks_sees_what_is_refused(tmp_path: Path) -> None:
    """`add --from http:…` comes before there is a stream, and so before there is a collector."""
    settings = load_settings(data_dir=tmp_path, http_port=free_ports(1)[0])
    source, seen = read_source("http:clicks"), list[Message]()

    def look() -> None:
        seen.extend(peek(source, settings, Look(limit=1, wait_seconds=60)))

    looking = threading.Thread(target=look)
    looking.start()
    refusal = ""
    while looking.is_alive():
        sender = open_sender(source, settings)
        with pytest.raises(SourceUnavailable) as refused:
            sender.prepare("clicks", create=False)
        post = Post(settings, int(settings.access("http", HTTP.access).port))
        with suppress(OSError):
            refusal = post.post("clicks", b'{"n": 1}').json["detail"]
        assert "127.0.0.1" in str(refused.value)
        time.sleep(0.02)
    looking.join(60)
    (message,) = seen
    assert (message.value, message.note) == (b'{"n": 1}', "refused: no stream reads this address")
    assert "no stream reads" in refusal
