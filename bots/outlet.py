"""One channel of one platform, as the presenter sees it: what a connector has to be able to do, and how it may fail.

An outlet waits out the platform's own limits by itself: a call that returns has been accepted. It knows nothing of
conversations; the presenter knows nothing of platforms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bots.events import Button


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of text that fits into one message, formatted or not: Markdown as this outlet's `split` gave it. `plain`:
    show it as it stands, without formatting, as far as the platform can; so it is while an answer is still being said
    and what is open in it may yet be closed."""

    text: str
    plain: bool = False


class FormattingRefused(Exception):
    """The platform takes this text, but not its formatting; the same part goes again as plain."""


class ChannelGone(Exception):
    """The channel cannot be written to any more: the assistant was removed, blocked, or the chat is gone."""


class MessageGone(Exception):
    """The message that was to be changed is not there any more."""


class Outlet(Protocol):
    """Sends into one channel. `pace`: seconds that lie at least between two edits of one message while it streams."""

    pace: float

    def split(self, markdown: str) -> list[Part]:
        """The parts that together say all of `markdown`, each within the platform's limit; none where it shows
        nothing. The same text gives the same parts."""
        ...

    async def send(self, part: Part, *, nonce: str, reply_to: str | None = None, buttons: Sequence[Button] = ()) -> str:
        """The new message's external id. The same `nonce` within a few minutes sends nothing new, where the platform
        knows such a thing. Raises FormattingRefused, ChannelGone."""
        ...

    async def edit(self, external_id: str, part: Part, *, buttons: Sequence[Button] = ()) -> None:
        """Raises FormattingRefused, MessageGone, ChannelGone. Text that is there already is no error."""
        ...

    async def delete(self, external_id: str) -> None:
        """Already gone is no error."""
        ...

    async def typing(self) -> None:
        """Show 'typing' for as long as the platform does; never raises for a failed call."""
        ...

    async def whisper(self, text: str) -> bool:
        """Tell the asker alone; False where there is no way to."""
        ...

    async def find_sent(self, nonce: str, after: str | None) -> str | None:
        """The message that was sent with this `nonce` after message `after` by a process that was killed before it
        could note the id; None where it was not sent, or nobody can tell."""
        ...
