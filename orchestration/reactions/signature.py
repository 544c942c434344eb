"""Signatures of webhooks, as https://www.standardwebhooks.com describes them: symmetric, version 1."""

import base64
import binascii
import hmac
from collections.abc import Mapping
from hashlib import sha256

from pydantic import SecretStr

from ingestion.errors import ConfigError

_PREFIX = "whsec_"
_SHORTEST, _LONGEST = 24, 64


def secret_bytes(secret: SecretStr, *, variable: str) -> bytes:
    """The key that a secret holds.

    Args:
        secret: whsec_ and base64.
        variable: Where it stands, for errors.

    Raises:
        ConfigError: It is something else; says how to make one, and never shows it.
    """
    text = secret.get_secret_value()
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(_PREFIX) or not _SHORTEST <= len(key) <= _LONGEST:
        raise ConfigError(
            f"{variable} must hold {_PREFIX} and {_SHORTEST} to {_LONGEST} random bytes in base64: "
            "'openssl rand -base64 32' makes what follows the prefix"
        )
    return key


def headers(key: str, body: bytes, *, now_s: int, secret: bytes | None) -> Mapping[str, str]:
    """The headers of a webhook.

    Args:
        key: The idempotency key; without a full stop.
        body: What is posted.
        now_s: Seconds since 1970, UTC.
        secret: Signs; None for no signature.
    """
    found = {"webhook-id": key, "webhook-timestamp": str(now_s), "idempotency-key": key}
    if secret is not None:
        digest = hmac.new(secret, b"%s.%d.%s" % (key.encode(), now_s, body), sha256).digest()
        found["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
    return found
