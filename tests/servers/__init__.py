"""Real servers that tests start on loopback, in temporary folders, and end by their own pid."""

SECURED_USER, SECURED_PASSWORD = "reader", "s3cret-of-the-reader"
"""Of the secured listeners of the Kafka that a run shares."""


class ServerMissing(RuntimeError):
    """The server's program is not installed here; the message says what to install."""
