"""Who a browser is: a session behind a cookie, a member until a one-time operator code is entered.

The cookie holds a random token; the database holds its digest. Codes are kept in memory alone, work once, within ten
minutes, and are compared in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select, update

from bots.incoming import Role
from config.errors import Refused
from store.columns import now
from store.database import Database
from store.tables import WebSession

COOKIE = "parlance"
COOKIE_SECONDS = 365 * 24 * 3600
TOKEN_BYTES = 32
ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Without characters that look alike."""
CODE_LENGTH = 8
CODE_SECONDS = 600
TRIES_A_MINUTE = 5
"""From one address."""
ALL_TRIES_A_MINUTE = 1000
"""From everywhere: in a code's ten minutes one in a hundred million guesses is right. Were it less, few addresses could
keep an operator out."""
OPERATOR_DAYS = 30
"""An operator's browser that was not seen for so long is a member's again."""
ASKING_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Session:
    """One browser. Its channel is `web:ID`."""

    id: int
    public_id: str
    role: Role

    @property
    def channel(self) -> str:
        return f"web:{self.public_id}"


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


async def find_session(database: Database, token: str | None) -> Session | None:
    """The session of this cookie, if it is one of ours."""
    if not token or len(token) > 200:
        return None
    async with database.session() as session:
        row = await session.scalar(select(WebSession).where(WebSession.token_digest == _digest(token)))
        if row is None:
            return None
        moment = now()
        if row.role != "member" and moment - row.seen_at > timedelta(days=OPERATOR_DAYS):
            row.role = "member"
        row.seen_at = moment
        return Session(row.id, row.public_id, "operator" if row.role == "operator" else "member")


async def new_session(database: Database) -> tuple[str, Session]:
    """A member's session and the token for its cookie; the token is not kept."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    async with database.session() as session:
        row = WebSession(token_digest=_digest(token), public_id=secrets.token_hex(8))
        session.add(row)
        await session.flush()
        return token, Session(row.id, row.public_id, "member")


class OperatorCodes:
    """Makes and redeems one-time codes. `clock` gives seconds."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._code: str | None = None
        self._until = self._shown_at = 0.0
        self._paces = Pace(TRIES_A_MINUTE, clock), Pace(ALL_TRIES_A_MINUTE, clock)

    def operator_code(self) -> str:
        """The code that works now, to be shown in the terminal; a fresh one where the last is used or old. So whoever
        asks for one, which any visitor may, takes nobody's away."""
        moment = self._clock()
        if self._code is None or moment > self._until:
            self._code = "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))
            self._until = moment + CODE_SECONDS
        self._shown_at = moment
        return f"{self._code[:4]}-{self._code[4:]}"

    def check_asking(self) -> None:
        """Raises Refused where codes are asked for too quickly."""
        if self._code is not None and self._clock() < self._shown_at + ASKING_SECONDS:
            raise Refused("A code was written to the terminal a moment ago; use that one.")

    async def redeem(self, session: Session, given: str, address: str = "") -> str:
        """Make `session` an operator's; returns the new token for its cookie: one that somebody else may have known
        before is not an operator's. `address`: where it comes from.

        Raises Refused for a wrong, used or old code, or too many tries."""
        moment = self._clock()
        try:
            for pace, key in zip(self._paces, (address, ""), strict=True):
                pace.check(key)
        except Refused:
            raise Refused("That were many tries; wait a minute, then enter the code again.") from None
        plain = "".join(given.upper().split()).replace("-", "").encode("utf-8", "replace")
        right = hmac.compare_digest(plain, (self._code or "").encode())
        if not right or self._code is None or moment > self._until:
            raise Refused("That code does not work; each works once, for ten minutes. Ask for a new one and try again.")
        self._code = None
        token = secrets.token_urlsafe(TOKEN_BYTES)
        changed = {"role": "operator", "token_digest": _digest(token)}
        async with self._database.session() as database:
            await database.execute(update(WebSession).where(WebSession.id == session.id).values(**changed))
        return token


class Pace:
    """How fast one browser may send: so many messages a minute."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._sent: dict[str, deque[float]] = {}

    def check(self, key: str) -> None:
        """Raises Refused where `key` goes too fast."""
        moment = self._clock()
        if len(self._sent) > 10_000:
            self._sent = {k: sent for k, sent in self._sent.items() if sent and moment - sent[-1] < 60}
        sent = self._sent.setdefault(key, deque(maxlen=self._most))
        if len(sent) == self._most and moment - sent[0] < 60:
            raise Refused("You are faster than I can follow; wait a moment, then send that again.")
        sent.append(moment)
