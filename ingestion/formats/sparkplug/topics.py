"""Topics of Sparkplug B: `spBv1.0/<group>/<type>/<node>[/<device>]`, and the states of host applications."""

from typing import NamedTuple

NAMESPACE = "spBv1.0"
NODE_TYPES = frozenset({"NBIRTH", "NDATA", "NDEATH", "NCMD"})
DEVICE_TYPES = frozenset({"DBIRTH", "DDATA", "DDEATH", "DCMD"})
STATE = "STATE"


class Topic(NamedTuple):
    """What a topic says.

    Attributes:
        type: Of the message.
        group: None for the state of a host.
        node: The edge node.
        device: None for a message of the node's own.
        host: The host application; None for all but its state.
    """

    type: str
    group: str | None = None
    node: str | None = None
    device: str | None = None
    host: str | None = None


def read_topic(topic: str) -> Topic | None:
    """What a topic says; None for one that is not Sparkplug's."""
    levels = topic.split("/")
    if not all(levels):
        return None
    match levels:
        case ["spBv1.0", "STATE", host] | ["STATE", host]:
            return Topic(STATE, host=host)
        case ["spBv1.0", group, kind, node] if kind in NODE_TYPES:
            return Topic(kind, group, node)
        case ["spBv1.0", group, kind, node, device] if kind in DEVICE_TYPES:
            return Topic(kind, group, node, device)
        case _:
            return None


def command_topic(group: str, node: str) -> str:
    """Where a node listens for commands."""
    return f"{NAMESPACE}/{group}/NCMD/{node}"
