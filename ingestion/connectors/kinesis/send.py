"""Sends to data streams: a record counts as sent once Kinesis has given it a sequence number."""

import time
import uuid
from collections.abc import Sequence
from typing import Any

from ingestion.connectors.kinesis.access import KinesisAccess
from ingestion.connectors.kinesis.client import THROTTLED, open_client, translated
from ingestion.connectors.messages import Outgoing
from ingestion.errors import ConfigError, SourceMissing, SourceUnavailable

_AT_ONCE = 500
_BYTES = 4 * 2**20
_PAUSE_SECONDS = 0.2


class KinesisSender:
    """A producer (messages.Sender).

    Args:
        access: How Kinesis is reached.
        timeout_seconds: Bound of connecting and of each acknowledgement.

    Raises:
        ConfigError: No region is set, or there is no such profile.
    """

    def __init__(self, access: KinesisAccess, *, timeout_seconds: float) -> None:
        self._access, self._timeout = access, timeout_seconds
        self._client = open_client(access, timeout_seconds=timeout_seconds)

    def prepare(self, destination: str, *, create: bool) -> None:
        """Refuse a missing data stream, or make it, on demand capacity."""
        with translated(self._access, self._client, stream=destination):
            try:
                with translated(self._access, self._client, stream=destination):
                    self._client.describe_stream_summary(StreamName=destination)
            except SourceMissing as error:
                if not create:
                    raise SourceMissing(f"{error} (--create makes it)") from None
                self._client.create_stream(
                    StreamName=destination, StreamModeDetails={"StreamMode": "ON_DEMAND"}
                )
            self._await_active(destination)

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Send, and wait until each was accepted."""
        for message in messages:
            if message.headers:
                raise ConfigError("Kinesis records have no headers: send none")
            if message.value is None:
                raise ConfigError("Kinesis has no tombstones: an empty record is an event as any other")
        destinations = {message.destination for message in messages}
        for destination in sorted(destinations):
            records = [_record(each) for each in messages if each.destination == destination]
            for batch in _batches(records):
                self._put(destination, batch)

    def close(self) -> None:
        """Leave."""
        self._client.close()

    def _put(self, destination: str, records: list[dict[str, Any]]) -> None:
        deadline, wait = time.monotonic() + self._timeout, _PAUSE_SECONDS
        while records:
            with translated(self._access, self._client, stream=destination):
                answer = self._client.put_records(StreamName=destination, Records=records)["Records"]
            refused = [
                (each, given) for each, given in zip(records, answer, strict=True) if "ErrorCode" in given
            ]
            codes = {given["ErrorCode"] for _, given in refused}
            if refused and (time.monotonic() > deadline or not codes <= THROTTLED | {"InternalFailure"}):
                raise SourceUnavailable(
                    f"{self._access.address} did not accept {len(refused)} records for '{destination}' "
                    f"({', '.join(sorted(codes))}); send them later, or add shards"
                )
            records = [each for each, _ in refused]
            if records:
                time.sleep(wait)
                wait *= 2

    def _await_active(self, destination: str) -> None:
        deadline = time.monotonic() + self._timeout
        while True:
            given = self._client.describe_stream_summary(StreamName=destination)["StreamDescriptionSummary"]
            if given["StreamStatus"] in ("ACTIVE", "UPDATING"):
                return
            if time.monotonic() > deadline:
                raise SourceUnavailable(
                    f"data stream '{destination}' at {self._access.address} has been "
                    f"{given['StreamStatus'].lower()} for too long; look at it in the AWS console"
                )
            time.sleep(_PAUSE_SECONDS)


def _record(message: Outgoing) -> dict[str, Any]:
    key = uuid.uuid4().hex if message.key is None else _text(message.key)
    return {"Data": message.value, "PartitionKey": key}


def _text(key: bytes) -> str:
    try:
        return key.decode()
    except UnicodeDecodeError:
        raise ConfigError("a partition key of Kinesis is text: this one is not UTF-8") from None


def _batches(records: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """PutRecords takes 500 records and 5 MiB at a time."""
    found: list[list[dict[str, Any]]] = []
    size = _BYTES
    for record in records:
        length = len(record["Data"]) + len(record["PartitionKey"])
        if size + length > _BYTES or len(found[-1]) == _AT_ONCE:
            found.append([])
            size = 0
        found[-1].append(record)
        size += length
    return found
