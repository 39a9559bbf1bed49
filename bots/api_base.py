"""Another server than the platform's own for an account: a local Bot API server, a Discord-compatible one.

Promises that the address is a plain web address, that a token crosses no public network unencrypted, and that it is
not the place where clouds keep a machine's credentials. Only the owner sets it: whoever may, can make this machine
send requests to whatever it can reach, and this server reads every message of the account.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from config.errors import BadInput

LONGEST = 300
CREDENTIALS_NAMES = ("metadata", "metadata.google.internal", "instance-data", "instance-data.ec2.internal")
CREDENTIALS_ADDRESSES = ("100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")
"""Besides all link-local ones: Alibaba’s, Oracle’s, and those of Amazon and Google in IPv6."""
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
    if _is_credentials_place(host):
        raise _refused("clouds keep a machine’s credentials there")
    if parts.scheme == "http" and not _is_private(host):
        raise _refused("over http:// the token could be read on the way; use https:// for a server out there")
    return address


def _refused(reason: str) -> BadInput:
    return BadInput(f"That API address cannot be used: {reason}.")


def _is_credentials_place(host: str) -> bool:
    """Where clouds tell a machine its credentials, however the address is written."""
    address = _address(host)
    if address is None:
        return host.rstrip(".").lower() in CREDENTIALS_NAMES
    return address.is_link_local or str(address) in CREDENTIALS_ADDRESSES


def _is_private(host: str) -> bool:
    """On this machine or in its own network, as far as the name tells."""
    address = _address(host)
    if address is not None:
        return address.is_private
    return "." not in host or host.endswith(PRIVATE_ENDINGS)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """What `host` connects to where it is a number: also as one integer, in hex, octal or short, as the system's
    resolver takes them, and as IPv4 within IPv6. None for a name."""
    try:
        address = ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError:
            return None
    return getattr(address, "ipv4_mapped", None) or address
