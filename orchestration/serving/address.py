"""The database that BI tools read: where it is, and a connection to it."""

import psycopg2
from psycopg2 import extensions
from psycopg2.extensions import make_dsn, parse_dsn

from ingestion.errors import ConfigError, ServingUnavailable
from ingestion.lake.limits import NETWORK_LIMITS
from ingestion.settings import Settings

DATABASE = "serving"
"""Of the embedded server."""
SCHEMA = "marts"
"""In which tools find the marts."""
OWN_SCHEMA = "millrace_serving"
"""What the publisher keeps for itself."""
BESIDE_SCHEMA = "millrace_beside"
"""Where tables are made that take the place of others."""
_OFF = "off"


def serves(settings: Settings) -> bool:
    """Whether marts are published."""
    return settings.serving is not None and settings.serving.get_secret_value().lower() != _OFF


def parameters(settings: Settings) -> dict[str, str] | None:
    """libpq's parameters; None where nothing is published.

    Raises:
        ConfigError: MILLRACE_SERVING is not a PostgreSQL URL.
    """
    if settings.serving is None or not serves(settings):
        return None
    try:
        given = parse_dsn(settings.serving.get_secret_value()).items()
    except psycopg2.ProgrammingError:
        raise ConfigError(
            "MILLRACE_SERVING is not a PostgreSQL URL; write postgresql://user:password@host:5432/database, "
            "or off"
        ) from None
    return {**NETWORK_LIMITS, **{key: str(value) for key, value in given}}


def connect(settings: Settings, *, application_name: str = "millrace serving") -> extensions.connection:
    """Open a connection; every statement is in a transaction.

    Raises:
        ServingUnavailable: The server is away, refuses the credentials, or nothing is published.
        ConfigError: MILLRACE_SERVING is not a PostgreSQL URL.
    """
    known = parameters(settings)
    if known is None:
        raise ServingUnavailable(
            "marts are not published: MILLRACE_SERVING names no PostgreSQL, and none is embedded"
        )
    try:
        return psycopg2.connect(make_dsn(**(known | {"application_name": application_name})))
    except psycopg2.OperationalError as error:
        where = f"{known.get('host', 'localhost')}/{known.get('dbname', '')}"
        reason = (str(error).strip().splitlines() or ["no answer"])[0]
        raise ServingUnavailable(
            f"the database for BI tools at {where} cannot be reached ({reason}): is it running, is "
            "MILLRACE_SERVING right?"
        ) from None
