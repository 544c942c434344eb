"""Superset's configuration, which it alone reads. Folder and key come from server.py, by variables."""

from copy import deepcopy

from superset.config import TALISMAN_CONFIG as _DEFAULTS  # it reads this file at the end of that one

SESSION_COOKIE_NAME = "superset"  # cookies know no ports, and other pages of this machine have a `session`
SQLALCHEMY_TRACK_MODIFICATIONS = False
# Every page of Superset would load a picture from a server that counts visits, and maps from others.
TALISMAN_CONFIG = deepcopy(_DEFAULTS)
_POLICY = TALISMAN_CONFIG["content_security_policy"]
_POLICY["img-src"] = ["'self'", "blob:", "data:"]
_POLICY["connect-src"] = ["'self'"]
_POLICY["style-src"] = ["'self'", "'unsafe-inline'"]
_POLICY["font-src"] = ["'self'"]
