"""dbt's event manager for runs that nobody watches: debug events are dropped before they become messages.

A build of seven nodes fires three hundred of them. dbt turns each into protobuf as it is made and, for its
log file, into another message and a line, and only then looks at the level: a sixth of a small build.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dbt.events.types import NodeFinished, NodeStart
from dbt_common.events.base_types import BaseEvent, EventLevel
from dbt_common.events.event_manager import EventManager
from dbt_common.events.event_manager_client import ctx_set_event_manager, get_event_manager


class NodeCosts:
    """CPU-seconds of each node, of all threads of this process; dbt runs one node after the other here.

    Args:
        on_built: Called with dbt's id of each node that succeeded, right after it, in dbt's own thread.

    Attributes:
        seconds: dbt's id → CPU-seconds.
    """

    def __init__(self, on_built: Callable[[str], None] | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self._on_built = on_built
        self._began: dict[str, float] = {}

    def note(self, event: BaseEvent) -> None:
        """Take in that a node begins or ends."""
        if isinstance(event, NodeStart):
            self._began[event.node_info.unique_id] = time.process_time()
        elif isinstance(event, NodeFinished):
            node = event.node_info
            began = self._began.pop(node.unique_id, None)
            if began is not None:
                self.seconds[node.unique_id] = time.process_time() - began
            if self._on_built is not None and node.node_status == "success":
                self._on_built(node.unique_id)


class _Quiet(EventManager):
    def __init__(self, costs: NodeCosts) -> None:
        super().__init__()
        self._costs = costs

    def fire_event(
        self,
        e: BaseEvent,
        level: EventLevel | None = None,
        node: Any = None,
        force_warn_or_error_handling: bool = False,
    ) -> None:
        self._costs.note(e)
        if (level or e.level_tag()) != EventLevel.DEBUG:
            super().fire_event(e, level, node, force_warn_or_error_handling)


_make = BaseEvent.__init__
_WATCHED = (NodeStart, NodeFinished)


def _make_later(event: BaseEvent, *args: Any, **fields: Any) -> None:
    """`BaseEvent.__init__`: a debug event that is going to be dropped becomes protobuf once it is read."""
    if isinstance(get_event_manager(), _Quiet) and not isinstance(event, _WATCHED):
        event.__dict__["_fields"] = (args, fields)
        if event.level_tag() == EventLevel.DEBUG:
            return
    if "pb_msg" not in event.__dict__:
        _make(event, *args, **fields)


def _made(event: BaseEvent, key: str) -> Any:
    """`BaseEvent.__getattr__`."""
    if key == "pb_msg":
        if "_fields" not in event.__dict__:
            raise AttributeError(key)
        args, fields = event.__dict__["_fields"]
        _make(event, *args, **fields)
        return event.__dict__["pb_msg"]
    return getattr(event.pb_msg, key)


def _set(event: BaseEvent, key: str, value: Any) -> None:
    """`BaseEvent.__setattr__`."""
    if key == "pb_msg":
        event.__dict__[key] = value
    else:
        setattr(event.pb_msg, key, value)


@contextmanager
def without_debug_events(costs: NodeCosts) -> Iterator[None]:
    """Drop debug events while the block runs.

    Args:
        costs: Takes in what each node costs.
    """
    for name, method in {"__init__": _make_later, "__getattr__": _made, "__setattr__": _set}.items():
        setattr(BaseEvent, name, method)
    before = get_event_manager()
    ctx_set_event_manager(_Quiet(costs))
    try:
        yield
    finally:
        ctx_set_event_manager(before)
