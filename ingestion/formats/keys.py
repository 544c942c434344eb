"""Keys of events that have a format of their own, by the same port as values.

A key that is not what its format says makes its event a reject, which keeps the key as it came. A tombstone
cannot be one, because a reject is its bytes: it lands with the key as it came.
"""

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.formats.port import Refusal, Surroundings
from ingestion.formats.registry import FormatChoice, find_format

Keys = tuple[pa.Array, dict[int, Refusal]]
"""JSON texts, and why events are refused by row."""


def read_keys(events: pa.Table, as_they_came: pa.Array, chosen: FormatChoice, around: Surroundings) -> Keys:
    """Decode the keys of some events.

    Args:
        events: Rows of SOURCE_SCHEMA.
        as_they_came: Their keys in the notation of log/notation.py.
        chosen: The format of the keys.
        around: What surrounds them.

    Raises:
        FormatUnavailable: What the format needs does not answer.
    """
    at = events.schema.get_field_index("value")
    as_values = events.set_column(at, events.schema.field("value"), events["event_key"])
    found = find_format(chosen.name).texts(as_values.combine_chunks(), chosen.options, around)
    if not found.refused:
        return found.payload, {}
    rows = pa.array(sorted(found.refused), pa.int64())
    mask = pc.is_in(pa.array(range(events.num_rows), pa.int64()), value_set=rows)
    texts = pc.if_else(mask, as_they_came, found.payload)
    refused = {
        row: Refusal(refusal.reason, f"its key: {refusal.detail}")
        for row, refusal in found.refused.items()
        if events["value"][row].is_valid
    }
    return texts, refused
