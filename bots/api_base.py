"""Another server than the platform's own for an account: a local Bot API server, a Discord-compatible one.

Promises that the address is a plain web address, that a token crosses no public network unencrypted, and that it is
not the place where clouds keep a machine's credentials. Only the owner sets it: whoever may, can make this machine
send requests to whatever it can reach, and this server reads every message of the account.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from config.errors import BadInput

LONGEST = 300
PRIVATE_ENDINGS = (".local", ".internal", ".lan", ".home.arpa", ".localhost")


def checked(address: str) -> str:
    """`address` without a slash at its end. Raises BadInput for one that may not be."""
    address = address.strip().rstrip("/")
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise _refused("it is not well formed") from None
    if parts.scheme not in ("http", "https") or not host:
        raise _refused("it does not begin with http:// or https:// and a host")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise _refused("it has more than a host, a port and a path")
    if len(address) > LONGEST or not address.isascii() or not address.isprintable() or " " in address:
        raise _refused("it has characters that an address cannot have, or too many")
    if _is_link_local(host):
        raise _refused("link-local addresses are not for this")
    if parts.scheme == "http" and not _is_private(host):
        raise _refused("over http:// the token could be read on the way; use https:// for a server out there")
    return address


def _refused(reason: str) -> BadInput:
    return BadInput(f"That API address cannot be used: {reason}.")


def _is_link_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_link_local
    except ValueError:
        return False


def _is_private(host: str) -> bool:
    """On this machine or in its own network, as far as the name tells."""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith(PRIVATE_ENDINGS)
