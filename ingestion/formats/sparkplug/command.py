"""The command by which a host application asks an edge node for its births (standard, 6.4.22)."""

from ingestion.formats.sparkplug.schema import DATATYPES, payload_class

REBIRTH = "Node Control/Rebirth"


def rebirth(at_ms: int) -> bytes:
    """The payload of a command NCMD.

    Args:
        at_ms: Milliseconds since 1970.
    """
    payload = payload_class()(timestamp=at_ms)
    payload.metrics.add(
        name=REBIRTH, timestamp=at_ms, datatype=DATATYPES.index("Boolean"), boolean_value=True
    )
    done: bytes = payload.SerializeToString()
    return done
