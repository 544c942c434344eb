"""dbt's event manager for runs that nobody watches: debug events are dropped before they become messages.

A build of seven nodes fires three hundred of them. dbt turns each into protobuf and, for its log file, into a
line, and only then looks at the level: a twelfth of a small build.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dbt_common.events.base_types import BaseEvent, EventLevel
from dbt_common.events.event_manager import EventManager
from dbt_common.events.event_manager_client import ctx_set_event_manager, get_event_manager


class _Quiet(EventManager):
    def fire_event(
        self,
        e: BaseEvent,
        level: EventLevel | None = None,
        node: Any = None,
        force_warn_or_error_handling: bool = False,
    ) -> None:
        if (level or e.level_tag()) != EventLevel.DEBUG:
            super().fire_event(e, level, node, force_warn_or_error_handling)


@contextmanager
def without_debug_events() -> Iterator[None]:
    """Drop debug events while the block runs."""
    before = get_event_manager()
    ctx_set_event_manager(_Quiet())
    try:
        yield
    finally:
        ctx_set_event_manager(before)
