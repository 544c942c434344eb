"""What births have said: the names and types of metrics, by node and device, kept from batch to batch.

One value is the state of one partition. As JSON text it is in the ledger (docs/delivery.md).
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from ingestion.formats.sparkplug.topics import Topic

MOST_METRICS = 500_000
"""Of all births together, about: strangers must not fill the ledger. The oldest births go first."""
ASK_AGAIN_SECONDS = 60
_MICROSECONDS = 1_000_000
_VERSION = 1
_CHECKS_PER_MOST = 10


class Known(NamedTuple):
    """What a birth says of a metric.

    Attributes:
        name: Its name.
        datatype: Number of its type; None where the birth has none.
    """

    name: str
    datatype: int | None


@dataclass
class Scope:
    """The metrics of a node's or a device's own birth."""

    by_alias: dict[int, Known] = field(default_factory=dict)
    by_name: dict[str, Known] = field(default_factory=dict)

    @classmethod
    def of(cls, metrics: Any) -> "Scope":
        """Of the metrics of a birth."""
        scope = cls()
        for each in metrics:
            if each.HasField("name"):
                datatype = each.datatype if each.HasField("datatype") else None
                scope.add(Known(each.name, datatype), each.alias if each.HasField("alias") else None)
        return scope

    def add(self, known: Known, alias: int | None) -> None:
        """Take in a metric; None: it has no alias."""
        self.by_name[known.name] = known
        if alias is not None:
            self.by_alias[alias] = known


@dataclass
class Node:
    """An edge node.

    Attributes:
        bd_seq: The number of its session, as its birth says it.
        scopes: Device → what its birth said; None: the node's own.
        asked_us: When a rebirth was last asked for, in microseconds since 1970; 0: never.
    """

    bd_seq: int | None = None
    scopes: dict[str | None, Scope] = field(default_factory=dict)
    asked_us: int = 0


class Births:
    """All births of a partition that still hold.

    Args:
        text: What `text` gave; empty: none.

    Attributes:
        changed: Whether they are others than in that text.
    """

    def __init__(self, text: str = "") -> None:
        self.nodes: dict[tuple[str, str], Node] = {}
        self.changed = False
        self._added = 0
        if text:
            self._read(orjson.loads(text))

    def birth(self, topic: Topic, metrics: Any, bd_seq: int | None) -> None:
        """A birth: a node's ends what was known of its devices, too."""
        key = _key(topic)
        if topic.device is None:
            before = self.nodes.pop(key, None)
            self.nodes[key] = Node(bd_seq, asked_us=before.asked_us if before else 0)
        self.nodes.setdefault(key, Node()).scopes[topic.device] = Scope.of(metrics)
        self._note(1 + len(metrics))

    def death(self, topic: Topic, bd_seq: int | None) -> None:
        """A death; a node's of another session than the one that lives says nothing."""
        node = self.nodes.get(_key(topic))
        if node is None:
            return
        if topic.device is not None:
            self.changed |= node.scopes.pop(topic.device, None) is not None
        elif bd_seq is None or node.bd_seq is None or bd_seq == node.bd_seq:
            del self.nodes[_key(topic)]
            self.changed = True

    def lose(self, topic: Topic) -> None:
        """A birth that cannot be read: what the one before it said does not hold any more."""
        node = self.nodes.get(_key(topic))
        if node is not None and topic.device is not None:
            self.changed |= node.scopes.pop(topic.device, None) is not None
        elif node is not None:
            del self.nodes[_key(topic)]
            self.changed = True

    def session(self, topic: Topic) -> int | None:
        """The number of the session that a node is in."""
        node = self.nodes.get(_key(topic))
        return node.bd_seq if node else None

    def scope(self, topic: Topic) -> Scope:
        """What is known of the metrics of a node or a device."""
        node = self.nodes.get(_key(topic))
        return (node.scopes.get(topic.device) if node else None) or Scope()

    def ask(self, topic: Topic, at_us: int) -> bool:
        """Whether to ask a node for its birth at a time: once in a while, until it comes.

        Args:
            topic: Of a message whose metrics are not known.
            at_us: Microseconds since 1970.
        """
        node = self.nodes.setdefault(_key(topic), Node())
        if node.asked_us and 0 <= at_us - node.asked_us < ASK_AGAIN_SECONDS * _MICROSECONDS:
            return False
        node.asked_us = max(at_us, 1)
        self._note(1)
        return True

    @property
    def text(self) -> str:
        """As JSON."""
        nodes = [
            [
                group, name, node.bd_seq, node.asked_us,
                [[device, _rows(scope)] for device, scope in node.scopes.items()],
            ]
            for (group, name), node in self.nodes.items()
        ]  # fmt: skip
        return orjson.dumps({"version": _VERSION, "nodes": nodes}).decode()

    def _read(self, found: Any) -> None:
        for group, name, bd_seq, asked_us, scopes in found["nodes"]:
            node = self.nodes[group, name] = Node(bd_seq, asked_us=asked_us)
            for device, rows in scopes:
                scope = node.scopes[device] = Scope()
                for metric, datatype, alias in rows:
                    scope.add(Known(metric, datatype), alias)

    def _note(self, added: int) -> None:
        self.changed = True
        self._added += added
        if self._added * _CHECKS_PER_MOST > MOST_METRICS:
            self._added = 0
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        sizes = {key: 1 + sum(len(each.by_name) for each in node.scopes.values())
                 for key, node in self.nodes.items()}  # fmt: skip
        left = sum(sizes.values())
        for key, size in sizes.items():
            if left <= MOST_METRICS:
                return
            del self.nodes[key]
            left -= size


def _rows(scope: Scope) -> list[list[Any]]:
    """Name, data type and alias of each metric, so that what is read from them is the same scope."""
    found = [[known.name, known.datatype, alias] for alias, known in scope.by_alias.items()]
    read = {known.name: known for known in scope.by_alias.values()}
    others = [known for name, known in scope.by_name.items() if read.get(name) != known]
    return found + [[known.name, known.datatype, None] for known in others]


def _key(topic: Topic) -> tuple[str, str]:
    return topic.group or "", topic.node or ""
