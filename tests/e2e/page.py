"""The live page of a running system, in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.servers.browser import Browser
from tests.waiting import eventually

LOOKS = {
    "light": {"width": 1400, "height": 1000, "dark": False},
    "dark": {"width": 1400, "height": 1000, "dark": True},
    "narrow": {"width": 390, "height": 844, "dark": False},
}
_PATIENCE_SECONDS = 150.0  # of a busy machine


class LivePage:
    """The pages of one system.

    Args:
        browser: Shows them.
        address: Of the live page.
    """

    def __init__(self, browser: Browser, address: str) -> None:
        self.browser, self.address = browser, address

    def open(self, path: str, *, shows: str, look: str = "light") -> str:
        """Open a page and wait until it shows a text; returns all that it shows."""
        self.browser.look(**LOOKS[look])  # type: ignore[arg-type]
        self.browser.open(f"{self.address}{path}")
        return self.wait_for(lambda text: shows in text, f"{path} shows {shows}")

    def wait_for(self, right: Callable[[str], bool], what: str) -> str:
        """Wait until what the page shows is right; it is not opened again."""
        seen = [""]

        def is_right() -> bool:
            seen[0] = self.browser.text()
            return right(seen[0])

        try:
            eventually(is_right, what, seconds=_PATIENCE_SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{error}; it shows: {seen[0]}") from None
        return seen[0]

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return int(self.browser.evaluate(wide))

    def background(self) -> int:
        """How bright the page is behind its tiles, 0 to 255."""
        colour = self.browser.evaluate("getComputedStyle(document.body).backgroundColor")
        numbers = [int(each) for each in colour[colour.index("(") + 1 : -1].split(",")[:3]]
        return sum(numbers) // 3

    @contextmanager
    def nothing_wrong(self) -> Iterator[None]:
        """Nothing is complained of meanwhile, and no other server is asked.

        Raises:
            AssertionError: A script failed, a file was refused or missing, or another server was asked.
        """
        self.browser.forget()
        yield
        assert self.browser.complaints() == [], self.browser.complaints()
        own = urlsplit(self.address).netloc
        assert {urlsplit(each).netloc for each in self.browser.requested()} <= {own, ""}
