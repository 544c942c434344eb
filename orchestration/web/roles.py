"""Who a request is from, by the password that it brings: a viewer of the live page, or an operator."""

import asyncio
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Literal

from pydantic import SecretStr

from ingestion.settings import Settings
from orchestration.web.access import credentials
from orchestration.web.passwords import matches

Role = Literal["viewer", "operator"]
_REMEMBERED = 256


@dataclass(frozen=True)
class Who:
    """Who looks.

    Attributes:
        role: What is allowed.
        name: As given with the password: nobody has proven it. Empty for none.
    """

    role: Role
    name: str = ""

    @property
    def operates(self) -> bool:
        """Whether actions are allowed."""
        return self.role == "operator"


class Roles:
    """Knows the passwords. Without any, everybody who reaches the page operates: that is this machine alone.

    Args:
        settings: Hold the hashes, and the web UI's password, whose owner may do everything there.
    """

    def __init__(self, settings: Settings) -> None:
        self._ui = _text(settings.ui_password)
        self._hashes: tuple[tuple[Role, str], ...] = (
            ("operator", _text(settings.page_operator_password)),
            ("viewer", _text(settings.page_viewer_password)),
        )
        self.required = bool(self._ui or any(kept for _, kept in self._hashes))
        self._salt = secrets.token_bytes(32)
        self._known: dict[bytes, Role] = {}
        self._turns = asyncio.Semaphore(1)  # guesses must not take the whole machine

    async def who(self, authorization: str) -> Who | None:
        """Who asks; None without a right password.

        Args:
            authorization: The header's value; empty without one.
        """
        if not self.required:
            return Who("operator")
        given = credentials(authorization)
        if given is None:
            return None
        name, password = given
        if self._ui and hmac.compare_digest(password.encode(), self._ui.encode()):
            return Who("operator", name)
        mark = hmac.digest(self._salt, password.encode(), hashlib.sha256)
        if mark not in self._known:
            async with self._turns:
                role = await asyncio.to_thread(self._role_of, password)
            if role is None:
                return None
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[mark] = role
        return Who(self._known[mark], name)

    def _role_of(self, password: str) -> Role | None:
        return next((role for role, kept in self._hashes if kept and matches(password, kept)), None)


def _text(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret is not None else ""
