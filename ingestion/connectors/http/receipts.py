"""The receipt of a request: where its events are, and of what they were the digest. It needs no memory."""

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import orjson

from ingestion.connectors.http.delivery import Stored

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
