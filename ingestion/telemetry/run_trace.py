"""The traces of one run, one for each cycle, its steps as spans. Where traces are off, it does nothing.

`millrace ingest` is one cycle.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from ingestion.errors import MillraceError
from ingestion.settings import Settings
from ingestion.telemetry.spans import Span, Spans, Values, open_spans


class Step:
    """A step of a cycle, while it is done; without a span where traces are off.

    Args:
        span: Its span.

    Attributes:
        failure: Why it failed, for what fails without an exception; empty while it does not.
    """

    def __init__(self, span: Span | None = None) -> None:
        self._span = span
        self.failure = ""

    def add(self, values: Values) -> None:
        """Say more about it: names and figures, never what an event holds."""
        if self._span is not None:
            self._span.add(values)

    def link(self, traceparents: Iterable[str]) -> None:
        """Say what it follows from, by their traceparents."""
        if self._span is not None:
            self._span.link(traceparents)


class RunTrace:
    """Opens on first use; for one thread.

    Args:
        settings: Say whether traces are on.
        part: Which part of the system this process is.
    """

    def __init__(self, settings: Settings, *, part: str = "run") -> None:
        self._settings, self._part = settings, part
        self._opened: tuple[Spans | None] | None = None
        self._cycle: Span | None = None
        self._steps: list[Span] = []

    @property
    def is_on(self) -> bool:
        """Whether there are traces."""
        return self._spans is not None

    @property
    def traceparent(self) -> str:
        """Of the cycle that goes on; empty where there is none."""
        return self._cycle.traceparent if self._cycle is not None else ""

    @contextmanager
    def step(self, name: str, *, consumes: bool = False, values: Values | None = None) -> Iterator[Step]:
        """A step of the cycle, which begins with its first one. A step may have steps of its own.

        Args:
            name: What it is.
            consumes: As Spans.begin takes it.
            values: The same.
        """
        spans = self._spans
        if spans is None:
            yield Step()
            return
        began = time.time()
        parent = self._parent(spans, began)
        span = spans.begin(name, at=began, parent=parent, consumes=consumes, values=values)
        self._steps.append(span)
        step = Step(span)
        try:
            yield step
        except BaseException as error:
            step.failure = str(error) if isinstance(error, MillraceError) else type(error).__name__
            raise
        finally:
            self._steps.remove(span)
            span.end(time.time(), failure=step.failure)

    def record(
        self, name: str, *, began: float, ended: float, values: Values | None = None, failure: str = ""
    ) -> None:
        """A step that is over.

        Args:
            name: What it was.
            began: When, in seconds since 1970.
            ended: The same.
            values: As Spans.begin takes them.
            failure: Why it failed, in a sentence; empty where it did not.
        """
        if self._spans is not None:
            span = self._spans.begin(name, at=began, parent=self._parent(self._spans, began), values=values)
            span.end(max(began, ended), failure=failure)

    def end_cycle(self) -> None:
        """The cycle is over; the next step begins another one."""
        cycle, self._cycle = self._cycle, None
        if cycle is not None:
            cycle.end(time.time())

    def close(self) -> None:
        """The run is over."""
        self.end_cycle()
        if self._opened is not None and self._opened[0] is not None:
            self._opened[0].close()
        self._opened = None

    @property
    def _spans(self) -> Spans | None:
        if self._opened is None:
            self._opened = (open_spans(self._settings, part=self._part),)
        return self._opened[0]

    def _parent(self, spans: Spans, at: float) -> str:
        if self._steps:
            return self._steps[-1].traceparent
        if self._cycle is None:
            self._cycle = spans.begin("cycle", at=at)
        return self._cycle.traceparent
