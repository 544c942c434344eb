"""A request's body → events: one JSON value, a JSON array, lines of JSON (NDJSON), or bytes as they are.

Events are slices of the body, byte by byte as they came: nothing is written again.
"""

import re
from dataclasses import dataclass
from http import HTTPStatus

import orjson
import pyarrow as pa

from ingestion.connectors.http.problems import Problem

_ENCODINGS = {"gzip": "gzip", "x-gzip": "gzip", "zstd": "zstd"}
_LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})
_BYTES = "application/octet-stream"
_JSON = re.compile(r"application/(?:json|[\w.+-]+\+json)")
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{},]', re.DOTALL)
_ANY = re.compile(r"[a-z]+/[a-z0-9][\w.+-]*")
_SIMPLE = re.compile(r"text/plain|application/x-www-form-urlencoded|multipart/.*")
"""What a browser sends for any page without asking first (CORS-safelisted, https://fetch.spec.whatwg.org)."""
ACCEPTED = f"application/json, application/x-ndjson, {_BYTES}"


@dataclass(frozen=True)
class Body:
    """How a body is to be read.

    Attributes:
        media_type: In lower case, without parameters.
        encoding: gzip, zstd, or empty.
    """

    media_type: str
    encoding: str

    @classmethod
    def of(cls, content_type: str, content_encoding: str) -> "Body":
        """Read the headers.

        Raises:
            Problem: 415, with what is taken.
        """
        media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
        is_json = media_type in _LINES or _JSON.fullmatch(media_type)
        known = _ANY.fullmatch(media_type) and not _SIMPLE.fullmatch(media_type)
        charsets = [each.partition("=")[2].strip('"') for each in parameters if each.startswith("charset")]
        wrong = is_json and any(charset not in ("utf-8", "utf8", "us-ascii") for charset in charsets)
        if not known or wrong:
            raise Problem(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                f"the content type '{content_type[:100]}' is not taken; send JSON, an array or lines of it, "
                "in UTF-8, as application/json or application/x-ndjson, and anything else by its own type, "
                f"as in text/csv, or as {_BYTES}; any page in a browser could send text/plain and forms",
                {"accept-post": ACCEPTED},
            )
        encoding = content_encoding.strip().lower()
        if encoding not in ("", "identity", *_ENCODINGS):
            raise Problem(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                f"the content encoding '{content_encoding[:100]}' is not taken; use gzip, zstd or none",
                {"accept-encoding": "gzip, zstd"},
            )
        return cls(media_type, _ENCODINGS.get(encoding, ""))

    def unpack(self, body: bytes, *, limit: int) -> bytes:
        """The body without its encoding.

        Args:
            body: As it came.
            limit: Bytes that it may unpack to.

        Raises:
            Problem: 413 where it is more; 400 where it is damaged.
        """
        if not self.encoding:
            return body
        try:
            with pa.CompressedInputStream(pa.BufferReader(body), self.encoding) as stream:
                unpacked = bytes(stream.read(limit + 1))
        except (OSError, pa.ArrowException):
            raise Problem(HTTPStatus.BAD_REQUEST, f"the body is not whole {self.encoding}") from None
        if len(unpacked) > limit:
            raise too_large(limit, unpacked=True)
        return unpacked

    def events(self, body: bytes, *, most: int) -> list[bytes]:
        """The events that a body holds.

        Args:
            body: Unpacked.
            most: Events that it may hold.

        Raises:
            Problem: 400 where it is not what its type says, 413 for too many events, 422 for none.
        """
        is_lines, is_json = self.media_type in _LINES, _JSON.fullmatch(self.media_type)
        if not body.strip() and (is_lines or is_json):
            raise Problem(HTTPStatus.BAD_REQUEST, "the body is empty; send at least one event")
        if not is_lines and not is_json:
            found = [body] if body else []
        elif is_lines:
            found = _lines(body)
        else:
            _require_json(body, "the body")
            found = _elements(body) if body.lstrip()[:1] == b"[" else [body]
        if not found:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "the body holds no event")
        if len(found) > most:
            raise Problem(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the body holds {len(found):,} events and may hold {most:,}; send them in several requests",
            )
        return found


def too_large(limit: int, *, unpacked: bool = False) -> Problem:
    """A body beyond its limit."""
    what = "unpacks to" if unpacked else "has"
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the body {what} more than {limit:,} bytes; send less in one request",
    )


def _lines(body: bytes) -> list[bytes]:
    found = []
    for number, raw in enumerate(body.split(b"\n"), 1):
        line = raw.rstrip(b"\r")
        if line.strip():
            _require_json(line, f"line {number}")
            found.append(line)
    return found


def _require_json(value: bytes, what: str) -> None:
    try:
        orjson.loads(value)
    except orjson.JSONDecodeError as error:
        if "infinity" not in str(error):  # a number beyond a double is JSON all the same
            raise Problem(HTTPStatus.BAD_REQUEST, f"{what} is not JSON in UTF-8: {error}") from None


def _elements(body: bytes) -> list[bytes]:
    """The elements of a JSON array, each as it stands there."""
    found: list[bytes] = []
    depth = start = 0
    for token in _TOKEN.finditer(body):
        first = body[token.start()]
        if first in b"[{":
            depth += 1
            if depth == 1:
                start = token.end()
        elif first in b"]}" or (first == ord(",") and depth == 1):
            if depth == 1:
                element = body[start : token.start()].strip()
                if element or found or first == ord(","):
                    found.append(element)
                start = token.end()
            if first != ord(","):
                depth -= 1
    return found
