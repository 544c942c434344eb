"""Superset's REST API, as far as a dashboard needs it; a running one describes it at /swagger/v1."""

import http.cookiejar
import json
import secrets
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

_SECONDS = 120.0


class Refused(Exception):
    """Superset refused; the message is what it said."""


class Client:
    """A user who has logged in.

    Args:
        url: Where Superset is.
        user: The user's name.
        password: The user's password.

    Raises:
        Refused: The login is refused.
    """

    def __init__(self, url: str, user: str, password: str) -> None:
        self._url = url
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies)
        self._headers = {"Referer": url}
        login = {"username": user, "password": password, "provider": "db", "refresh": False}
        self._headers["Authorization"] = f"Bearer {self.post('security/login', login)['access_token']}"
        self._headers["X-CSRFToken"] = self.get("security/csrf_token/")["result"]

    def get(self, path: str) -> Any:
        """The answer of a path below /api/v1, from JSON."""
        return json.loads(self.read(path))

    def read(self, path: str) -> bytes:
        """The answer as it is."""
        return self._ask(path)

    def post(self, path: str, content: object) -> Any:
        """Send JSON; the answer."""
        return json.loads(self._ask(path, json.dumps(content).encode(), "application/json"))

    def put(self, path: str, content: object) -> Any:
        """Change something; the answer."""
        return json.loads(self._ask(path, json.dumps(content).encode(), "application/json", method="PUT"))

    def send_file(self, path: str, *, field: str, content: bytes, fields: dict[str, str]) -> Any:
        """Post a form with one zip file in it; the answer."""
        boundary = secrets.token_hex(16)
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in fields.items()
        ]
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="dashboard.zip"\r\n'
            "Content-Type: application/zip\r\n\r\n"
        )
        body = b"".join([*parts, head.encode(), content, f"\r\n--{boundary}--\r\n".encode()])
        return json.loads(self._ask(path, body, f"multipart/form-data; boundary={boundary}"))

    def dashboard(self, slug: str) -> Any:
        """A dashboard by its name in addresses."""
        return self.get(f"dashboard/{slug}")["result"]

    def chart_data(self, chart: int) -> dict[str, Any]:
        """What a chart's saved query answers now, past every cache: rows in `data`, SQL in `query`."""
        (found,) = self.get(f"chart/{chart}/data/?force=true")["result"]
        return dict(found)

    def _ask(
        self, path: str, body: bytes | None = None, kind: str = "", *, method: str | None = None
    ) -> bytes:
        headers = self._headers | ({"Content-Type": kind} if kind else {})
        request = urllib.request.Request(  # noqa: S310
            f"{self._url}/api/v1/{path}", body, headers, method=method
        )
        try:
            with self._opener.open(request, timeout=_SECONDS) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")[:2000]
            raise Refused(f"Superset answers {error.code} to {path}: {said}") from None
