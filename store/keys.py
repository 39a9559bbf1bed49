"""Keys of programs that talk to assistants: made, checked, listed, revoked.

A key is random and shown once; kept is its SHA-256, and its first characters, by which people tell keys apart and by
which its row is found. Promises that a revoked key is no key from that moment on, in every process: whoever checks one
asks the table. Knows neither HTTP nor engines.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import SecretStr
from sqlalchemy import bindparam, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from config.errors import BadInput, NotFound
from store.assistants import find_assistant
from store.columns import now
from store.database import Database
from store.tables import Assistant, ClientKey, ClientKeyScope

Leads = Literal["assistant", "client"]
"""Whose system prompt stands: the assistant's, before what the client says, or the client's instead of it."""
PREFIX_BYTES, SECRET_BYTES = 4, 32
KEY = re.compile(r"(plc-[0-9a-f]{8})-[A-Za-z0-9_-]{43}")
NAME = re.compile(r"(?!plc-)[a-z][a-z0-9_-]{0,39}")
MOST_A_MINUTE = 100_000


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key that was shown and is one. `assistants`: row numbers of those it may use, None for all."""

    id: int
    name: str
    leads: Leads
    a_minute: int
    assistants: frozenset[int] | None


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as people see it. `assistants`: names, None for all."""

    name: str
    prefix: str
    assistants: list[str] | None
    a_minute: int
    leads: str
    created_by: str
    created_at: datetime
    revoked_at: datetime | None


def digest(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


async def add_key(
    session: AsyncSession,
    name: str,
    assistants: Sequence[str] | None,
    *,
    a_minute: int,
    leads: Leads,
    by: str,
) -> tuple[SecretStr, KeyRow]:
    """Make one for `assistants` (None: all, also those yet to come); the key itself is not kept.

    Raises BadInput for a name that may not be or is in use, for no assistants, and for a limit of less than 1;
    NotFound for an assistant that there is not.
    """
    if NAME.fullmatch(name) is None:
        raise BadInput(
            f"“{name[:60]}” cannot be a key's name: use up to 40 small letters, digits, - and _, a letter first."
        )
    if not 1 <= a_minute <= MOST_A_MINUTE:
        raise BadInput(f"A key is for 1 to {MOST_A_MINUTE:,} requests a minute, not {a_minute}.")
    if assistants is not None and not assistants:
        raise BadInput("Say which assistants the key is for, or that it is for all of them.")
    if await _in_use(session, name) is not None:
        raise BadInput(f"There is already a key “{name}”; choose another name, or revoke that one first.")
    scope = [await find_assistant(session, one) for one in dict.fromkeys(assistants or ())]
    prefix = f"plc-{secrets.token_hex(PREFIX_BYTES)}"
    key = f"{prefix}-{secrets.token_urlsafe(SECRET_BYTES)}"
    row = ClientKey(
        name=name, prefix=prefix, digest=digest(key), all_assistants=assistants is None, a_minute=a_minute,
        leads=leads, created_by=by,
    )  # fmt: skip
    session.add(row)
    await session.flush()
    session.add_all(ClientKeyScope(key_id=row.id, assistant_id=one.id) for one in scope)
    await session.flush()
    return SecretStr(key), _shown(row, [one.name for one in scope])


async def list_keys(session: AsyncSession) -> list[KeyRow]:
    """All, the revoked included, oldest first."""
    scopes: dict[int, list[str]] = {}
    query = select(ClientKeyScope.key_id, Assistant.name).join(Assistant).order_by(Assistant.name)
    for key_id, name in (await session.execute(query)).tuples():
        scopes.setdefault(key_id, []).append(name)
    rows = await session.scalars(select(ClientKey).order_by(ClientKey.id))
    return [_shown(row, scopes.get(row.id, [])) for row in rows]


async def revoke_key(session: AsyncSession, which: str) -> KeyRow:
    """From now on the key of this name or prefix is none. Raises NotFound, naming those in use."""
    row = await _in_use(session, which)
    if row is None:
        names = [one.name for one in await list_keys(session) if one.revoked_at is None]
        known = f"there are {', '.join(names[:20])}" if names else "there is none"
        raise NotFound(f"There is no key “{which[:60]}” in use; {known}.")
    row.revoked_at = now()
    await session.execute(delete(ClientKeyScope).where(ClientKeyScope.key_id == row.id))
    await session.flush()
    return _shown(row, [])


async def _in_use(session: AsyncSession, which: str) -> ClientKey | None:
    found: ClientKey | None = await session.scalar(
        select(ClientKey).where((ClientKey.name == which) | (ClientKey.prefix == which), ClientKey.revoked_at.is_(None))
    )
    return found


def _shown(row: ClientKey, assistants: list[str]) -> KeyRow:
    return KeyRow(
        row.name, row.prefix, None if row.all_assistants else assistants, row.a_minute, row.leads, row.created_by,
        row.created_at, row.revoked_at,
    )  # fmt: skip


_BY_PREFIX = select(
    ClientKey.id, ClientKey.name, ClientKey.digest, ClientKey.leads, ClientKey.a_minute, ClientKey.all_assistants
).where(ClientKey.prefix == bindparam("prefix"), ClientKey.revoked_at.is_(None))
_SCOPE = select(ClientKeyScope.assistant_id).where(ClientKeyScope.key_id == bindparam("key"))


async def known_key(database: Database, key: str) -> KnownKey | None:
    """The key that `key` is; None where it is none, or no longer. Digests are compared in constant time."""
    shape = KEY.fullmatch(key)
    if shape is None:
        return None
    row = await database.look_up(_BY_PREFIX, {"prefix": shape.group(1)})
    if row is None or not hmac.compare_digest(digest(key), row.digest):
        return None
    assistants: frozenset[int] | None = None
    if not row.all_assistants:
        assistants = frozenset(one[0] for one in await database.look_through(_SCOPE, {"key": row.id}))
    return KnownKey(row.id, row.name, row.leads, row.a_minute, assistants)
