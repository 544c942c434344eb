"""What the environment variables hold that reactions.yml names."""

from pydantic import SecretStr

from ingestion.errors import ConfigError
from ingestion.settings import Settings


def require_secret(settings: Settings, variable: str, *, reaction: str) -> SecretStr:
    """What a variable holds.

    Raises:
        ConfigError: It is not set.
    """
    found = settings.secret(variable)
    if found is None:
        raise ConfigError(f"{variable}, which reaction '{reaction}' names, is not set: set it in .env")
    return found
