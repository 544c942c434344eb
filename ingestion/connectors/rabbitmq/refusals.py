"""Why RabbitMQ did not do what was asked, as sentences with the place and the remedy.

Connections are made in connection.py.
"""

import socket
import ssl

from pika import exceptions

from ingestion.connectors.rabbitmq.access import RabbitAccess
from ingestion.connectors.rabbitmq.declare import Place

NOT_FOUND, _REFUSED, _LOCKED, _PRECONDITION, _NOT_ALLOWED = 404, 403, 405, 406, 530
_NOT_IMPLEMENTED = 540


def not_connected(access: RabbitAccess, error: BaseException) -> str:
    """Why no connection came about, or why it ended; never the password."""
    error = _cause(error)
    code, text = getattr(error, "reply_code", 0), getattr(error, "reply_text", "")
    if isinstance(error, exceptions.ProbableAccessDeniedError) or code == _NOT_ALLOWED:
        return (
            f"RabbitMQ at {access.address} does not let user '{access.username}' into the virtual host "
            f"'{access.vhost}'; correct MILLRACE_RABBITMQ_VHOST, or give the user rights there"
        )
    if isinstance(error, exceptions.AuthenticationError | exceptions.ProbableAuthenticationError) or (
        code == _REFUSED
    ):
        return (
            f"RabbitMQ at {access.address} refuses user '{access.username}'; correct "
            "MILLRACE_RABBITMQ_USERNAME and MILLRACE_RABBITMQ_PASSWORD (guest may log in from the broker's "
            "own machine only)"
        )
    if isinstance(error, ssl.SSLError):
        what = getattr(error, "verify_message", "") or error.reason or str(error)
        return (
            f"TLS with RabbitMQ at {access.address} failed ({what}); check MILLRACE_RABBITMQ_TLS, "
            "MILLRACE_RABBITMQ_PORT and MILLRACE_RABBITMQ_CA_FILE"
        )
    if isinstance(error, exceptions.ConnectionBlockedTimeout):
        return (
            f"RabbitMQ at {access.address} takes no messages: it is short of memory or disk; see "
            "'rabbitmqctl list_alarms' there"
        )
    if code:
        return f"RabbitMQ at {access.address} closed the connection ({code} {text}); look at its log"
    if isinstance(error, exceptions.StreamLostError | exceptions.AMQPHeartbeatTimeout):
        return f"the connection to RabbitMQ at {access.address} was lost; it is made again by itself"
    what = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return (
        f"RabbitMQ at {access.address} cannot be reached ({what}); check that it runs, and "
        "MILLRACE_RABBITMQ_HOST, MILLRACE_RABBITMQ_PORT and MILLRACE_RABBITMQ_TLS"
    )


def refused_connection(access: RabbitAccess, place: Place, error: BaseException) -> str:
    """Why no connection came about or why it ended, when it was asked for one place."""
    cause = _cause(error)
    code, text = getattr(cause, "reply_code", 0), str(getattr(cause, "reply_text", ""))
    if code == _NOT_IMPLEMENTED and "stream" in text:
        return (
            f"{access.place}: '{place.name}' is a stream, not a queue: name it rabbitmq:stream:{place.name}, "
            f"in streams.yml {{stream: {place.name}}}"
        )
    return not_connected(access, error)


def refused_channel(access: RabbitAccess, place: Place, error: exceptions.ChannelClosedByBroker) -> str:
    """Why the broker did not give a queue, or took it away again."""
    what = "stream" if place.stream else "queue"
    text = str(error.reply_text)
    if error.reply_code == NOT_FOUND:
        return (
            f"{access.place} has no {what} '{place.name}'; create it, or set 'create' on its source to let "
            "Millrace do that"
        )
    if error.reply_code == _REFUSED and "exclusive" in text:
        return (
            f"{access.place}: the queue '{place.name}' has another consumer, and one of the two is to be the "
            "only one; stop the other one, or set 'consumer: competing'"
        )
    if error.reply_code == _REFUSED:
        return (
            f"{access.place} does not let user '{access.username}' use the {what} '{place.name}'; give it "
            "the right to read there (to send: to write to the default exchange)"
        )
    if error.reply_code == _LOCKED:
        return f"{access.place}: the {what} '{place.name}' belongs to one connection alone; use another queue"
    if error.reply_code == _PRECONDITION and "timed out" in text:
        return (
            f"{access.place} took its messages of '{place.name}' back: they were not acknowledged within its "
            "consumer timeout, because they cannot be stored here; they come again once there is room"
        )
    if error.reply_code == _PRECONDITION and "x-stream-offset" in text:
        return (
            f"{access.place}: '{place.name}' is a queue, not a stream: declare it as {{queue: {place.name}}}"
        )
    if error.reply_code == _PRECONDITION and "inequivalent" in text:
        return (
            f"{access.place}: '{place.name}' exists with other properties than 'create' asks for; leave "
            f"'create' out to use it as it is ({text})"
        )
    return f"{access.place} refuses the {what} '{place.name}' ({error.reply_code} {text}); look at its log"


def accepts_connections(access: RabbitAccess, *, timeout_seconds: float) -> OSError | None:
    """Whether something takes connections there; else why not."""
    host, _, port = access.address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=timeout_seconds).close()
    except OSError as error:
        return error
    return None


def _cause(error: BaseException) -> BaseException:
    """The error inside the client's wrappers."""
    for _ in range(8):
        inner = getattr(error, "exception", None) or next(
            (each for each in getattr(error, "args", ()) if isinstance(each, BaseException)), None
        )
        if inner is None:
            return error
        error = inner
    return error
