"""The traces that producers began: `traceparent` of W3C trace context, wherever a source's headers hold it.

Kafka's and AMQP's headers, MQTT 5's user properties and the HTTP headers that a stream names are JSON by now,
each of its own shape: the name and its value are found in the text. https://www.w3.org/TR/trace-context
"""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

MOST_LINKS = 32
"""A batch of thousands of events links to so many of them, spread evenly over it."""
_NAME = "traceparent"
# JSON writes the quotes of a text within a text as \", so that only a name of its own is found.
_PATTERN = (
    r'(?i)"(?:ce[-_]|cloudEvents[:_])?traceparent"\s*[:,]\s*\[?\s*'
    r'"(?P<value>[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})'
)


@dataclass(frozen=True)
class Producers:
    """Whose events a batch holds.

    Attributes:
        events: How many of them came with a trace.
        traceparents: Of some of them, each once, in order.
    """

    events: int = 0
    traceparents: tuple[str, ...] = ()


def producers_of(headers: pa.ChunkedArray) -> Producers:
    """Read the headers of a batch's events.

    Args:
        headers: JSON texts, or null.
    """
    with_one = headers.filter(pc.fill_null(pc.match_substring(headers, _NAME, ignore_case=True), False))
    found = pc.extract_regex(with_one, _PATTERN)
    values = pc.struct_field(found, "value").drop_null()
    count = len(values)
    step = max(1, -(-count // MOST_LINKS))
    spread = values.take(pa.array(range(0, count, step), pa.int64()))
    return Producers(count, tuple(dict.fromkeys(each.lower() for each in spread.to_pylist())))
