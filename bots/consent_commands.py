"""What people may say on learning from their words, and on what is kept of them: yes, no, what holds here, delete it.

Every answer says exactly what changes and what does not. Deleting asks once more, and its button works for the one
who asked alone.
"""

from __future__ import annotations

from sqlalchemy import update

from bots.call import Call
from bots.consent import BUTTONS, SHOWN, card_key, closed_because
from bots.events import Button, Card, Removed
from config.errors import BadInput, NotFound, Refused
from store.consents import Opening, decide, find_consent, opening_of
from store.tables import Channel, Consent
from tuning.forgetting import counted, forget

AGREED = (
    "From now on what you write in this chat may be used to train the assistant that answers here: on this "
    "installation alone, with private details replaced. Nothing from before, and nothing from other chats. /optout "
    "takes it back at any time."
)
DECLINED = "Nothing that you write here is learnt from. /optin changes that whenever you like."
TAKEN_BACK = (
    "Nothing that you write here is learnt from any more, and what you wrote so far goes into no further training. "
    "Versions that have learnt already are not changed by this; /forgetme deletes what you wrote and marks them."
)
KEPT = {
    "private": "What you write to me here and what I answer.",
    "mentions": "In this group: what is said to me, and what I answer. The rest I neither keep nor use.",
    "all": "In this group: everything that is written, because I answer every message here.",
    "listen": "In this group: everything that is written, because I was asked to read along.",
}
NOT_LET_IN = (
    "Nothing that you write here is kept, or learnt from, until whoever looks after me lets you in; while you wait, I "
    "keep your name and ID alone. Should you have written to me elsewhere, /forgetme deletes that."
)
POLICY = {
    "mark": "versions that learnt from it are marked as such, for whoever runs this assistant to see.",
    "withdraw": "versions that learnt from it are marked and taken out of service at once.",
    "retrain": "versions that learnt from it are marked, and the assistant learns afresh without it.",
}


NOBODY = (
    "You write here in the group’s name, so nobody can tell that it is you; write to me in private, or switch off "
    "posting anonymously, and say it again."
)


def _require_person(call: Call) -> None:
    """Raises Refused for somebody who writes in a chat's name: what one such admin says is not said by all."""
    if not call.incoming.author_id:
        raise Refused(NOBODY)


def _key(call: Call, card: str) -> str:
    return card_key(call.database, card, call.incoming.person)


async def opt_in(call: Call) -> None:
    """The asker's words in this chat may be learnt from, from now on."""
    _require_person(call)
    incoming = call.incoming
    async with call.database.session() as session:
        opening = await opening_of(session, call.channel.id)
        if opening != "open":
            raise Refused(closed_because(opening, call.channel))
        before = await decide(session, incoming.person, incoming.chat, "in", SHOWN if incoming.pressed else AGREED)
    if before == "in":
        call.whisper("You agreed to that already; /optout takes it back.")
    elif incoming.pressed:
        call.show(
            Card(_key(call, "consent"), "Thank you: I may learn from what you write here", (AGREED,), tone="good")
        )
    else:
        call.say(f"Thank you. {AGREED}")


async def opt_out(call: Call) -> None:
    """Nothing the asker writes in this chat is learnt from."""
    _require_person(call)
    incoming = call.incoming
    async with call.database.session() as session:
        before = await decide(session, incoming.person, incoming.chat, "out", SHOWN)
    sentence = TAKEN_BACK if before == "in" else DECLINED
    if incoming.pressed and before == "asked":
        call.show(Card(_key(call, "consent"), "Understood", (sentence,)))
    else:
        call.say(f"Understood. {sentence}")


async def privacy(call: Call) -> None:
    """What is kept, why, how long, what of it is learnt from, and how to be rid of it: as it holds in this channel."""
    incoming, channel = call.incoming, call.channel
    if not channel.id:
        call.say(NOT_LET_IN)
        return
    async with call.database.session() as session:
        opening = await opening_of(session, channel.id)
        consent = await find_consent(session, incoming.person, incoming.chat)
    try:
        policy = (await call.routed()).assistant.on_forget
    except NotFound:  # whoever asks is told, also where nobody answers
        policy = "mark"
    mode = "private" if channel.private else channel.answers
    lines = (
        f"What is kept: {KEPT[mode]} Encrypted, on this installation alone.",
        "Why: so that I can follow the conversation, and to learn from it where people agree.",
        "How long: until you delete it. /reset and /undo end what I remember in conversation, but delete nothing.",
        f"Learning in this chat: {_learning(opening, channel)}",
        f"You: {_said(consent)}",
        f"To have it deleted: /forgetme removes all that you wrote, in every chat, and what I answered you; "
        f"{POLICY[policy]}",
    )
    buttons: tuple[Button, ...] = ()
    if consent is not None and consent.state == "in":
        buttons = (Button("Take it back", "/optout", "quiet"),)
    elif opening == "open":
        buttons = BUTTONS[:1]
    call.show(Card(_key(call, "privacy"), "What is kept of what you write", lines, buttons=buttons))


def _learning(opening: Opening, channel: Channel) -> str:
    if opening != "open":
        return closed_because(opening, channel)
    return (
        "only from people who agree, and only what they write here after that; what is learnt are answers that were "
        "voted good, and what people whom an operator named say to others. Beside that, operators bring in exported "
        "chats and teach answers on their own word."
    )


def _said(consent: Consent | None) -> str:
    if consent is None:
        return "you were not asked yet, so nothing of yours is learnt from."
    if consent.state == "asked" or consent.decided_at is None:
        return (
            f"you were asked on {consent.shown_at:%-d %B %Y} and have not answered, so nothing of yours is learnt from."
        )
    when = f"{consent.decided_at:%-d %B %Y, %H:%M} UTC"
    if consent.state == "in":
        return f"you agreed on {when}; what you write since then may be learnt from."
    return f"you said no on {when}; nothing of yours is learnt from."


async def learning(call: Call) -> None:
    """`/learning on|off`: whether this channel, and what lies in it, may be learnt from at all."""
    if call.word not in ("", "on", "off"):
        raise BadInput("Write /learning on or /learning off; /learning alone says how it is.")
    async with call.database.session() as session:
        if call.word:
            wanted = call.word == "on"
            await session.execute(update(Channel).where(Channel.id == call.channel.id).values(learning=wanted))
        opening = await opening_of(session, call.channel.id)
        if call.word == "on" and opening in ("platform", "account"):
            raise Refused(closed_because(opening, call.channel))  # and nothing is changed
    if opening == "open":
        call.say(
            "This chat may be learnt from: from people who agree, and only what they write after that. /learning off "
            "ends it; versions that have learnt already stay as they are."
        )
    elif opening == "off" and call.word == "on":
        call.say("It is on here, but the chat that this lies in is off as a whole; say /learning on there as well.")
    else:
        call.say(closed_because(opening, call.channel))


def _code(call: Call) -> str:
    """What makes a button to delete work for the one who asked alone."""
    return call.database.cipher.derive(f"forgetme:{call.incoming.person}")[:16]


async def forget_me(call: Call) -> None:
    """Asks once more, with what there is to delete."""
    _require_person(call)
    counts = await counted(call.database, call.incoming.person)
    lines = (
        f"This is what there is: {counts.sentence()}.",
        "All of it goes, in every chat, together with what you said on learning; versions that learnt from your words "
        "are marked. It cannot be brought back.",
    )
    buttons = (
        Button("Delete it all", f"/forgetme {_code(call)}", "main"),
        Button("Keep it", f"/forgetme {_code(call)} keep", "quiet"),
    )
    call.show(Card(_key(call, "forget"), "Delete everything that you wrote?", lines, tone="warning", buttons=buttons))


async def forget_me_now(call: Call) -> None:
    """`/forgetme CODE` deletes, `/forgetme CODE keep` does not; CODE comes with the question and is the asker's own."""
    _require_person(call)
    if call.word not in (_code(call), "yes"):
        raise Refused("That button is somebody else’s; /forgetme asks what is to become of your own words.")
    if call.words[1:] == ("keep",):
        call.show(Card(_key(call, "forget"), "Nothing was deleted", ("Everything is as it was.",)))
        return
    done = await forget(call.database, call.settings, call.incoming.person)
    if call.channel.private:
        call.show(Removed((), everything=True))
    call.show(Card(_key(call, "forget"), "You are forgotten", done.sentences(), tone="good"))
