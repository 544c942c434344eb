"""Chromium without a window, driven through its DevTools protocol: what a page shows once its scripts ran.

The protocol: https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.servers import ServerMissing
from tests.waiting import eventually

_PATIENCE_SECONDS = 60
_MOST_BYTES = 64 * 2**20


class Browser:
    """A context with one page.

    Args:
        folder: For its profile and its log.

    Raises:
        ServerMissing: Chromium is not installed.
    """

    def __init__(self, folder: Path) -> None:
        program = shutil.which("chromium") or shutil.which("chromium-browser")
        if program is None:
            raise ServerMissing("chromium is not installed: apt-get install chromium")
        self._profile = folder / "profile"
        self._log = folder / "chromium.log"
        self._program = program
        self._numbers = itertools.count(1)
        self._events: list[dict[str, Any]] = []

    def __enter__(self) -> Browser:
        self._profile.mkdir(parents=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [self._program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                 "--disable-background-networking", "--no-first-run", "--window-size=1500,1000",
                 "--remote-debugging-port=0", f"--user-data-dir={self._profile}", "about:blank"],
                stdout=log, stderr=log,
            )  # fmt: skip
        try:
            self._page = self._connect()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._page.close()
        self._end()

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _connect(self) -> ClientConnection:
        file = self._profile / "DevToolsActivePort"
        eventually(
            lambda: file.is_file() and file.read_text().strip(), "it listens", seconds=_PATIENCE_SECONDS
        )
        port = file.read_text().split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=30) as answer:
            pages = [each for each in json.load(answer) if each["type"] == "page"]
        return connect(pages[0]["webSocketDebuggerUrl"], max_size=_MOST_BYTES, proxy=None, ping_interval=None)

    def _call(self, method: str, **parameters: object) -> Any:
        number = next(self._numbers)
        self._page.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._page.recv(timeout=_PATIENCE_SECONDS))
            if answer.get("id") == number:
                assert "error" not in answer, answer["error"]
                return answer["result"]
            self._events.append(answer)

    def watch(self) -> None:
        """Note from now on what pages ask for, and what they complain of."""
        for domain in ("Network", "Runtime", "Log", "Page"):
            self._call(f"{domain}.enable")

    def forget(self) -> None:
        """Begin to note again: what there was until now is not counted."""
        self._call("Runtime.evaluate", expression="0")
        self._events.clear()

    def requested(self) -> list[str]:
        """The addresses that pages have asked for since `watch`."""
        self._call("Runtime.evaluate", expression="0")
        return [
            each["params"].get("request", {}).get("url") or each["params"].get("url", "")
            for each in self._events
            if each["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated")
        ]

    def complaints(self) -> list[str]:
        """What pages have complained of since `watch`: errors of scripts, refused or missing files."""
        self._call("Runtime.evaluate", expression="0")
        found = []
        for each in self._events:
            given = each["params"]
            if each["method"] == "Runtime.exceptionThrown":
                found.append(str(given["exceptionDetails"]))
            elif each["method"] == "Log.entryAdded" and given["entry"]["level"] in ("error", "warning"):
                found.append(f"{given['entry']['text']} {given['entry'].get('url', '')}")
            elif each["method"] == "Runtime.consoleAPICalled" and given["type"] in ("error", "warning"):
                found.append(str(given["args"]))
        return found

    def look(self, *, width: int = 1500, height: int = 1000, dark: bool = False) -> None:
        """Show pages in a window of this size (pixels), to a reader who prefers light or dark."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript on the page."""
        answer = self._call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press and release a key, such as Tab."""
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key, code=key,
                       windowsVirtualKeyCode={"Tab": 9, "Enter": 13}.get(key, 0),
                       text="\r" if key == "Enter" and kind == "keyDown" else "")  # fmt: skip

    def open(self, url: str) -> None:
        """Go to a page."""
        self._call("Page.navigate", url=url)

    def text(self) -> str:
        """What the page shows now, on one line."""
        return " ".join(str(self.evaluate("document.body ? document.body.innerText : ''") or "").split())

    def require_shown(self, url: str, sentences: Callable[[], Iterable[str]], *, tries: int = 6) -> None:
        """Open a page until it shows one of these sentences: opened while code is taken in, it stays empty.

        Raises:
            AssertionError: It does not; a picture of it is beside the browser's log.
        """

        def shown() -> bool:
            text = self.text()
            return any(" ".join(each.split()) in text for each in sentences())

        for _ in range(tries):
            self.open(url)
            with suppress(AssertionError):
                eventually(shown, "the sentence")
                return
        self.picture(self._log.with_name("page.png"))
        raise AssertionError(f"{url} shows none of {sentences()}")

    def picture(self, file: Path) -> None:
        """What it looks like now, as PNG."""
        file.write_bytes(base64.b64decode(self._call("Page.captureScreenshot")["data"]))

    def print(self, file: Path) -> None:
        """What it looks like on paper, as PDF."""
        answer = self._call("Page.printToPDF", printBackground=True, preferCSSPageSize=True)
        file.write_bytes(base64.b64decode(answer["data"]))
