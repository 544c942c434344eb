"""How RabbitMQ is reached: variables, and what its client makes of them."""

import ssl
from typing import TYPE_CHECKING

from pydantic import Field, SecretStr

from ingestion.connectors.port import Access
from ingestion.errors import ConfigError
from ingestion.settings import ProjectPath

if TYPE_CHECKING:
    from pika import ConnectionParameters

_PORT, _TLS_PORT = 5672, 5671


class RabbitAccess(Access):
    """The variables MILLRACE_RABBITMQ_…: address, virtual host and credentials."""

    host: str | None = None
    port: int | None = Field(default=None, ge=1, le=65535)
    vhost: str = "/"
    username: str = "guest"
    password: SecretStr | None = Field(default=None, description="unset: guest, RabbitMQ's own default")
    tls: bool = False
    ca_file: ProjectPath | None = None
    heartbeat_seconds: int = Field(default=30, ge=2, le=600)

    @property
    def address(self) -> str:
        """host:port."""
        return f"{self.host}:{self.port or (_TLS_PORT if self.tls else _PORT)}"

    @property
    def namespace(self) -> str:
        """As in rabbitmq://broker:5672/vhost."""
        return f"rabbitmq://{self.address}/{self.vhost.lstrip('/')}".rstrip("/") if self.host else ""

    @property
    def place(self) -> str:
        """The broker and its virtual host, as messages name them."""
        where = "" if self.vhost == "/" else f", virtual host '{self.vhost}'"
        return f"RabbitMQ at {self.address}{where}"


def parameters(access: RabbitAccess, purpose: str, *, timeout_seconds: float) -> "ConnectionParameters":
    """What the client needs to connect.

    Args:
        access: Address and credentials.
        purpose: Part of the connection's name, which RabbitMQ's own tools show.
        timeout_seconds: Bound of connecting, and of waiting while the broker has stopped its senders.

    Raises:
        ConfigError: No broker is configured, or the certificate file cannot be used.
    """
    from pika import ConnectionParameters, PlainCredentials, SSLOptions

    if not access.host:
        raise ConfigError("no RabbitMQ is configured: set MILLRACE_RABBITMQ_HOST, or remove its streams")
    encryption = None
    if access.tls:
        try:
            encryption = SSLOptions(ssl.create_default_context(cafile=access.ca_file), access.host)
        except OSError as error:
            raise ConfigError(
                f"MILLRACE_RABBITMQ_CA_FILE: {access.ca_file} is not a certificate "
                f"({error.strerror or error}); name a PEM file"
            ) from None
    password = access.password.get_secret_value() if access.password else "guest"
    return ConnectionParameters(
        host=access.host,
        port=int(access.address.rpartition(":")[2]),
        virtual_host=access.vhost,
        credentials=PlainCredentials(access.username, password),
        ssl_options=encryption,
        heartbeat=access.heartbeat_seconds,
        connection_attempts=1,
        socket_timeout=timeout_seconds,
        stack_timeout=timeout_seconds,
        blocked_connection_timeout=timeout_seconds,
        client_properties={"connection_name": f"millrace {purpose}"},
    )
