"""Who looks gets what has changed, made once for all of them; who is too slow gets the whole page."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from orchestration.page.hub import Hub, Key

OVERVIEW = Key("overview")


async def received(events: AsyncIterator[bytes]) -> Any:
    """The next tiles that come, as JSON."""
    while True:
        event = await asyncio.wait_for(anext(events), 60)
        if event.startswith(b"event: tiles"):
            return json.loads(event.partition(b"data: ")[2])


async def begun(hub: Hub, key: Key = OVERVIEW) -> AsyncIterator[bytes]:
    """A browser that has asked for a page."""
    events = hub.follow(key)
    assert (await anext(events)).startswith(b"retry:")
    return events


def test_only_what_has_changed_is_sent_and_a_newcomer_gets_everything() -> None:
    async def run() -> None:
        hub = Hub()
        hub.begin()
        first = await begun(hub)
        hub.publish(OVERVIEW, "2", {"streams": "a", "marts": "b"})
        hub.publish(OVERVIEW, "1", {"state": "well"})
        assert await received(first) == {
            "order": ["streams", "marts"], "tiles": {"streams": "a", "marts": "b"}
        }  # fmt: skip
        assert await received(first) == {"order": ["state", "streams", "marts"], "tiles": {"state": "well"}}
        hub.publish(OVERVIEW, "2", {"streams": "a", "marts": "b"})
        hub.publish(OVERVIEW, "2", {"streams": "c"})
        assert await received(first) == {"order": ["state", "streams"], "tiles": {"streams": "c"}}
        second = await begun(hub)
        whole = {"order": ["state", "streams"], "tiles": {"state": "well", "streams": "c"}}
        assert await received(second) == whole

    asyncio.run(run())


def test_all_viewers_get_the_same_bytes_and_a_slow_one_the_whole_page() -> None:
    async def run() -> None:
        hub = Hub()
        hub.begin()
        viewers = [await begun(hub) for _ in range(3)]
        slow = await begun(hub)
        for number in range(40):
            hub.publish(OVERVIEW, "2", {"still": "x", "streams": str(number)})
            got = [await received(viewer) for viewer in viewers]
            assert all(each["tiles"]["streams"] == str(number) for each in got)
        seen = [await received(slow)]
        while seen[-1]["tiles"]["streams"] != "39":
            seen.append(await received(slow))
        assert len(seen) < 40
        assert any("still" in each["tiles"] for each in seen), "what it missed has to be in what it gets"

    asyncio.run(run())


def test_nothing_is_wanted_once_nobody_looks() -> None:
    async def run() -> None:
        woken: list[int] = []
        hub = Hub(lambda: woken.append(1))
        hub.begin()
        orders, overview = await begun(hub, Key("stream", "orders")), await begun(hub)
        assert hub.wanted() == {OVERVIEW, Key("stream", "orders")}
        assert (len(woken), hub.viewers()) == (2, 2)
        await orders.aclose()  # type: ignore[attr-defined]
        assert hub.wanted() == {OVERVIEW}
        hub.publish(Key("stream", "orders"), "2", {"x": "y"})
        hub.close()
        assert [each async for each in overview] == []
        assert hub.wanted() == frozenset()

    asyncio.run(run())


def test_an_age_that_grows_is_no_news() -> None:
    async def run() -> None:
        hub = Hub()
        hub.begin()
        events = await begun(hub)
        for age, state in (("1s ago", "a"), ("2s ago", "a"), ("3s ago", "b")):
            hub.publish(OVERVIEW, "1", {"open": f"<p><time datetime='t'>{age}</time> {state}</p>"})
        assert "1s ago" in (await received(events))["tiles"]["open"]
        assert "3s ago" in (await received(events))["tiles"]["open"], (
            "the browser counts the second one itself"
        )

    asyncio.run(run())
