"""Keeps credentials out of sentences: what a library's exception says may quote them."""

import re
from collections.abc import Iterable

from pydantic import BaseModel, SecretStr

_USER_IN_ADDRESS = re.compile(r"(?<=//)[^/@\s]+(?=@)")
_LEAST_CHARACTERS = 3
"""A shorter password would take letters out of every word, and protect nobody."""
_HIDDEN = "***"


def secrets_of(access: BaseModel) -> tuple[str, ...]:
    """The secret values of an access.

    Args:
        access: How a broker is reached.
    """
    values = (getattr(access, name) for name in type(access).model_fields)
    return tuple(value.get_secret_value() for value in values if isinstance(value, SecretStr))


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """A text with secrets, and with who logs in at an address, taken out.

    Args:
        text: Any.
        secrets: What must not be seen.
    """
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _LEAST_CHARACTERS:
            text = text.replace(secret, _HIDDEN)
    return _USER_IN_ADDRESS.sub(_HIDDEN, text)
