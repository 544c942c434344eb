"""Passwords as they are kept: a hash with a salt, made by scrypt (RFC 7914)."""

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode

_COST, _BLOCK, _LANES = 2**14, 8, 1
_MOST_COST = 2**20
_MEMORY_BYTES = 2**28
_BYTES = 32
_HASH = re.compile(r"scrypt:(\d{1,7}):(\d{1,2}):(\d):([\w-]+={0,2}):([\w-]+={0,2})")


def make_hash(password: str) -> str:
    """What is kept of a password.

    Args:
        password: In the clear.
    """
    salt = secrets.token_bytes(16)
    made = _derived(password, salt, _COST, _BLOCK, _LANES)
    parts = (urlsafe_b64encode(each).decode() for each in (salt, made))
    return ":".join(("scrypt", str(_COST), str(_BLOCK), str(_LANES), *parts))


def matches(password: str, kept: str) -> bool:
    """Whether this is the password of a hash; it takes tens of milliseconds on purpose.

    Args:
        password: In the clear.
        kept: As `make_hash` made it; anything else has no password.
    """
    found = _HASH.fullmatch(kept)
    if found is None or int(found[1]) > _MOST_COST:
        return False
    cost, block, lanes = (int(each) for each in found.groups()[:3])
    try:
        salt, wanted = (urlsafe_b64decode(each) for each in found.groups()[3:])
        return hmac.compare_digest(_derived(password, salt, cost, block, lanes), wanted)
    except ValueError:
        return False


def _derived(password: str, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    return hashlib.scrypt(
        password.encode(), salt=salt, n=cost, r=block, p=lanes, maxmem=_MEMORY_BYTES, dklen=_BYTES
    )
