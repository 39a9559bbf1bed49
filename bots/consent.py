"""Consent: the notice that asks each person once in each chat whether the assistant may learn from their words there.

Promises: nobody is asked where nothing could ever be learnt; nobody is asked twice; what was shown, and when, is kept
with what they said to it. Knows nothing of training: curation reads what is kept here (tuning/sources/channel_log.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from bots.events import Button, Card, Event
from bots.incoming import Incoming
from store.consents import Opening, may_be_asked, note_asked
from store.database import Database
from store.tables import Channel

TITLE = "May I learn from what you write here?"
LINES = (
    "If you agree, what you write in this chat from now on may be used to train the assistant that answers here: on "
    "this installation alone, with addresses, numbers and other private details replaced.",
    "It is yours to choose: I answer you all the same, and nothing is learnt from your words unless you agree. /optout "
    "takes it back at any time, /forgetme deletes what you wrote, /privacy says more.",
)
SHOWN = "\n".join((TITLE, *LINES))
"""The notice as it is kept with what somebody said to it."""
BUTTONS = (Button("Yes, you may", "/optin", "main"), Button("No", "/optout", "quiet"))

CLOSED: dict[Opening, str] = {
    "off": "Learning from this chat is switched off; an operator can allow it with /learning on.",
    "platform": (
        "Discord’s developer policy forbids training on messages read through it without Discord’s express "
        "permission, so nothing is learnt here. Whoever has that permission records it with: "
        'parlance account permission {account} "reference"'
    ),
    "account": "Nothing is learnt here, because the account that this chat came through is gone.",
}


def closed_because(opening: Opening, channel: Channel) -> str:
    """Why nothing is learnt in `channel`, as a sentence; `opening` is not open."""
    return CLOSED[opening].format(account=channel.account)


def card_key(database: Database, card: str, person: str) -> str:
    """The key of this person's card of that name: their own, and without their name or number in it."""
    return f"{card}-{database.cipher.derive(f'card:{person}')[:16]}"


@dataclass(frozen=True, slots=True)
class Consent:
    """Asks; what people say to it comes in as the commands of bots/consent_commands.py."""

    database: Database

    async def notice(self, incoming: Incoming, channel: Channel) -> Event | None:
        """What to show after an answer to `incoming`: the question, once; None where there is nothing to ask."""
        if not incoming.author_id:
            return None
        if not await may_be_asked(self.database, channel.id, incoming.person, incoming.chat):
            return None
        async with self.database.session() as session:
            if not await note_asked(session, incoming.person, incoming.chat, SHOWN):
                return None
        return Card(card_key(self.database, "consent", incoming.person), TITLE, LINES, buttons=BUTTONS)
