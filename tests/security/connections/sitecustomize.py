"""On PYTHONPATH: every Python process writes down whom it connects to or looks up (MILLRACE_TEST_SEEN)."""

import json
import os
import sys

_EVENTS = {"socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"}


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event not in _EVENTS:
        return
    what = arguments[0] if event.startswith("socket.get") else arguments[1]
    host = what[0] if isinstance(what, tuple) else what
    if isinstance(host, bytes):
        host = host.decode(errors="replace")
    line = json.dumps({"event": event, "host": host, "program": sys.argv[:4] if hasattr(sys, "argv") else []})
    descriptor = os.open(os.environ["MILLRACE_TEST_SEEN"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, line.encode() + b"\n")
    os.close(descriptor)


if "MILLRACE_TEST_SEEN" in os.environ:
    sys.addaudithook(_note)
