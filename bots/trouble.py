"""Operators hear of a version that went out of service by itself: without asking, in the private chats that they have
with bots and on the page they have open, and wherever else one of them next says something.

Promises that each channel is told once, for it counts as told only when the card has arrived there; and that nobody is
told of what an operator has dealt with since, by putting a version into service. `/status` and `/versions` say it for
as long as it is so. Members are told nothing: they are answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from bots.answering import place_of
from bots.events import Button, Card
from config.errors import NotFound
from config.names import VersionName
from serving.router import route
from store.database import Database
from store.deliveries import find_deliveries, name_delivery, note_delivery
from store.people import operators_chats
from store.promotions import Fall, falls
from store.tables import Channel

LOOK_SECONDS = 5.0

log = structlog.get_logger()

Show = Callable[[Channel, Card], Awaitable[bool]]
"""Shows a card in a channel, once; False where nothing can be shown there."""


async def tell_operators(database: Database, account: str, busy: Callable[[str], bool], show: Show) -> None:
    """In the account's private chats with operators, until cancelled. A chat that is `busy` is told by what goes on
    there."""
    gone: set[tuple[int, str]] = set()
    while True:
        try:
            for channel, card in await _news(database, account):
                if (channel.id, card.key) not in gone and not busy(channel.key) and not await show(channel, card):
                    gone.add((channel.id, card.key))
        except Exception:
            log.exception("operators_not_told", account=account)
        await asyncio.sleep(LOOK_SECONDS)


async def untold(database: Database, channel: Channel) -> list[Card]:
    """A card for each version of the assistant here that went out of service by itself and that this channel was not
    told of."""
    found = await falls(database)
    return await _untold(database, channel, found, None) if found else []


async def note_told(database: Database, channel: Channel, card: Card) -> None:
    """The card has arrived, where nobody else notes that."""
    async with database.session() as session:
        row = await note_delivery(session, channel.id, _key(card), None)
        await name_delivery(session, row, "page")


def is_trouble(card: Card) -> bool:
    """Whether it is one of these."""
    return card.key.startswith("trouble-")


async def _news(database: Database, account: str) -> list[tuple[Channel, Card]]:
    found = await falls(database)
    if not found:
        return []
    news = {
        (channel.id, card.key): (channel, card)
        for channel, assistant_id in await operators_chats(database, account)
        for card in await _untold(database, channel, found, assistant_id)
    }
    return list(news.values())


async def _untold(database: Database, channel: Channel, found: Sequence[Fall], of: int | None) -> list[Card]:
    """`of`: only of this assistant."""
    try:
        routed = await route(database, place_of(channel))
    except NotFound:
        return []
    here = routed.assistant
    falls_here = [fall for fall in found if fall.assistant_id == here.id and of in (None, here.id)]
    cards = [_card(fall, VersionName(here.name, fall.number), routed.version) for fall in falls_here]
    told = await find_deliveries(database, channel.id, [_key(card) for card in cards])
    return [card for card in cards if (row := told.get(_key(card))) is None or row.external_id is None]


def _key(card: Card) -> str:
    """As a presenter names its first message."""
    return f"card:{card.key}"


def _card(fall: Fall, bad: VersionName, instead: VersionName) -> Card:
    now = str(instead) if instead.assistant == bad.assistant else "The untuned model"
    lines = (
        f"It could not be loaded: {fall.trouble}. {now} answers now.",
        "Put its files back from a backup and it back into service, or retrain.",
    )
    again = Button(f"Put {bad} back into service", f"/promote {bad.number}", "quiet")
    title = f"{bad} went out of service by itself"
    return Card(f"trouble-{fall.move}", title, lines, tone="warning", buttons=(again,))
