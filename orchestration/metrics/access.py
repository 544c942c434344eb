"""Who may read the metrics: on loopback everybody, elsewhere whoever brings the token, over TLS."""

from dataclasses import dataclass, field

from ingestion.errors import ConfigError
from ingestion.settings import Settings
from orchestration.web.access import Access, is_loopback, server_tls


@dataclass(frozen=True, slots=True)
class Door:
    """Where metrics are served.

    Attributes:
        host: Address to listen on.
        port: To listen on.
        access: Who may ask.
        tls: Certificate and key; None for plain HTTP.
    """

    host: str
    port: int
    access: Access = field(repr=False)
    tls: tuple[str, str] | None


def door(settings: Settings) -> Door | None:
    """What the settings say; None when no port is set.

    Raises:
        ConfigError: The metrics would be open to strangers, or the certificate cannot be used.
    """
    if settings.metrics_port is None:
        return None
    host = settings.metrics_host
    token = settings.metrics_token.get_secret_value() if settings.metrics_token is not None else ""
    has_tls = settings.ui_tls_cert_file is not None or settings.ui_tls_key_file is not None
    if has_tls:
        server_tls(settings)
    lacks = [] if token else ["MILLRACE_METRICS_TOKEN"]
    if not (has_tls or settings.ui_tls_elsewhere):
        lacks += ["MILLRACE_UI_TLS_CERT_FILE", "MILLRACE_UI_TLS_KEY_FILE"]
    if lacks and not is_loopback(host):
        raise ConfigError(
            f"the metrics would be open to everybody who reaches {host}: set {', '.join(lacks)}, or leave "
            "MILLRACE_METRICS_HOST at 127.0.0.1"
        )
    names = {name.strip().lower() for name in (*settings.ui_allowed_hosts.split(","), host)} - {""}
    tls = (str(settings.ui_tls_cert_file), str(settings.ui_tls_key_file)) if has_tls else None
    return Door(host, settings.metrics_port, Access(hosts=frozenset(names), password=token), tls)
