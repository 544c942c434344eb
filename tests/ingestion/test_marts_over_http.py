"""Marts over HTTP: who may read, in which notation, and that who sends does not wait for who reads."""

import csv
import io
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from ingestion.connectors.http.connector import HTTP
from ingestion.connectors.http.tokens import TokenFile, mart_subject
from ingestion.lake.lake import Lake
from ingestion.serve.shelf import Mart, write_served
from tests.frozen.commands import Commands
from tests.ingestion.posting import Answer, Post, collecting
from tests.waiting import eventually

LARGE = 600_000


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str]) -> Iterator[Post]:
    """A door `a`, and the marts `orders`, `large` and `next`."""
    with collecting(tmp_path_factory.mktemp("read"), {"http": "a"}, catalog=new_database()) as post:
        with Lake(post.settings) as lake:
            lake.prepare([])
            lake.connection.execute("create schema marts")
            lake.connection.execute("create table marts.orders as select i as id from range(5) as r(i)")
            lake.connection.execute(
                f"create view marts.large as select i, repeat('x', 100) as x from range({LARGE}) as r(i)"
            )
            lake.connection.execute('create table marts."next" as select 1 as one')
        write_served(post.settings.data_dir, [Mart(n, "marts", n, ()) for n in ("orders", "large", "next")])
        yield post


@pytest.fixture(scope="module")
def token(shared: Post) -> str:
    """For all marts."""
    return TokenFile(shared.settings.data_dir / HTTP.collector).make(mart_subject(""))


def get(post: Post, path: str, token: str = "", accept: str = "", method: str = "GET") -> Answer:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return post.ask(method, f"/v1/marts/{path}", headers=headers | ({"Accept": accept} if accept else {}))


def test_who_reads_shows_a_token_for_that_mart(shared: Post, token: str) -> None:
    tokens = TokenFile(shared.settings.data_dir / HTTP.collector)
    of_orders, of_a_stream = tokens.make(mart_subject("orders")), tokens.make("a")
    for path, shown, status in (
        ("orders", "", 401), ("orders", "guess", 401), ("orders", of_a_stream, 401),
        ("orders", of_orders, 200), ("orders", token, 200), ("next", of_orders, 401), ("next", token, 200),
        ("ordrs", of_orders, 401), ("ordrs", token, 404),
    ):  # fmt: skip
        assert get(shared, path, shown).status == status, (path, shown)
    assert "did you mean 'orders'" in get(shared, "ordrs", token).json["detail"]
    assert tokens.revoke(mart_subject("orders"), tokens.of(mart_subject("orders"))[0].id)
    assert get(shared, "orders", of_orders).status == 401
    assert shared.ask("GET", "/v1/marts/orders", headers={"Host": "evil.example"}).status == 421


def test_the_command_makes_and_ends_tokens_for_marts(shared: Post, commands: Commands) -> None:
    folder = shared.settings.data_dir

    def run(*arguments: str) -> str:
        done = commands.run("token", *arguments, data_dir=folder)
        return done.out.strip() or done.err

    token = run("make", "marts:orders")
    assert get(shared, "orders", token).status == 200
    assert get(shared, "next", token).status == 401
    assert "no mart 'ordrs'" in run("make", "marts:ordrs")
    (made,) = json.loads(run("list", "marts:orders", "--json"))
    assert "is ended" in run("revoke", "marts:orders", made["id"])
    assert get(shared, "orders", token).status == 401


def test_the_notation_is_what_is_asked_for(shared: Post, token: str) -> None:
    for path, accept, kind in (
        ("orders", "", "application/json"),
        ("orders", "*/*", "application/json"),
        ("orders", "text/csv", "text/csv; charset=utf-8"),
        ("orders", "text/*;q=0.9, application/json;q=0.1", "text/csv; charset=utf-8"),
        ("orders?format=arrow", "text/csv", "application/vnd.apache.arrow.stream"),
        ("orders", "application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.stream"),
    ):
        answer = get(shared, path, token, accept)
        assert (answer.status, answer.headers["content-type"]) == (200, kind)
        rows = {
            "application/json": lambda body, answer=answer: [int(row["id"]) for row in answer.json["rows"]],
            "text/csv; charset=utf-8": lambda body: [
                int(row["id"]) for row in csv.DictReader(io.StringIO(body.decode()))
            ],
            "application/vnd.apache.arrow.stream": lambda body: (
                pa.ipc.open_stream(body).read_all()["id"].to_pylist()
            ),
        }[kind](answer.body)
        assert rows == [0, 1, 2, 3, 4]
        assert int(answer.headers["millrace-snapshot"]) > 0
    head = get(shared, "orders", token, method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert get(shared, "orders", token, "image/png").status == 406


def test_pages_are_linked(shared: Post, token: str) -> None:
    path, found = "orders?format=csv&limit=2", list[str]()
    while path:
        answer = get(shared, path, token)
        found += answer.body.decode().split()[1:]
        link = answer.headers.get("link", "")
        path = link.partition(">")[0].removeprefix("</v1/marts/")
    assert found == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    "query", ["since=x", "since=-1", "limit=0", "limit=1.5", "limit=²", "format=xml", "page=", "limt=1",
              "limit=1&limit=2", "since=1;drop table x", "since=99999999999999999999999"],
)  # fmt: skip
def test_what_is_asked_wrongly_is_refused(shared: Post, token: str, query: str) -> None:
    answer = get(shared, f"orders?{query.replace(' ', '%20').replace('²', '%C2%B2')}", token)
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"


def test_who_sends_does_not_wait_for_who_reads(shared: Post, token: str) -> None:
    """Two clients that do not read what they asked for hold both reads, and memory stays as it is."""
    request = f"GET /v1/marts/large HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
    clients = [socket.create_connection(("127.0.0.1", shared.port)) for _ in range(2)]
    try:
        for client in clients:
            client.sendall(request.encode())
            assert client.recv(12) == b"HTTP/1.1 200"
        refused = get(shared, "orders", token)
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert shared.post("a", b"1").status == 202
    finally:
        for client in clients:
            client.close()
    eventually(lambda: get(shared, "orders", token).status == 200, "the reads of who has left have ended")


def test_a_large_mart_comes_whole(shared: Post, token: str) -> None:
    with pa.ipc.open_stream(get(shared, "large?format=arrow", token).body) as stream:
        assert sum(batch.num_rows for batch in stream) == LARGE
    part = get(shared, "large?limit=5000", token)  # several pieces
    assert [row["i"] for row in part.json["rows"]] == [str(i) for i in range(5000)]
    lines = get(shared, "large?limit=5000&format=csv", token).body.decode().split("\r\n")
    assert [line.split(",")[0] for line in lines] == ["i", *map(str, range(5000)), ""]


def test_without_reads_nothing_is_served(tmp_path: Path) -> None:
    with collecting(tmp_path, {"http": "a"}, http_mart_reads=0) as post:
        token = TokenFile(post.settings.data_dir / HTTP.collector).make(mart_subject(""))
        assert get(post, "orders", token).status == 503
