"""The receipt of a request: where its events are, and of what they were the digest. It needs no memory."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import orjson

from ingestion.connectors.http.delivery import Stored
from ingestion.connectors.intake import Whereabouts
from ingestion.spool.lanes import Place

_SHORT = 12
"""Characters of a digest or a log's identity that a receipt's id holds."""


def digest_of(body: bytes) -> str:
    """The digest of an unpacked body."""
    return f"sha256:{sha256(body).hexdigest()}"


def receipt_of(stored: Sequence[Stored], digest: str) -> dict[str, Any]:
    """What the sender gets."""
    return {
        "receipt": receipt_id(stored, digest),
        "events": stored[0].count,
        "digest": digest,
        "streams": [
            {"stream": each.stream, "first": each.first, "last": each.first + each.count - 1}
            for each in stored
        ],
    }


def receipt_id(stored: Sequence[Stored], digest: str) -> str:
    """A receipt's name: everything that is needed to find the events again."""
    places = [[each.stream, each.log_id[:_SHORT], each.first, each.count] for each in stored]
    short = digest.partition(":")[2][:_SHORT]
    return urlsafe_b64encode(orjson.dumps([short, *places])).rstrip(b"=").decode()


def read_receipt(text: str) -> list[tuple[Place, int]]:
    """Place of the first event and number of events, in each stream; nothing of what is not a receipt."""
    try:
        _, *places = orjson.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        found = [
            (Place(str(stream), str(log_id), int(at)), int(count)) for stream, log_id, at, count in places
        ]
    except (ValueError, TypeError, binascii.Error):
        return []
    return found if all(place.position >= 0 and count > 0 for place, count in found) else []


def where(place: Place, count: int, found: Whereabouts | None) -> dict[str, Any]:
    """What is said of a receipt's events in one stream."""
    said: dict[str, Any] = {"stream": place.spool, "events": count}
    if found is None:
        return said | {"state": "unknown"}
    state = "lake" if found.in_lake == count else "partly in the lake" if found.in_lake else "spool"
    return said | {
        "state": state,
        "first": found.first,
        "last": found.first + count - 1,
        "in_lake": found.in_lake,
        "batches": list(found.batches),
        "snapshot": found.snapshot,
    }
