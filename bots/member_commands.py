"""What any member may ask for besides talking: begin, begin anew, take back, hear again, stop."""

from __future__ import annotations

from bots.call import Call
from bots.events import Removed
from config.errors import Refused
from store import accounts
from store.conversations import forget_before, last_exchange, undo


async def start(call: Call) -> None:
    """A first word: who it is, and how to address it here."""
    name = (await call.routed()).assistant.name
    if call.channel.private:
        call.say(f"Hello, I am {name}. Just write to me; /help shows what else I can do.")
        return
    async with call.database.session() as session:
        account = await accounts.named(session, call.channel.account)
    me = f"@{account.username}" if account is not None else "me"
    how = {
        "mentions": f"Mention {me} or reply to me when I am meant; what else is said here I neither keep nor answer.",
        "all": "I answer every message here, and keep what is said so that I can follow.",
        "listen": f"Mention {me} or reply to me when I am meant; I read along, so that I know what it is about.",
    }
    call.say(f"Hello, I am {name}. {how[call.channel.answers]} /help shows what else I can do.")


async def reset(call: Call) -> None:
    """Memory begins here."""
    async with call.database.session() as session:
        await forget_before(session, call.channel.id, call.message.id)
    call.show(Removed((), everything=True))
    call.say("We begin anew; I no longer see what was said before.")


async def undo_last(call: Call) -> None:
    """The last question and its answer no longer count."""
    async with call.database.session() as session:
        last = await last_exchange(session, call.channel, before=call.message.id)
        if last is None:
            raise Refused("There is nothing to take back yet.")
        question, answers = last
        ids = (question.id, *(answer.id for answer in answers))
        await undo(session, ids)
    call.show(Removed(ids))
    call.say("Taken back: your last message and my answer to it.")


async def again(call: Call) -> None:
    """The last question is answered afresh; the old answer no longer counts."""
    async with call.database.session() as session:
        last = await last_exchange(session, call.channel, before=call.message.id)
        if last is None:
            raise Refused("There is nothing to answer again yet; write something first.")
        question, answers = last
        ids = tuple(answer.id for answer in answers)
        await undo(session, ids)
    if ids:
        call.show(Removed(ids))
    await call.answer(call.channel, question, call.stop, call.show)


async def stop(call: Call) -> None:
    """Interrupt the answer under way."""
    answering, beside = call.line.stop(), call.line.stop_beside()
    if not answering and not beside:
        call.say("I am not saying anything at the moment.")
