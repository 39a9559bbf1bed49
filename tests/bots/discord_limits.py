"""Rate limits as Discord keeps them: per route and channel, and one for all calls of a bot; told in headers.

Lenient by default: headers say that there is plenty. `strict` enforces real numbers and counts what it refuses.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

from discord_world import Wire

LIMITS: dict[str, tuple[int, float]] = {
    "POST messages": (5, 5.0),
    "PATCH message": (5, 5.0),
    "DELETE message": (5, 1.0),
    "GET messages": (10, 2.0),
    "POST typing": (5, 5.0),
    "PUT commands": (5, 20.0),
    "webhook": (5, 2.0),
}
ELSE = (20, 1.0)
GLOBAL = 50
"""Calls a second of one bot, interactions aside."""


@dataclass
class Bucket:
    """One window: it opens with the first call and closes `seconds` later."""

    limit: int
    seconds: float
    opened: float = 0.0
    used: int = 0


@dataclass
class Verdict:
    """Whether a call may go on, and what to say in its headers."""

    headers: dict[str, str]
    refusal: Wire | None = None


@dataclass
class Limiter:
    """`refused` counts the calls that came too early."""

    strict: bool = False
    refused: int = 0
    buckets: dict[tuple[str, str], Bucket] = field(default_factory=dict)
    recent: dict[str, deque[float]] = field(default_factory=dict)

    def judge(self, kind: str, major: str, token: str) -> Verdict:
        """One call of `kind` on the channel, guild or webhook `major`."""
        limit, seconds = LIMITS.get(kind, ELSE) if self.strict else (1000, 1.0)
        now = time.monotonic()
        if self.strict and kind != "webhook" and (wait := self._whole(token, now)):
            return self._refuse({"X-RateLimit-Global": "true", "X-RateLimit-Scope": "global"}, wait, everywhere=True)
        bucket = self.buckets.setdefault((kind, major), Bucket(limit, seconds))
        if now >= bucket.opened + bucket.seconds:
            bucket.limit, bucket.seconds, bucket.opened, bucket.used = limit, seconds, now, 0
        left = bucket.opened + bucket.seconds - now
        headers = {
            "X-RateLimit-Limit": str(bucket.limit),
            "X-RateLimit-Remaining": str(max(0, bucket.limit - bucket.used - 1)),
            "X-RateLimit-Reset": f"{time.time() + left:.3f}",
            "X-RateLimit-Reset-After": f"{left:.3f}",
            "X-RateLimit-Bucket": kind.replace(" ", "-").lower(),
        }
        if bucket.used >= bucket.limit:
            return self._refuse(headers | {"X-RateLimit-Scope": "user"}, left)
        bucket.used += 1
        return Verdict(headers)

    def _whole(self, token: str, now: float) -> float:
        """Seconds to wait before the next call of any kind; 0 when it may go."""
        recent = self.recent.setdefault(token, deque())
        while recent and recent[0] <= now - 1.0:
            recent.popleft()
        if len(recent) >= GLOBAL:
            return recent[0] + 1.0 - now
        recent.append(now)
        return 0.0

    def _refuse(self, headers: dict[str, str], wait: float, *, everywhere: bool = False) -> Verdict:
        self.refused += 1
        return Verdict(headers | {"Retry-After": f"{wait:.3f}"}, too_many(wait, everywhere=everywhere))


def too_many(wait: float, *, everywhere: bool) -> Wire:
    """The body of a 429."""
    return {"message": "You are being rate limited.", "retry_after": round(wait, 3), "global": everywhere}
