"""Idempotency keys: a request that is sent again is stored once, whatever happened to the first one."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ingestion.connectors.http.connector import HTTP
from ingestion.connectors.http.delivery import Stored
from ingestion.connectors.http.keys import Keys, Noted
from ingestion.errors import StorageError
from ingestion.faultpoints import install_hook
from ingestion.spool.guarded import Limits
from ingestion.spool.writer import SpoolWriter
from tests.ingestion.collecting import spooled
from tests.ingestion.posting import JSON, Answer, Post, collecting


@pytest.fixture
def hook() -> Iterator[None]:
    yield
    install_hook(None)


def keyed(post: Post, key: str, body: bytes = b"[1,2]", door: str = "one") -> Answer:
    return post.post(door, body, {**JSON, "Idempotency-Key": key})


def database(folder: Path) -> Path:
    return folder / HTTP.collector / "keys.db"


def test_a_repeated_request_is_stored_once_and_answered_as_before(tmp_path: Path) -> None:
    with collecting(tmp_path, {"http": "one"}, {"http": "two"}) as post:
        first, again = keyed(post, "k-1"), keyed(post, "k-1")
        assert (first.status, again.status, again.json) == (202, 202, first.json)
        assert "idempotent-replayed" not in first.headers
        assert again.headers["idempotent-replayed"] == "true"
        other = keyed(post, "k-1", b"[1,3]")
        assert (other.status, other.headers["content-type"]) == (422, "application/problem+json")
        assert keyed(post, '"k-2"').json != first.json
        assert keyed(post, "k-1", door="two").json["streams"][0]["stream"] == "b"
        for wrong in ("k" * 256, "\xe9"):
            assert keyed(post, wrong).status == 400
    with collecting(tmp_path, {"http": "one"}, {"http": "two"}) as post:
        assert keyed(post, "k-1").json == first.json
        assert keyed(post, "k-1", b"[1,3]").status == 422
    assert post.values("a") == [b"1", b"2"] * 2
    (kept, *_) = spooled(tmp_path, "a")
    assert kept["headers"] == {
        "content_type": "application/json", "idempotency_key": "k-1", "digest": first.json["digest"],
    }  # fmt: skip


@pytest.mark.usefixtures("hook")
def test_the_same_request_twice_at_once_is_stored_once(tmp_path: Path) -> None:
    arrived, go_on = threading.Event(), threading.Event()

    def hold(place: str) -> None:
        if place == "spool.written" and not arrived.is_set():
            arrived.set()
            assert go_on.wait(60)

    with collecting(tmp_path, {"http": "one"}) as post, ThreadPoolExecutor() as pool:
        install_hook(hold)
        before = pool.submit(post.post, "one", b"0")
        assert arrived.wait(60)
        same = [pool.submit(keyed, post, "k") for _ in range(2)]
        while post.listener.waiting_requests < 2:
            time.sleep(0.01)
        other = pool.submit(keyed, post, "k", b"9")
        while post.listener.waiting_requests < 3:
            time.sleep(0.01)
        go_on.set()
        assert [each.result().status for each in (before, *same)] == [202] * 3
        assert same[0].result().json == same[1].result().json
        assert other.result().status == 422
    assert post.values("a") == [b"0", b"1", b"2"]


def test_what_was_stored_and_not_noted_is_found_in_the_spool(tmp_path: Path) -> None:
    """As after a crash between the two: of the last commit nothing is noted."""
    with collecting(tmp_path, {"http": "one"}) as post:
        first = keyed(post, "k-1")
        assert post.post("one", b"3").status == 202
        second = keyed(post, "k-2", b"4")
    for file in database(tmp_path).parent.glob("keys.db*"):
        file.unlink()
    with collecting(tmp_path, {"http": "one"}) as post:
        assert (keyed(post, "k-1").json, keyed(post, "k-2", b"4").json) == (first.json, second.json)
        assert keyed(post, "k-2").status == 422
    assert post.values("a") == [b"1", b"2", b"3", b"4"]


def test_a_request_that_one_of_two_streams_has_is_stored_in_the_other(tmp_path: Path) -> None:
    limits = Limits(blocked_seconds=0.05)
    other_writer = SpoolWriter(tmp_path / "spool" / "b")
    with collecting(tmp_path, {"http": "one"}, {"http": "one"}, limits=limits) as post:
        assert keyed(post, "k").status == 503
        assert (post.values("a"), post.values("b")) == ([b"1", b"2"], [])
        assert keyed(post, "k").status == 503
        other_writer.close()
        while (answer := keyed(post, "k")).status == 503:
            time.sleep(0.02)
        assert [each["stream"] for each in answer.json["streams"]] == ["a", "b"]
        assert keyed(post, "k").json == answer.json
    assert post.values("a") == post.values("b") == [b"1", b"2"]


def test_keys_are_kept_for_their_time_and_no_longer(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys.db")
    stored = Stored("a", "log", 5, 2)
    keys.note([Noted("old", "d", stored)], now=1_000)
    keys.note([Noted("new", "d", stored), Noted("old", "other", stored)], now=2_000)
    keys.forget("b", before=9_000)
    assert keys.find("a", "old") == Noted("old", "d", stored)
    keys.forget("a", before=1_500)
    assert keys.find("a", "old") is None
    assert keys.find("a", "new") == Noted("new", "d", stored)
    keys.close()


def test_keys_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "keys.db").write_bytes(b"no database" * 1_000)
    with pytest.raises(StorageError, match=r"keys\.db cannot be used .*move the file away"):
        Keys(tmp_path / "keys.db")
