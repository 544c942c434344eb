"""The addresses that streams declare, and who may send to each."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from ingestion.connectors.http.access import HttpAccess
from ingestion.connectors.http.declare import HttpSource
from ingestion.connectors.http.problems import Problem
from ingestion.connectors.http.signatures import Signature
from ingestion.connectors.http.tokens import TokenFile, mart_subject
from ingestion.errors import ConfigError


@dataclass(frozen=True)
class Door:
    """An address that events are POSTed to.

    Attributes:
        name: Its end.
        streams: Who takes them.
        headers: Names of request headers that they keep.
        wants_token: A bearer token of one of the streams is shown.
        signature: How requests are signed; None where they are not.
        quota: Requests that it takes in a minute; None: as many as come.
    """

    name: str
    streams: tuple[str, ...]
    headers: tuple[str, ...] = ()
    wants_token: bool = False
    signature: Signature | None = None
    quota: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether anybody may send."""
        return not self.wants_token and self.signature is None


def doors_of(sources: Mapping[str, HttpSource]) -> dict[str, Door]:
    """The addresses of streams; several streams may read one.

    Raises:
        ConfigError: Two streams of one address let others in.
    """
    doors: dict[str, Door] = {}
    auths: dict[str, object] = {}
    for stream, source in sources.items():
        if auths.setdefault(source.http, source.auth) != source.auth:
            raise ConfigError(
                f"stream '{stream}' reads /v1/{source.http} with another 'auth' than others: make it one"
            )
        known = doors.get(source.http)
        quotas = (known.quota if known else None, source.requests_per_minute)
        doors[source.http] = Door(
            source.http,
            (*(known.streams if known else ()), stream),
            tuple(sorted({*(known.headers if known else ()), *source.headers})),
            wants_token=source.auth == "token",
            signature=source.signature,
            quota=min((each for each in quotas if each is not None), default=None),
        )
    return doors


class Keepers:
    """Decides who may send.

    Args:
        access: Secrets.
        tokens: Tokens.
    """

    def __init__(self, access: HttpAccess, tokens: TokenFile) -> None:
        self._access, self._tokens = access, tokens

    def admit(self, door: Door, headers: Mapping[str, str]) -> None:
        """Refuse who shows no token, where one is wanted; before the body is read.

        Raises:
            Problem: 401.
        """
        if door.wants_token:
            token = bearer(headers)
            if not token or not any([self._tokens.admits(stream, token) for stream in door.streams]):
                raise _unauthorized("show a token of this stream: Authorization: Bearer …", "Bearer")

    def admit_reader(self, mart: str, headers: Mapping[str, str]) -> None:
        """Refuse who shows no token for a mart, or for all of them.

        Raises:
            Problem: 401.
        """
        token = bearer(headers)
        known = (mart_subject(mart), mart_subject(""))
        if not token or not any([self._tokens.admits(each, token) for each in known]):
            raise _unauthorized(
                "show a token for this mart, as 'millrace token make marts' makes: Authorization: Bearer …",
                "Bearer",
            )

    def check(self, door: Door, headers: Mapping[str, str], body: bytes) -> None:
        """Refuse a body that is not signed as is declared.

        Raises:
            Problem: 401.
        """
        if door.signature is None:
            return
        known = self._access.secrets_of(door.name)
        if not door.signature.is_valid(headers, body, known, now=time.time()):
            raise _unauthorized(
                f"the signature in {door.signature.header} is missing, wrong or too old", "Signature"
            )


def bearer(headers: Mapping[str, str]) -> str:
    """The token that a request shows; empty without one."""
    kind, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def _unauthorized(detail: str, scheme: str) -> Problem:
    return Problem(HTTPStatus.UNAUTHORIZED, detail, {"www-authenticate": scheme})
