"""A small schema registry: the part of Confluent's API that its clients use, its data in one file.

Run as a process by schema_registry.py. API: https://docs.confluent.io/platform/current/schema-registry/develop/api.html
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import ssl
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

_JSON = "application/vnd.schemaregistry.v1+json"


class NotFound(Exception):
    """Code and message of the API."""


class Store:
    """Schemas by id, subjects with their versions; every change is in the file before it is answered."""

    def __init__(self, file: Path, first_id: int) -> None:
        self._file, self._first, self.lock = file, first_id, threading.Lock()
        empty: dict[str, Any] = {"schemas": [], "subjects": {}, "config": {}}
        self.data = json.loads(file.read_text()) if file.exists() else empty

    def save(self) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps(self.data))
        os.replace(fresh, self._file)

    def register(self, subject: str, schema: dict[str, Any]) -> dict[str, Any]:
        schemas = self.data["schemas"]
        if schema not in schemas:
            schemas.append(schema)
        number = schemas.index(schema)
        versions = self.data["subjects"].setdefault(subject, [])
        if number not in versions:
            versions.append(number)
        self.save()
        return self.shown(subject, versions.index(number) + 1)

    def lookup(self, subject: str, schema: dict[str, Any]) -> dict[str, Any]:
        versions = self.versions(subject)
        if schema not in self.data["schemas"] or self.data["schemas"].index(schema) not in versions:
            raise NotFound(40403, "Schema not found")
        return self.shown(subject, versions.index(self.data["schemas"].index(schema)) + 1)

    def versions(self, subject: str) -> list[int]:
        if subject not in self.data["subjects"]:
            raise NotFound(40401, f"Subject '{subject}' not found.")
        found: list[int] = self.data["subjects"][subject]
        return found

    def shown(self, subject: str, version: int, form: str = "") -> dict[str, Any]:
        versions = self.versions(subject)
        if not 1 <= version <= len(versions):
            raise NotFound(40402, f"Version {version} not found.")
        number = versions[version - 1]
        return {
            "subject": subject,
            "version": version,
            "id": self._first + number,
            "guid": self._guid(number),
        } | _formatted(self.data["schemas"][number], form)

    def by_id(self, number: int, form: str) -> dict[str, Any]:
        number -= self._first
        if not 0 <= number < len(self.data["schemas"]):
            raise NotFound(40403, f"Schema {number + self._first} not found")
        return _formatted(self.data["schemas"][number], form) | {"guid": self._guid(number)}

    def subjects_of(self, number: int) -> list[dict[str, Any]]:
        self.by_id(number, "")
        return [
            {"subject": subject, "version": versions.index(number - self._first) + 1}
            for subject, versions in self.data["subjects"].items()
            if number - self._first in versions
        ]

    def by_guid(self, guid: str, form: str) -> dict[str, Any]:
        for number in range(len(self.data["schemas"])):
            if self._guid(number) == guid:
                return _formatted(self.data["schemas"][number], form)
        raise NotFound(40403, f"Schema {guid} not found")

    def _guid(self, number: int) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(self.data["schemas"][number], sort_keys=True)))


def _formatted(schema: dict[str, Any], form: str) -> dict[str, Any]:
    """As the real one: descriptors only where they are asked for, source text otherwise."""
    if schema.get("schemaType") == "PROTOBUF" and form != "serialized":
        size = len(base64.b64decode(schema["schema"]))
        return schema | {"schema": f'syntax = "proto3"; // {size} bytes of descriptors as text'}
    return schema


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    store: Store
    logins: tuple[str, ...] = ()
    moved_to = ""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        print(self.command, self.path, flush=True)

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.logins and self.headers.get("Authorization") not in self.logins:
            return self._send(401, {"error_code": 40101, "message": "Unauthorized"})
        if self.moved_to:
            self.send_response(302)
            self.send_header("Location", self.moved_to + self.path)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        place, said = urlsplit(self.path), json.loads(body or b"{}")
        form = parse_qs(place.query).get("format", [""])[0]
        try:
            with self.store.lock:
                found = self._of([unquote(part) for part in place.path.strip("/").split("/")], said, form)
        except NotFound as error:
            code, message = error.args
            return self._send(404, {"error_code": code, "message": message})
        self._send(200, found)

    def _of(self, parts: list[str], said: Any, form: str) -> Any:
        store, schema = self.store, _schema(said)
        match (self.command, *parts):
            case "GET", "subjects":
                return sorted(store.data["subjects"])
            case "POST", "subjects", subject, "versions":
                return store.register(subject, schema)
            case "POST", "subjects", subject:
                return store.lookup(subject, schema)
            case "GET", "subjects", subject, "versions":
                return list(range(1, len(store.versions(subject)) + 1))
            case "GET", "subjects", subject, "versions", version:
                newest = len(store.versions(subject))
                return store.shown(subject, newest if version == "latest" else int(version), form)
            case "GET", "schemas", "ids", number:
                return store.by_id(int(number), form)
            case "GET", "schemas", "ids", number, "versions":
                return store.subjects_of(int(number))
            case "GET", "schemas", "guids", guid:
                return store.by_guid(guid, form)
            case "POST", "compatibility", "subjects", subject, "versions", _:
                level = store.data["config"].get(subject, store.data["config"].get("", "BACKWARD"))
                return {"is_compatible": level == "NONE" or not _lacks(said["schema"])}
            case "GET", "config", *subject:
                return {"compatibilityLevel": store.data["config"].get("".join(subject), "BACKWARD")}
            case "PUT", "config", *subject:
                store.data["config"]["".join(subject)] = said["compatibility"]
                store.save()
                return {"compatibility": said["compatibility"]}
        raise NotFound(404, f"HTTP 404 Not Found: {self.command} {self.path}")

    def _send(self, status: int, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", _JSON)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _schema(said: Any) -> dict[str, Any]:
    if "schema" not in said:
        return {}
    kept = {"schema": said["schema"], "schemaType": said.get("schemaType") or "AVRO"}
    return kept | ({"references": said["references"]} if said.get("references") else {})


def _lacks(text: str) -> bool:
    """Whether a record has a field without a default, which a reader of older values would need."""
    return any("default" not in field for field in json.loads(text).get("fields", ()))


def main() -> None:
    """Serve until the process ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    parser.add_argument("--file", type=Path)
    parser.add_argument("--first-id", type=int)
    parser.add_argument("--login", action="append", default=[])
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--clients", type=Path)
    parser.add_argument("--moved-to", default="")
    said = parser.parse_args()
    Handler.moved_to = said.moved_to
    Handler.store, Handler.logins = Store(said.file, said.first_id), tuple(said.login)
    server = ThreadingHTTPServer(("127.0.0.1", said.port), Handler)
    if said.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(said.certificate)
        if said.clients:
            context.load_verify_locations(said.clients)
            context.verify_mode = ssl.CERT_REQUIRED
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


if __name__ == "__main__":
    main()
