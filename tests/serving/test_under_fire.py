"""Readers see complete instants only, while cycles, kill -9, full refreshes, compaction and expiry go on."""

import json
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta

import psycopg2
import pytest

from ingestion.clock import utc_now
from ingestion.serve.shelf import served_marts
from ingestion.upkeep.maintenance import Limits, maintain
from tests.fault.seeds import SEED
from tests.repository import REPOSITORY
from tests.serving.shop import MARTS, Shop, new_shop, reading, secret
from tests.waiting import eventually

PLACES = ("serving.changed", "serving.filled", "serving.written", "serving.committed")
ROUNDS, READERS = 24, 3


class Reader(threading.Thread):
    """Compares marts in two statements of one transaction, again and again.

    Attributes:
        seen: How many orders it saw, how often.
        wrong: What did not agree.
    """

    def __init__(self, shop: Shop) -> None:
        super().__init__(daemon=True)
        self._settings, self.ended = shop.settings, threading.Event()
        self.seen: Counter[int] = Counter()
        self.wrong: list[str] = []

    def run(self) -> None:
        while not self.ended.is_set():
            try:
                self._compare()
            except psycopg2.Error as error:
                self.wrong.append(f"{type(error).__name__}: {error}")

    def _compare(self) -> None:
        with reading(self._settings) as ask:
            ((orders,),) = ask("select count(*) from marts.orders")
            self.ended.wait(random.random() / 50)
            ((total,),) = ask("select coalesce(sum(orders), 0)::bigint from marts.totals")
            ((parts,),) = ask("select count(*) from marts.lines")
            ((versions,),) = ask("select count(distinct snapshot) from marts._served")
        self.seen[orders] += 1
        if not orders == total == parts or versions != 1:
            self.wrong.append(f"{orders} orders, {total} in total, {parts} lines, {versions} versions")


@pytest.fixture
def shop(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str]) -> Iterator[Shop]:
    shop = new_shop(tmp_path_factory.mktemp("fire"), new_database)
    shop.open()
    shop.do("delete from lake.marts.lines", "insert into lake.marts.lines select i, 'x' from range(10) r(i)")
    yield shop
    shop.close()


def start(shop: Shop, place: str = "", passes: int = 1) -> "subprocess.Popen[bytes]":
    values = {
        "data_dir": str(shop.settings.data_dir),
        "catalog": secret(shop.settings.catalog),
        "serving": secret(shop.settings.serving),
    }
    command = [sys.executable, "-m", "tests.serving.victim", json.dumps(values), place, str(passes)]
    return subprocess.Popen(command, cwd=REPOSITORY)


@pytest.mark.slow("dozens of publications, each killed at a named place, under readers")
def test_readers_see_complete_instants_only(shop: Shop) -> None:
    print(f"seed {SEED}")
    dice = random.Random(SEED)
    version = shop.build()
    shop.publish()
    readers = [Reader(shop) for _ in range(READERS)]
    for reader in readers:
        reader.start()
    size = 10
    for number in range(ROUNDS):
        place = PLACES[number % len(PLACES)]
        victim = start(shop, place)
        while victim.poll() is None:
            size, version = change(shop, dice, size)
            with suppress(subprocess.TimeoutExpired):
                victim.wait(timeout=dice.random())
        assert victim.returncode == -9
    publisher = start(shop)
    try:
        # Something new for certain: what was served before would be there before it is ready for a signal.
        size, version = change(shop, dice, size, what="more")
        eventually(lambda: set(shop.served().values()) == {version}, "the newest instant is published")
    finally:
        publisher.terminate()
        assert publisher.wait(timeout=60) == 0
    for reader in readers:
        reader.ended.set()
        reader.join()
    compared = sum((reader.seen for reader in readers), Counter[int]())
    print(f"{compared.total()} comparisons of {len(compared)} instants, {ROUNDS} kills")
    wrong = [sentence for reader in readers for sentence in reader.wrong]
    assert not wrong, "; ".join(wrong[:9])
    assert compared.total() >= 300
    assert len(compared) > 3
    assert shop.agrees(version)
    assert served_marts(shop.settings.data_dir).keys() == set(MARTS)


def change(shop: Shop, dice: random.Random, size: int, *, what: str = "") -> tuple[int, int]:
    """What runs and upkeep do, `what` or at random; returns how many orders there are, and the version."""
    chosen = what or dice.choice(["more", "more", "more", "less", "refresh", "upkeep"])
    if chosen == "upkeep":
        limits = Limits(
            least_files=2, keep_every_snapshot=timedelta(0), keep_snapshots=timedelta(0), grace=timedelta(0)
        )
        maintain(shop.lake, [], now=utc_now() + timedelta(minutes=1), limits=limits)
        return size, shop.build()
    if chosen == "less" and size > 5:
        gone = size - 3
        version = shop.build(
            f"delete from lake.marts.orders where id >= {gone}",
            f"delete from lake.marts.lines where part >= {gone}",
        )
        return gone, version
    more = size + dice.randrange(1, 40)
    if chosen == "refresh":
        rows = f"from range({more}) as r(i)"
        version = shop.build(
            f"create or replace table lake.marts.orders as select i as id, 'again' as state {rows}",
            f"create or replace table lake.marts.lines as select i as part, 'y' as note {rows}",
        )
        return more, version
    # one transaction a model, as dbt has them
    shop.builder.begin(["orders", "lines"])
    shop.do(f"insert into lake.marts.orders select i, 'new' from range({size}, {more}) r(i)")
    shop.do(f"insert into lake.marts.lines select i, 'x' from range({size}, {more}) r(i)")
    shop.builder.end(["orders", "lines"], snapshot=shop.lake.snapshot_id, shown={})
    return more, shop.lake.snapshot_id()
