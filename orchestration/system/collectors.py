"""The collectors of a running system: which ones its streams need, and that they have subscribed."""

from collections.abc import Mapping, Sequence
from functools import partial

from ingestion.collect.members import Member, members
from ingestion.collect.status import read_status
from ingestion.connectors.registry import is_collected
from ingestion.declare.stream import Stream
from ingestion.settings import Settings
from orchestration.services.process import Service, ServiceError, wait_until
from orchestration.system import services

_NEEDED_SECONDS = 60.0
_PATIENCE_SECONDS = 10.0


class Collectors:
    """Those of each kind of broker that has something to collect and is configured.

    Attributes:
        services: Those that the streams of the last `make` need.
    """

    def __init__(self) -> None:
        self.services: list[Service] = []
        self._members: list[Member] = []
        self._streams: list[Stream] = []

    def make(
        self, settings: Settings, env: Mapping[str, str], streams: Sequence[Stream]
    ) -> Sequence[Service]:
        """Make them, without starting any.

        Args:
            settings: Of the running system.
            env: Of its processes.
            streams: The declared ones.
        """
        self._streams = _collected(streams)
        self._members = [
            member
            for member in members(settings, self._streams)
            if member.connector.is_configured(settings.access(member.connector.kind, member.connector.access))
        ]
        self.services = [services.collector(settings, env, member) for member in self._members]
        return self.services

    def fit(self, streams: Sequence[Stream]) -> bool:
        """Whether these streams are collected as those of the last `make` were."""
        return self._streams == _collected(streams)

    def await_subscribed(self, settings: Settings, *, needed: bool) -> None:
        """Subscribe before anything is sent: a broker keeps nothing for a client it does not know yet.

        Args:
            settings: Of the running system.
            needed: Whether something is going to send; else the system also runs while its broker is away.

        Raises:
            ServiceError: A collector that is needed has not subscribed in time.
        """
        for member in self._members:
            ready = partial(_is_subscribed, settings, member, or_in_trouble=not needed)
            seconds = _NEEDED_SECONDS if needed else _PATIENCE_SECONDS
            if not wait_until(ready, timeout_s=seconds, interval_s=0.1) and needed:
                log = services.log_folder(settings) / f"{member.name}.log"
                raise ServiceError(
                    f"The collector has not subscribed at the {member.connector.kind.upper()} broker in "
                    f"time: look into {log}."
                )


def _collected(streams: Sequence[Stream]) -> list[Stream]:
    """The streams whose senders a collector listens to."""
    return [stream for stream in streams if is_collected(stream.source)]


def _is_subscribed(settings: Settings, member: Member, *, or_in_trouble: bool) -> bool:
    status = read_status(settings.data_dir, *member)
    return bool(status.get("subscribed") or (or_in_trouble and status.get("error")))
