"""How the schema registry is reached."""

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, SecretStr, model_validator

from ingestion.settings import ProjectPath, Settings

KIND = "schema_registry"
_URL = re.compile(r"https?://(\[[0-9A-Fa-f:.%]+\]|[^\s:/@\[\]?#]+)(:\d{1,5})?(/[^\s@?#]*)?")


class SchemaRegistryAccess(BaseModel):
    """The variables MILLRACE_SCHEMA_REGISTRY_…: addresses, a login or a token, and certificates."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    url: str | None = None
    username: str | None = None
    password: SecretStr | None = None
    token: SecretStr | None = None
    ca_file: ProjectPath | None = None
    cert_file: ProjectPath | None = None
    key_file: ProjectPath | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Any:
        if not all(map(_URL.fullmatch, self.urls)):
            # Its text may hold a password by mistake, so it is not shown.
            raise ValueError(
                "MILLRACE_SCHEMA_REGISTRY_URL is not an address: write https://host:port, with commas "
                "between several, and a login into MILLRACE_SCHEMA_REGISTRY_USERNAME and _PASSWORD"
            )
        if bool(self.username) != bool(self.password):
            raise ValueError(
                "MILLRACE_SCHEMA_REGISTRY_USERNAME and MILLRACE_SCHEMA_REGISTRY_PASSWORD belong together: "
                "set both"
            )
        if self.username and self.token:
            raise ValueError(
                "MILLRACE_SCHEMA_REGISTRY_TOKEN and MILLRACE_SCHEMA_REGISTRY_USERNAME are two logins: set one"
            )
        if self.key_file and not self.cert_file:
            raise ValueError("MILLRACE_SCHEMA_REGISTRY_KEY_FILE is of a certificate: set _CERT_FILE, too")
        return self

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses, which all give the same answers; asked in this order."""
        return tuple(part.strip().rstrip("/") for part in (self.url or "").split(",") if part.strip())


def registry_access(settings: Settings) -> SchemaRegistryAccess:
    """The access of a system.

    Raises:
        ConfigError: A variable is wrong; its name, never its value.
    """
    return settings.access(KIND, SchemaRegistryAccess)
