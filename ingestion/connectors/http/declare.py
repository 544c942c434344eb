"""What streams.yml says of a stream whose events are POSTed."""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from ingestion.connectors.http.signatures import PRESETS, Signature
from ingestion.connectors.spec import SourceSpec, as_tuple
from ingestion.errors import ConfigError

_DOOR = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
RESERVED = frozenset({"receipts", "marts"})
"""What /v1/ leads to besides doors."""
_HEADER = re.compile(r"[A-Za-z0-9-]{1,100}")
_SECRETS = frozenset({"authorization", "proxy-authorization", "cookie"})


def _door(value: str) -> str:
    if not _DOOR.fullmatch(value) or value in RESERVED:
        raise ValueError(
            f"'{value}' cannot be the end of an address; use letters, digits, dots, dashes and underscores, "
            f"and neither {' nor '.join(sorted(RESERVED))}"
        )
    return value


def _headers(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not _HEADER.fullmatch(value):
            raise ValueError(f"'{value}' is not a header's name, as in X-GitHub-Event")
        if value.lower() in _SECRETS:
            raise ValueError(f"'{value}' holds secrets, which are not kept with events")
    return tuple(value.lower() for value in values)


class HttpSource(SourceSpec):
    """Events that are POSTed to /v1/<http>.

    Attributes:
        http: The end of the address.
        headers: Names of request headers that each event keeps, in lower case.
        key_hours: How long an idempotency key is kept.
        requests_per_minute: How many requests the address takes in a minute; None: as many as come.
        auth: What senders show: nothing, a bearer token, or a signature: declared, or a sender's by name.
    """

    kind: ClassVar[str] = "http"

    http: Annotated[
        str,
        AfterValidator(_door),
        WithJsonSchema(
            {"type": "string", "pattern": f"^{_DOOR.pattern}$", "not": {"enum": sorted(RESERVED)}}
        ),
    ]
    headers: Annotated[
        tuple[str, ...],
        BeforeValidator(as_tuple),
        AfterValidator(_headers),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
    ] = ()
    auth: Literal["none", "token", "github", "stripe", "slack"] | Signature = "none"
    key_hours: Annotated[float, Field(gt=0)] = 24.0
    requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    start: Literal["earliest"] = "earliest"

    @property
    def signature(self) -> Signature | None:
        """How senders sign; None where they do not."""
        return PRESETS.get(self.auth) if isinstance(self.auth, str) else self.auth

    @property
    def origin(self) -> str:
        """The end of the address."""
        return f"HTTP {self.http}"

    def destination(self, named: str = "") -> str:
        """The one place that it reads."""
        if named not in ("", self.http):
            raise ConfigError(f"the stream does not read '{named}': its address ends with {self.http}")
        return self.http
