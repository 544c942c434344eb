"""A request that comes again while the first one is under way, in whatever turn of the collector it comes."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from ingestion.connectors.http.delivery import Delivery, Outcome, Stored
from ingestion.connectors.http.doors import Door
from ingestion.connectors.http.keys import Keys
from ingestion.connectors.http.once import Once
from ingestion.connectors.http.problems import Problem
from ingestion.connectors.intake import Intake
from ingestion.spool.guarded import Limits
from ingestion.spool.intake import Intake as Spools

DOOR = Door("one", ("a",))


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


def request(loop: asyncio.AbstractEventLoop, digest: str = "d") -> Delivery:
    outcome: asyncio.Future[Outcome] = loop.create_future()
    return Delivery("one", [b"1"], "{}", 0, outcome, digest=digest, key="k")


def test_a_request_that_is_under_way_is_known(tmp_path: Path, loop: asyncio.AbstractEventLoop) -> None:
    spools: Spools[Delivery] = Spools(tmp_path / "spool", ["a"], limits=Limits(), unrouted="x.unrouted")
    keys = Keys(tmp_path / "keys.db")
    once = Once(keys, cast(Intake, spools), {"a": 1.0})
    first, same, other = request(loop), request(loop), request(loop, digest="of another body")
    assert [once.missing(each, DOOR) for each in (first, same, other)] == [("a",), (), ()]
    assert list(once.left()) == [same]
    first.stored["a"] = Stored("a", "log", 5, 1)
    once.finish({first: [first.stored["a"]]})

    async def answers() -> list[Outcome]:
        return [await each.outcome for each in (first, same, other)]

    *stored, refused = loop.run_until_complete(asyncio.wait_for(answers(), 60))
    assert stored == [[first.stored["a"]]] * 2
    assert isinstance(refused, Problem)
    assert (first.is_repeated, same.is_repeated) == (False, True)
    later = request(loop)
    assert once.missing(later, DOOR) == (), "the first one has ended, and its key is noted"
    keys.close()
    spools.close()
