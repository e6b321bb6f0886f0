"""Tokens and host names, without a web framework.

Guarantee: a random token has 192 bits from the system; what counts as loopback is decided by the address and
not by a name that somebody else resolves.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Collection


def new_token() -> str:
    """Gives a random token, fit for a header, a cookie and a shell."""
    return secrets.token_urlsafe(24)


def is_loopback(host: str) -> bool:
    """Tells whether a bind address is reached by this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def names_of(hosts: Collection[str]) -> frozenset[str]:
    """Gives host names as they are compared: lower case, without a port."""
    return frozenset(name for host in hosts if (name := host.strip().lower().partition(":")[0]))
