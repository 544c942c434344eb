"""The OpenAPI 3.1 text of a running server, from what streams declare. It holds no secret.

What is sent to an address by webhooks is described as far as HTTP goes: their senders decide what they post.
"""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from ingestion.connectors.http.access import HttpAccess
from ingestion.connectors.http.doors import Door
from ingestion.connectors.http.marts import MEDIA_TYPES, MOST_ROWS
from ingestion.connectors.http.problems import PROBLEM

_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "A request that is sent again with its key is stored once.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": '^[ "]*[!#-~][ -~]*$'},
}
_TOKEN, _MART_TOKEN, _READ_TOKEN = "token", "mart_token", "read_token"
_WHY: Mapping[int, str] = {
    400: "The request is not what it says it is.",
    401: "Who asks is not known.",
    403: "The request came past the proxy.",
    404: "There is nothing of that name.",
    406: "The mart is not given in such a notation.",
    408: "The body did not come in time.",
    410: "That version of the lake has expired.",
    413: "The body is too large, or holds too many events.",
    415: "The content type or encoding is not taken.",
    421: "The request names another host.",
    422: "The body holds no event, or its key was used for another one.",
    429: "Too many requests; Retry-After says when to send again.",
    503: "Nothing can be stored or read at the moment; Retry-After says when to ask again.",
}


def openapi(doors: Iterable[Door], access: HttpAccess, *, marts: Sequence[str]) -> dict[str, Any]:
    """The text.

    Args:
        doors: The addresses that streams declare.
        access: Limits of a request.
        marts: The marts that are served.
    """
    paths: dict[str, Any] = {
        "/healthz": {"get": _health()},
        "/openapi.json": {"get": _text(access)},
        "/v1/receipts/{receipt}": {"get": _receipt(access)},
    }
    paths |= {f"/v1/{door.name}": _door(door, access) for door in doors}
    if marts:
        paths["/v1/marts/{mart}"] = {"get": _mart(marts)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Millrace", "version": "1", "description": "Events in, marts out."},
        "paths": paths,
        "components": {
            "schemas": {"Problem": _PROBLEM_SCHEMA, "Receipt": _RECEIPT_SCHEMA},
            "securitySchemes": {
                _TOKEN: _bearer("Of a stream that reads the address."),
                _MART_TOKEN: _bearer("For reading marts."),
                _READ_TOKEN: _bearer("The installation's, for looking."),
            },
        },
    }


def _door(door: Door, access: HttpAccess) -> dict[str, Any]:
    refused = _problems(400, 403, 408, 413, 415, 421, 422, 429, 503, *(() if door.is_open else (401,)))
    described = {
        "summary": f"Send events to {', '.join(door.streams)}.",
        "operationId": f"post_{door.name}",
        "parameters": [_KEY],
        "requestBody": {"required": True, "content": _bodies(access)},
        "responses": {
            "202": {
                "description": "Every event is on disk.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Receipt"}}},
            },
            **refused,
        },
    }
    if door.signature is not None:
        described["description"] = f"The body is signed, in the header {door.signature.header}."
    if door.wants_token:
        described["security"] = [{_TOKEN: []}]
    options = {
        "summary": "Which methods the address takes.",
        "operationId": f"options_{door.name}",
        "responses": {"204": {"description": "In the header Allow."}, **_problems(403, 421)},
    }
    return {"post": described, "options": options}


def _bodies(access: HttpAccess) -> dict[str, Any]:
    several = {"type": "array", "minItems": 1, "maxItems": access.request_max_events}
    one = {"type": ["object", "string", "number", "boolean", "null"]}
    return {
        "application/json": {"schema": {"anyOf": [several, one]}},
        "application/x-ndjson": {"schema": {"type": "string", "description": "One event a line."}},
        "application/octet-stream": {"schema": {"type": "string", "format": "binary", "minLength": 1}},
    }


def _mart(marts: Sequence[str]) -> dict[str, Any]:
    whole = {"type": "integer", "minimum": 0, "maximum": 2**62}
    return {
        "summary": "Read a mart: whole, page by page, or what has changed.",
        "operationId": "get_mart",
        "security": [{_MART_TOKEN: []}],
        "parameters": [
            {"name": "mart", "in": "path", "required": True, "schema": {"type": "string", "enum": [*marts]}},
            _query("format", {"type": "string", "enum": [*MEDIA_TYPES]}),
            _query("limit", {"type": "integer", "minimum": 1, "maximum": MOST_ROWS}),
            _query("since", whole),
            _query("page", {"type": "string", "minLength": 1}),
        ],
        "responses": {
            "200": {
                "description": "Its rows.",
                "headers": {
                    "Millrace-Snapshot": {"required": True, "schema": {"type": "integer"}},
                    "Millrace-Whole": {
                        "required": True,
                        "schema": {"type": "string", "enum": ["true", "false"]},
                    },
                    "Millrace-Fresh-To": {"schema": {"type": "string", "format": "date-time"}},
                    "Millrace-Complete-To": {"schema": {"type": "string", "format": "date-time"}},
                    "Link": {"schema": {"type": "string"}},
                },
                "content": {
                    "application/json": {"schema": _ROWS_SCHEMA},
                    "text/csv": {"schema": {"type": "string"}},
                    MEDIA_TYPES["arrow"]: {"schema": {"type": "string", "format": "binary"}},
                },
            },
            **_problems(400, 401, 403, 404, 406, 410, 421, 503),
        },
    }


def _receipt(access: HttpAccess) -> dict[str, Any]:
    return {
        "summary": "Where the events of a request are by now.",
        "operationId": "get_receipt",
        "security": [*([] if access.is_exposed else [{}]), {_TOKEN: []}, {_READ_TOKEN: []}],
        "parameters": [
            {"name": "receipt", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        ],
        "responses": {
            "200": {
                "description": "Of each stream, whether they wait or are in the lake.",
                "content": {
                    "application/json": {"schema": {"type": "object", "required": ["receipt", "streams"]}}
                },
            },
            **_problems(401, 403, 404, 421, 503),
        },
    }


def _health() -> dict[str, Any]:
    status = {"type": "object", "required": ["status", "doors", "held"]}
    content = {"application/json": {"schema": status}}
    return {
        "summary": "Whether everything that is sent can be stored.",
        "operationId": "get_health",
        "responses": {
            "200": {"description": "It can.", "content": content},
            "503": {"description": "Not all of it.", "content": content},
        },
    }


def _text(access: HttpAccess) -> dict[str, Any]:
    described = {
        "summary": "This text.",
        "operationId": "get_openapi",
        "responses": {
            "200": {"description": "It.", "content": {"application/json": {"schema": {"type": "object"}}}},
            **_problems(403, 421, *((401,) if access.is_exposed else ())),
        },
    }
    return described | ({"security": [{_READ_TOKEN: []}]} if access.is_exposed else {})


def _problems(*statuses: int) -> dict[str, Any]:
    content = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {str(HTTPStatus(each).value): {"description": _WHY[each], "content": content} for each in statuses}


def _query(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema}


def _bearer(description: str) -> dict[str, str]:
    return {"type": "http", "scheme": "bearer", "description": description}


_PROBLEM_SCHEMA = {
    "type": "object",
    "description": "RFC 9457.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}
_RECEIPT_SCHEMA = {
    "type": "object",
    "required": ["receipt", "events", "digest", "streams"],
    "properties": {
        "receipt": {"type": "string"},
        "events": {"type": "integer", "minimum": 1},
        "digest": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"},
        "streams": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["stream", "first", "last"],
                "properties": {
                    "stream": {"type": "string"},
                    "first": {"type": "integer"},
                    "last": {"type": "integer"},
                },
            },
        },
    },
}
_ROWS_SCHEMA = {
    "type": "object",
    "required": ["mart", "snapshot", "whole", "columns", "streams", "rows", "next"],
    "properties": {
        "mart": {"type": "string"},
        "snapshot": {"type": "integer"},
        "whole": {"type": "boolean"},
        "columns": {"type": "array", "items": {"type": "object", "required": ["name", "type"]}},
        "streams": {"type": "object"},
        "rows": {"type": "array", "items": {"type": "object"}},
        "next": {"type": ["string", "null"]},
    },
}
