"""The drill's machine that breaks: when its alert is on the live page, at the receiver and on an MQTT topic.

Each is looked at from outside, as a viewer, a pager and a panel would. The reactions are in reactions.py.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from orchestration.conditions.rule_alerts import subject_of
from orchestration.demo.machines import Simulation
from orchestration.demo.reactions import TOPIC
from orchestration.reactions.entries import CLOSED, OPENED

KIND, RULE, MART = "press", "press_stopped", "marts/alerts"
"""What breaks, the rule that it then breaks, and the mart that the rule's alerts are in."""
PAGE, WEBHOOK, PANEL = "the page", "the webhook", "MQTT"
_OPEN_TILE = "rule_alerts"
_ROW = re.compile(r"<tr>.*?</tr>", re.DOTALL)
_CELL = re.compile(r"<td[^>]*>([^<]*)")
_ANSWER_SECONDS = 30.0


@dataclass(frozen=True)
class Sight:
    """When one surface showed an alert.

    Attributes:
        surface: Which.
        opened_s: Seconds from the first event that reports the fault until it showed the alert; None if it
            never did.
        closed_s: Seconds from the first event after the repair until it showed the end; None if it never did.
    """

    surface: str
    opened_s: float | None = None
    closed_s: float | None = None


class Followed(NamedTuple):
    """An alert that was followed to its end.

    Attributes:
        sights: One for each surface.
        within_s: Seconds that its mart promises; None where that is not known.
    """

    sights: tuple[Sight, ...]
    within_s: float | None

    def problems(self) -> Iterator[str]:
        """What was late and by how much, and what never came, as sentences."""
        if self.within_s is None:
            yield f"the budget of {MART} is not known: its freshness was never reported"
        for sight in self.sights:
            for what, event, seconds in (
                ("the alert", "the fault", sight.opened_s),
                ("its end", "the repair", sight.closed_s),
            ):
                if seconds is None:
                    yield f"{what} never came to {sight.surface}"
                elif self.within_s is not None and seconds > self.within_s:
                    late_s = seconds - self.within_s
                    yield (
                        f"{what} came to {sight.surface} {seconds:.1f} s after {event}, {late_s:.1f} s later "
                        f"than the {self.within_s:g} s that {MART} promises"
                    )


class Surfaces:
    """The three surfaces, followed while the context lasts.

    Args:
        page_url: Of the live page.
        received: The receiver's log.
        mqtt_port: On 127.0.0.1.
    """

    def __init__(self, page_url: str, received: Path, *, mqtt_port: int) -> None:
        self._page_url, self._received, self._mqtt_port = page_url, received, mqtt_port
        self._tile: str | None = None
        self._panel: list[Mapping[str, object]] = []
        self._connection: HTTPConnection | None = None
        self._over = threading.Event()

    def open_on(self, machine: str) -> dict[str, bool | None]:
        """Surface → whether the alert of a machine is open there now; None before it was there."""
        subject = subject_of(RULE, machine)
        return {
            PAGE: self._on_page(machine),
            WEBHOOK: _is_open(_lines(self._received), subject),
            PANEL: _is_open(tuple(self._panel), subject),
        }

    def _on_page(self, machine: str) -> bool | None:
        if self._tile is None:
            return None
        rows = (set(_CELL.findall(row)) for row in _ROW.findall(self._tile))
        return any({machine, RULE} <= cells for cells in rows)

    def _follow_page(self) -> None:
        place = urlsplit(self._page_url)
        while not self._over.is_set():
            with suppress(OSError, HTTPException, ValueError, AttributeError):
                connection = HTTPConnection(place.netloc, timeout=_ANSWER_SECONDS)
                self._connection = connection
                connection.request("GET", "/live?view=journal")
                for line in connection.getresponse():
                    if self._over.is_set():
                        return
                    if line.startswith(b"data: "):
                        tiles = json.loads(line[6:])["tiles"]
                        self._tile = tiles.get(_OPEN_TILE, self._tile)
            self._over.wait(0.2)

    def _take(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        with suppress(ValueError):
            self._panel.append(json.loads(message.payload))

    @contextmanager
    def followed(self) -> Iterator["Surfaces"]:
        """Subscribe and look at the page while the block runs."""
        panel = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="drill-panel")
        panel.on_message = self._take
        panel.connect("127.0.0.1", self._mqtt_port, keepalive=30)
        panel.subscribe(TOPIC, qos=1)
        panel.loop_start()
        viewer = threading.Thread(target=self._follow_page, name="drill-viewer", daemon=True)
        viewer.start()
        try:
            yield self
        finally:
            self._over.set()
            panel.disconnect()
            panel.loop_stop()
            with suppress(OSError, AttributeError):  # the thread waits for the page's next word
                if self._connection is not None and self._connection.sock is not None:
                    self._connection.sock.shutdown(2)
            viewer.join(timeout=_ANSWER_SECONDS)


def follow_alert(
    surfaces: Surfaces, broken: Simulation, *, wait: Callable[[Callable[[], bool]], bool]
) -> tuple[Sight, ...]:
    """Wait until each surface shows the alert of a machine that broke just now, and, once repaired, its end.

    Args:
        surfaces: Followed.
        broken: The machine; it is repaired.
        wait: Waits for a condition for a bounded time, and returns whether it came.
    """
    opened = _times(surfaces, broken, wanted=True, wait=wait)
    broken.repair()
    closed = _times(surfaces, broken, wanted=False, wait=wait, only=opened)
    return tuple(Sight(each, opened.get(each), closed.get(each)) for each in (PAGE, WEBHOOK, PANEL))


def _times(
    surfaces: Surfaces,
    broken: Simulation,
    *,
    wanted: bool,
    wait: Callable[[Callable[[], bool]], bool],
    only: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Surface → seconds until it showed what is wanted, from the time stamp of the event that says so."""
    began, found = time.time(), dict[str, float]()

    def all_seen() -> bool:
        for surface, is_open in surfaces.open_on(broken.machine.machine_id).items():
            if is_open is wanted and (only is None or surface in only):
                found.setdefault(surface, time.time())
        return len(found) == (3 if only is None else len(only))

    wait(all_seen)
    event_at = max(began, broken.turned_at_s)
    return {surface: at - event_at for surface, at in found.items()}


def _is_open(alerts: tuple[Mapping[str, object], ...], subject: str) -> bool | None:
    """What the last alert about a subject says; None where there is none."""
    events = [each.get("event") for each in alerts if each.get("subject") == subject]
    return {OPENED: True, CLOSED: False}.get(str(events[-1])) if events else None


def _lines(file: Path) -> tuple[Mapping[str, object], ...]:
    try:
        return tuple(json.loads(line) for line in file.read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError):  # not made yet, or in the midst of a line
        return ()
