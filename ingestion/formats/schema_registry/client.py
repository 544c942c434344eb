"""Questions to a schema registry over HTTP, within a time; what is kept of the answers: registry.py.

API: https://docs.confluent.io/platform/current/schema-registry/develop/api.html
"""

import base64
import json
import ssl
import urllib.error
import urllib.request
from functools import cached_property
from http.client import HTTPException
from typing import Any, TypeVar

from ingestion.errors import FormatUnavailable
from ingestion.formats.schema_registry.access import SchemaRegistryAccess

_MOST_BYTES = 16 << 20
_ACCEPT = "application/vnd.schemaregistry.v1+json, application/json"
_FORBIDDEN = (401, 403)
_NOT_FOUND = 404
_UNKNOWN = (40401, 40402, 40403)
"""The API's codes for a subject, a version and a schema that there is not; a wrong path has none of them."""


_Answer = TypeVar("_Answer", dict[str, Any], list[Any])


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A login is for the address that was configured."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none."""


class RegistryClient:
    """Asks one registry, at several addresses.

    Args:
        access: Addresses and logins.
        timeout_seconds: Bound of each question to each address.
    """

    def __init__(self, access: SchemaRegistryAccess, *, timeout_seconds: float) -> None:
        self._access, self._timeout_seconds = access, timeout_seconds

    def get(self, path: str) -> dict[str, Any] | None:
        """Ask the addresses one after the other until one answers.

        Args:
            path: With its slash; parts are percent-encoded.

        Returns:
            The answer; None where the registry knows no such thing.

        Raises:
            FormatUnavailable: None answers, or the login is refused: place and remedy.
        """
        found = self._first(path, dict)
        return None if found is None else dict(found)

    def get_list(self, path: str) -> list[Any] | None:
        """The same of a question whose answer is a list."""
        found = self._first(path, list)
        return None if found is None else list(found)

    def _first(self, path: str, kind: type[_Answer]) -> _Answer | None:
        if not self._access.urls:
            raise FormatUnavailable(
                "no schema registry is configured: set MILLRACE_SCHEMA_REGISTRY_URL to its address"
            )
        reasons = []
        for url in self._access.urls:
            try:
                return self._ask(url, path, kind)
            except _Failed as failure:
                reasons.append(f"{url} {failure}")
        raise FormatUnavailable(
            f"the schema registry gives no answer ({'; '.join(reasons)}): start it, or correct "
            "MILLRACE_SCHEMA_REGISTRY_URL and its login; nothing is rejected until then"
        )

    def _ask(self, url: str, path: str, kind: type[_Answer]) -> _Answer | None:
        headers = {"Accept": _ACCEPT, **self._login}
        request = urllib.request.Request(url + path, headers=headers)  # noqa: S310 — access.py checks it
        try:
            with self._opener.open(request, timeout=self._timeout_seconds) as response:
                body = response.read(_MOST_BYTES + 1)
        except urllib.error.HTTPError as error:
            with error:
                _raise_unless_unknown(error)
            return None
        except urllib.error.URLError as error:
            raise _Failed(f"does not answer: {error.reason}") from None
        except (OSError, HTTPException) as error:
            raise _Failed(f"does not answer: {error or type(error).__name__}") from None
        found = _json(body)
        if len(body) > _MOST_BYTES or not isinstance(found, kind):
            raise _Failed("answers what a schema registry does not")
        return found

    @cached_property
    def _login(self) -> dict[str, str]:
        access = self._access
        if access.token:
            return {"Authorization": f"Bearer {access.token.get_secret_value()}"}
        if access.username and access.password:
            both = f"{access.username}:{access.password.get_secret_value()}".encode()
            return {"Authorization": f"Basic {base64.b64encode(both).decode()}"}
        return {}

    @cached_property
    def _opener(self) -> urllib.request.OpenerDirector:
        access = self._access
        try:
            context = ssl.create_default_context(cafile=access.ca_file)
            if access.cert_file:
                context.load_cert_chain(access.cert_file, access.key_file, password=lambda: "")
        except (OSError, ssl.SSLError) as error:
            files = ", ".join(
                str(each) for each in (access.ca_file, access.cert_file, access.key_file) if each
            )
            raise FormatUnavailable(
                f"the certificates for the schema registry cannot be used ({files}: "
                f"{error.strerror or error}): correct "
                "MILLRACE_SCHEMA_REGISTRY_CA_FILE, _CERT_FILE and _KEY_FILE"
            ) from None
        return urllib.request.build_opener(_NoRedirects, urllib.request.HTTPSHandler(context=context))


class _Failed(Exception):
    """An address gave no answer that can be used; what it did instead."""


def _raise_unless_unknown(error: urllib.error.HTTPError) -> None:
    """A refusal is an answer only where the API says that it knows no such schema, subject or version."""
    if error.code in _FORBIDDEN:
        raise _Failed(f"refuses the login (HTTP {error.code})")
    said = _json(error.read(_MOST_BYTES)) if error.code == _NOT_FOUND else None
    if not isinstance(said, dict) or said.get("error_code") not in _UNKNOWN:
        raise _Failed(f"answers with HTTP {error.code}")


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
