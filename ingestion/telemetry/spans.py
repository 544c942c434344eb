"""A process's spans: kept in memory, and sent by a thread of their own to an OpenTelemetry collector.

Nobody waits for the collector: what does not reach it is dropped, which is logged once. The library is
imported where traces are switched on, and nowhere else (OTEL_EXPORTER_OTLP_ENDPOINT; docs/traces.md).
"""

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ingestion.environment import exported
from ingestion.settings import Settings
from ingestion.telemetry.receiver import Receiver

if TYPE_CHECKING:
    from opentelemetry.trace import Span as OtelSpan

Value = str | int | float | bool | Sequence[str]
Values = Mapping[str, Value]

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_VARIABLES = (
    *ENDPOINTS,
    *(
        f"OTEL_EXPORTER_OTLP_{part}{name}"
        for part in ("", "TRACES_")
        for name in ("HEADERS", "TIMEOUT", "COMPRESSION", "CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE")
    ),
    "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_SERVICE_NAME",
)  # fmt: skip
"""What the library reads from the environment, and may stand in .env."""
_SERVICE = "millrace"
_SEND_SECONDS = 1.0
_LONGEST_TEXT = 300
_EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
_SILENT = logging.CRITICAL + 1
_log = logging.getLogger(__name__)


def is_on(settings: Settings) -> bool:
    """Whether the standard variables ask for traces.

    Args:
        settings: Read the environment and .env.
    """
    return (
        any(settings.secret(name) is not None for name in ENDPOINTS)
        and _said(settings, "OTEL_TRACES_EXPORTER") != "none"
    )


def open_spans(settings: Settings, *, part: str) -> "Spans | None":
    """The spans of this process; None where traces are off, or cannot be made, which is logged.

    Args:
        settings: Read the environment and .env.
        part: Which part of the system this process is, as in `run`.
    """
    if not is_on(settings):
        return None
    try:
        values = {name: settings.secret(name) for name in _VARIABLES}
        texts = {name: value.get_secret_value() for name, value in values.items() if value is not None}
        # For libraries that trace by themselves the system has it off (orchestration/system/services.py).
        with exported({**texts, "OTEL_SDK_DISABLED": None}):
            return Spans(part=part)
    except (
        Exception
    ) as error:  # of a library, whose text may hold what a header says; no batch may fail for it
        _log.warning(
            "There are no traces (%s): are OTEL_EXPORTER_OTLP_ENDPOINT and the other OTEL_ variables right, "
            "and is the extra otel installed?",
            type(error).__name__,
        )
        return None


class Span:
    """Something that lasts, in a trace.

    Attributes:
        traceparent: It, as W3C trace context writes it: for what follows from it in other processes.
    """

    def __init__(self, made: "OtelSpan") -> None:
        context = made.get_span_context()
        self._made = made
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def add(self, values: Values) -> None:
        """Say more about it: names and figures, never what an event holds."""
        for name, value in values.items():
            self._made.set_attribute(name, value)

    def link(self, traceparents: Iterable[str]) -> None:
        """Say what it follows from without being a part of it.

        Args:
            traceparents: As W3C trace context writes them; what is not one is left out.
        """
        for each in traceparents:
            context = _span_of(each).get_span_context()
            if context.is_valid:
                self._made.add_link(context)

    def end(self, at: float, *, failure: str = "") -> None:
        """End it.

        Args:
            at: When, in seconds since 1970.
            failure: Why it failed, in a sentence; empty where it did not.
        """
        if failure:
            from opentelemetry.trace import Status, StatusCode

            self._made.set_status(Status(StatusCode.ERROR, failure[:_LONGEST_TEXT]))
        self._made.end(end_time=_nanoseconds(at))


class Spans:
    """Makes spans. The library's variables are in the environment while it is made (open_spans).

    Args:
        part: Which part of the system this process is.
    """

    def __init__(self, *, part: str) -> None:
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

        exporter = import_module(_EXPORTER)
        # Its own lines may name the address, with a login in it, and come with every try.
        logging.getLogger("opentelemetry").setLevel(_SILENT)

        class Exporter(SpanExporter):
            """Sends, and says once that it cannot."""

            def __init__(self) -> None:
                self._inner = exporter.OTLPSpanExporter()
                self.receiver = Receiver("traces", "OTEL_EXPORTER_OTLP_ENDPOINT")

            def export(self, spans: Sequence[Any]) -> SpanExportResult:
                with self.receiver.asked() as answer:
                    result = self._inner.export(spans)
                    answer.taken = result is SpanExportResult.SUCCESS
                return SpanExportResult.SUCCESS if answer.taken else SpanExportResult.FAILURE

            def shutdown(self) -> None:
                self._inner.shutdown()

        resource = Resource.create()
        if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: _SERVICE}))
        # Not the process's provider: what libraries trace, with the statements they run, is nobody's to see.
        self._provider = TracerProvider(
            resource=resource.merge(Resource({"millrace.part": part})), shutdown_on_exit=False
        )
        self._exporter = Exporter()
        self._provider.add_span_processor(
            BatchSpanProcessor(self._exporter, schedule_delay_millis=_SEND_SECONDS * 1000)
        )
        self._tracer = self._provider.get_tracer("millrace")

    def begin(
        self,
        name: str,
        *,
        at: float,
        parent: str = "",
        consumes: bool = False,
        values: Values | None = None,
    ) -> Span:
        """Begin a span.

        Args:
            name: What it is.
            at: When it began, in seconds since 1970.
            parent: The traceparent of what it is a part of; without one it begins a trace.
            consumes: Whether it takes over what producers sent.
            values: What is known of it: names and figures, never what an event holds.
        """
        from opentelemetry.trace import SpanKind, set_span_in_context

        return Span(
            self._tracer.start_span(
                name,
                context=set_span_in_context(_span_of(parent)),
                kind=SpanKind.CONSUMER if consumes else SpanKind.INTERNAL,
                attributes=dict(values or {}),
                start_time=_nanoseconds(at),
            )
        )

    def close(self) -> None:
        """Send what is left, to a collector that took the rest; what it does not take soon is dropped."""
        ends = threading.Thread(target=self._provider.shutdown, name="spans end", daemon=True)
        ends.start()
        self._exporter.receiver.wait_for(ends)


def _span_of(traceparent: str) -> "OtelSpan":
    """A span of another process; an invalid one where the text names none."""
    from opentelemetry.context import Context
    from opentelemetry.trace import get_current_span
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    # In a context of its own: no span that a library has open becomes a parent.
    context = TraceContextTextMapPropagator().extract({"traceparent": traceparent}, Context())
    return get_current_span(context)


def _said(settings: Settings, name: str) -> str:
    value = settings.secret(name)
    return value.get_secret_value().strip().lower() if value is not None else ""


def _nanoseconds(at: float) -> int:
    return int(at * 1e9)
