"""What operators ask for on who may: let somebody in, who may come at all, when to answer, who looks after it."""

from __future__ import annotations

import re
from dataclasses import replace

from bots.access import OPENNESS, Waiting, shown
from bots.call import Call
from bots.events import Button, Card
from bots.modes import MODES, Mode
from config.errors import BadInput, NotFound, Refused
from store.assistants import find_assistant
from store.people import Given, find_person, give_role, list_roles, named, take_roles

HOW: dict[Mode, str] = {
    "mentions": "when it is mentioned, replied to, or commanded; what is said to others is not kept",
    "all": "every message",
    "listen": "only when it is mentioned, replied to, or commanded; it reads along and remembers what was said",
}
HOW_SHORT: dict[Mode, str] = {"mentions": "When mentioned", "all": "Every message", "listen": "Only listen"}
WHO = {
    "open": "everybody may talk with it",
    "pairing": "whoever is new gets a code, and waits until an operator lets them in",
    "closed": "nobody may but those who look after it",
}
MOST_SHOWN = 20
_MENTION = re.compile(r"<@(?P<role>&|!)?(?P<id>\d{1,20})>")
_KEY = re.compile(r"(?:telegram|discord|discord-role|web):[A-Za-z0-9_-]{1,40}")


async def admit(call: Call) -> None:
    """Who waits, with buttons; or let somebody in, or refuse them."""
    asker = replace(call.incoming, role=call.known)
    if not call.words:
        call.show(waiting_card(await call.access.waiting(asker)))
        return
    refuse = call.words[-1].lower() == "refuse"
    code = "".join(call.words[: -1 if refuse else None])
    if not code:
        raise BadInput("Say whom: /admit CODE lets somebody in, /admit CODE refuse does not.")
    decided = await call.access.decide(code, not refuse, call.incoming.person, asker)
    call.say(decided.sentence)


def waiting_card(waiting: list[Waiting]) -> Card:
    """Who waits to be let in."""
    if not waiting:
        return Card("admit", "Nobody is waiting to be let in")
    lines = tuple(
        f"{one.request.title} ({one.request.subject}) for {one.request.assistant}: code {shown(one.code)}, "
        f"{one.minutes_left} minutes left"
        for one in waiting[:MOST_SHOWN]
    )
    buttons = tuple(
        button
        for one in waiting[: MOST_SHOWN // 4]
        for button in (
            Button(f"Let {one.request.title[:30]} in", f"/admit {one.request.id}", "main"),
            Button("Refuse", f"/admit {one.request.id} refuse", "quiet"),
        )
    )
    return Card("admit", "Waiting to be let in", lines, buttons=buttons)


async def access(call: Call) -> None:
    """Who may talk with the assistant here; or choose."""
    name = (await call.routed()).assistant.name
    word = call.word.lower()
    if word and word not in OPENNESS:
        raise BadInput(f"“{word[:40]}” is not one of them; write /access {', /access '.join(OPENNESS)}.")
    async with call.database.session() as session:
        assistant = await find_assistant(session, name)
        if word:
            assistant.access = word
        now = assistant.access
    buttons = tuple(Button(one.capitalize(), f"/access {one}") for one in OPENNESS if one != now)
    call.show(Card("access", f"{name} is {now}", (f"That is: {WHO[now]}.",), buttons=buttons))


async def answer(call: Call) -> None:
    """When the assistant answers in this chat; or choose."""
    if call.channel.private:
        raise Refused("Here we are alone, and I answer everything; /answer is for groups.")
    word = call.word.lower()
    chosen = next((mode for mode in MODES if mode == word), None)
    if word and chosen is None:
        raise BadInput(f"“{word[:40]}” is not one of them; write /answer {', /answer '.join(MODES)}.")
    if chosen is not None:
        await call.modes.set(call.channel, chosen)
    now = chosen or await call.modes.of(call.channel.key, call.channel.parent_key)
    buttons = tuple(Button(HOW_SHORT[mode], f"/answer {mode}") for mode in MODES if mode != now)
    call.show(Card("answer", "When I answer here", (f"{HOW_SHORT[now]}: {HOW[now]}.",), buttons=buttons))


async def operator(call: Call) -> None:
    """Who looks after the assistant here; or give somebody that, or take it from them."""
    assistant = (await call.routed()).assistant
    take = bool(call.words) and call.words[-1].lower() == "remove"
    word = " ".join(call.words[: -1 if take else None])
    if not word and call.incoming.reply_to is None:
        async with call.database.session() as session:
            given = await list_roles(session, assistant.id)
        call.show(operators_card(assistant.name, given))
        return
    subject, name = await _whom(call, word)
    async with call.database.session() as session:
        if take:
            if not await take_roles(session, subject, assistant.id, "operator"):
                raise NotFound(f"{name} is not an operator here, so nothing was taken away.")
            call.say(f"{name} no longer looks after {assistant.name}.")
            return
        if not await give_role(session, subject, assistant.id, "operator", call.incoming.person):
            call.say(f"{name} looks after {assistant.name} already.")
            return
    call.say(f"{name} looks after {assistant.name} from now on; /help shows them what that means.")


def operators_card(assistant: str, given: list[Given]) -> Card:
    """Who looks after an assistant, each with a button to end that."""
    lines = [
        f"{one.name or one.subject} ({one.subject}): {one.role}{'' if one.assistant else ' of every assistant'}"
        for one in given[:MOST_SHOWN]
    ]
    lines.append("Add somebody with /operator @name or their ID, or by answering one of their messages with /operator.")
    buttons = tuple(
        Button(f"Take it from {(one.name or one.subject)[:30]}", f"/operator {one.subject} remove", "quiet")
        for one in given[:MOST_SHOWN]
        if one.role == "operator"
    )
    return Card("operators", f"Who looks after {assistant}", tuple(lines), buttons=buttons)


async def _whom(call: Call, word: str) -> tuple[str, str]:
    """Who is meant: their key, and what to call them. Raises NotFound where that cannot be told."""
    if not word:
        subject = call.incoming.reply_person
        if subject is None:
            raise NotFound("I cannot tell who wrote that message; name them by their ID: /operator 123456.")
        return subject, await _name(call, subject)
    mention = _MENTION.fullmatch(word)
    if mention is not None:
        subject = f"discord-role:{mention['id']}" if mention["role"] == "&" else f"discord:{mention['id']}"
        return subject, await _name(call, subject)
    if word.isascii() and word.isdigit() and len(word) <= 20:
        subject = f"{call.incoming.platform}:{word}"
        return subject, await _name(call, subject)
    if _KEY.fullmatch(word):
        return word, await _name(call, word)
    async with call.database.long_session() as session:
        people = await named(session, call.incoming.platform, word)
    if not people:
        raise NotFound(
            f"I know nobody called {word[:60]}; they must have written to me once, or name them by their ID."
        )
    if len(people) > 1:
        keys = ", ".join(one.key.partition(":")[2] for one in people[:5])
        raise BadInput(f"Several people are called {word[:60]}; name the right one by ID: {keys}.")
    return people[0].key, people[0].name


async def _name(call: Call, subject: str) -> str:
    async with call.database.session() as session:
        person = await find_person(session, subject)
    return subject if person is None else person.name
