"""/speaker: whose words to others the assistant learns from its channels, named by a reply to one of their messages."""

from __future__ import annotations

from bots.call import Call
from bots.events import Card
from config.errors import BadInput
from store.consents import find_consent
from store.speakers import add_speaker, list_speakers, remove_speaker

HOW = "Reply to one of their messages with /speaker to name somebody, or with /speaker remove to end it."


async def run(call: Call) -> None:
    """`/speaker` shows them; as a reply it names the one who wrote that, and `/speaker remove` ends it."""
    if call.word not in ("", "remove"):
        raise BadInput(HOW)
    assistant = (await call.routed()).assistant
    person = call.incoming.reply_person
    if person is None:
        if call.word:
            raise BadInput(HOW)
        await _show(call, assistant.id, assistant.name)
        return
    async with call.database.session() as session:
        if call.word:
            known = await remove_speaker(session, assistant.id, person)
            call.say("What they say is not learnt any more." if known else "They were no speaker.")
            return
        await add_speaker(session, assistant.id, person, call.incoming.person)
        consent = await find_consent(session, person, call.incoming.chat)
    said = (
        f"{assistant.name} learns what they say to others, from their consent on. Only what I keep counts: see /answer."
    )
    if consent is None or consent.state != "in":
        said += " In this chat they have not agreed yet; they do with /optin."
    call.say(said)


async def _show(call: Call, assistant_id: int, name: str) -> None:
    async with call.database.session() as session:
        found = await list_speakers(session, assistant_id)
    lines = [
        f"{one.name or one.person}: agrees in {one.agreed} chat{'' if one.agreed == 1 else 's'}" for one in found
    ] or ["Nobody is named yet."]
    call.show(Card("speakers", f"Whose words to others {name} learns", (*lines, HOW)))
