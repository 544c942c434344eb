"""Signed requests (HMAC): how a sender signs is declared, or is one of the shapes that are known by name.

The secret is never declared; it comes from MILLRACE_HTTP_SECRETS.
"""

import binascii
import hmac
from base64 import b64decode
from collections.abc import Mapping, Sequence
from hashlib import sha256, sha512
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_ALGORITHMS = {"sha256": sha256, "sha512": sha512}


def _signed(value: str) -> str:
    if "{body}" not in value or "{" in value.replace("{body}", "").replace("{timestamp}", ""):
        raise ValueError(f"'{value}' must hold {{body}}, may hold {{timestamp}}, and no other braces")
    return value


class Signature(BaseModel):
    """What a sender signs, and where its signature is.

    Attributes:
        header: The signature's.
        algorithm: Of the HMAC.
        encoding: Of the signature.
        prefix: Text before the signature.
        element: Where the header lists name=value with commas, the name of signatures; several are allowed.
        timestamp: The header, or the listed name, with the seconds since 1970 at which it was signed.
        signed: What is signed; {timestamp} and {body} stand for what was sent.
        tolerance_seconds: How far the timestamp may be from now, before or after.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    header: str = Field(min_length=1)
    algorithm: Literal["sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""
    element: str = ""
    timestamp: str = ""
    signed: Annotated[str, AfterValidator(_signed)] = "{body}"
    tolerance_seconds: float = Field(default=300.0, gt=0)

    def is_valid(
        self, headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes], *, now: float
    ) -> bool:
        """Whether somebody who knows one of the secrets has signed this body, lately.

        Args:
            headers: Of the request, in lower case.
            body: As it was sent.
            secrets: Those that count at present.
            now: Seconds since 1970.
        """
        value = headers.get(self.header.lower(), "")
        given, stamp = [value], headers.get(self.timestamp.lower(), "")
        if self.element:
            pairs = [part.strip().partition("=") for part in value.split(",")]
            given = [text for name, _, text in pairs if name == self.element]
            stamp = next((text for name, _, text in pairs if name == self.timestamp), "")
        if self.timestamp and not self._is_recent(stamp, now):
            return False
        before, _, after = self.signed.replace("{timestamp}", stamp).partition("{body}")
        signed = before.encode() + body + after.encode()
        wanted = [hmac.new(secret, signed, _ALGORITHMS[self.algorithm]).digest() for secret in secrets]
        found = [self._decode(text) for text in given]
        # Every pair is compared, so that the time shows nothing.
        return any([hmac.compare_digest(one, other) for one in found for other in wanted])

    def _is_recent(self, stamp: str, now: float) -> bool:
        if not stamp.isascii() or not stamp.isdigit() or len(stamp) > 12:
            return False
        return abs(now - int(stamp)) <= self.tolerance_seconds

    def _decode(self, text: str) -> bytes:
        if not text.startswith(self.prefix):
            return b""
        text = text.removeprefix(self.prefix).strip()
        try:
            return bytes.fromhex(text) if self.encoding == "hex" else b64decode(text, validate=True)
        except (ValueError, binascii.Error):
            return b""


PRESETS = {
    "github": Signature(header="X-Hub-Signature-256", prefix="sha256="),
    "stripe": Signature(
        header="Stripe-Signature", element="v1", timestamp="t", signed="{timestamp}.{body}"
    ),
    "slack": Signature(
        header="X-Slack-Signature", prefix="v0=", timestamp="X-Slack-Request-Timestamp",
        signed="v0:{timestamp}:{body}",
    ),
}  # fmt: skip
"""As these senders sign; of Slack the JSON of its Events API, not its forms."""
