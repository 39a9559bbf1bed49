"""Operators hear of a version that could not be loaded, where one of them next speaks with its assistant.

Said once, after their answer; `/status` and `/versions` say it for as long as it is so. Members are told nothing: they
are answered.
"""

from __future__ import annotations

from bots.answering import place_of
from bots.events import Button, Card
from config.names import VersionName
from serving.router import route
from store.database import Database
from store.promotions import mark_told, untold_troubles
from store.tables import Channel


async def untold(database: Database, channel: Channel) -> list[Card]:
    """A card for each version of the assistant here that went out of service by itself and that nobody was told of."""
    routed = await route(database, place_of(channel))
    found = await untold_troubles(database, routed.assistant.id)
    if not found:
        return []
    async with database.session() as session:
        await mark_told(session, routed.assistant.id, [number for number, _ in found])
    return [_card(VersionName(routed.assistant.name, number), trouble, routed.version) for number, trouble in found]


def _card(bad: VersionName, trouble: str, instead: VersionName) -> Card:
    now = str(instead) if instead.assistant == bad.assistant else "The untuned model"
    lines = (
        f"It could not be loaded: {trouble}. {now} answers now.",
        "Put its files back from a backup and it back into service, or retrain.",
    )
    again = Button(f"Put {bad} back into service", f"/promote {bad.number}", "quiet")
    title = f"{bad} went out of service by itself"
    return Card(f"trouble-{bad.number}", title, lines, tone="warning", buttons=(again,))
