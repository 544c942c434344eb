"""Real servers that tests start on loopback, in temporary folders, and end by their own pid."""


class ServerMissing(RuntimeError):
    """The server's program is not installed here; the message says what to install."""
