"""/teach: an operator's own answer to a question, or a better one in place of the assistant's; and taking it back.

Three ways, one command: question and answer in one message; a reply to an answer, with the better one; and, without
words, the list of what was taught. To correct an answer is also to vote it bad. Nothing is learnt before a retrain.
"""

from __future__ import annotations

from bots.call import Call
from bots.events import Button, Card
from bots.votes import number
from config.errors import BadInput, NotFound
from store.deliveries import shown_as
from store.tables import Message
from store.votes import BAD, vote
from tuning.teaching import Asker, Taught, split_pair, taught_pairs, teach, untaught

SHOWN = 5
LONGEST_SHOWN = 160
"""Characters of a question or an answer on a card."""
HOW = "Write /teach, the question, then => and the answer: /teach When do you open? => At six."
OR = "A new line in place of => does as well; or reply to one of my answers with /teach and the better answer."
NEXT = "It is learnt at the next /retrain, and counts more than what is only said in chats."


async def run(call: Call) -> None:
    """`/teach question => answer`, `/teach better answer` as a reply, or `/teach` for the list."""
    assistant = (await call.routed()).assistant.name
    corrected = await _corrected(call)
    if corrected is not None and call.text:
        await _correct(call, assistant, *corrected)
        return
    if corrected is not None:
        raise BadInput("Write the better answer after /teach, in the same reply.")
    if not call.text:
        await _list(call, assistant)
        return
    pair = split_pair(call.text)
    if pair is None:
        raise BadInput(f"I could not tell the question from the answer. {HOW} {OR}")
    call.show(_card(await teach(call.database, assistant, *pair, call.incoming.author)))


async def take_back(call: Call) -> None:
    """`/unteach ID`: this pair is not learnt from any more; without an id, the newest."""
    assistant = (await call.routed()).assistant.name
    pair_id = number(call.word) if call.word else None
    if call.word and pair_id is None:
        raise NotFound("That is not among the taught answers (any more); /teach shows those there are.")
    pair = await untaught(call.database, assistant, pair_id)
    lines = (_in_a_line(pair), "Versions that have learnt it already still know it; the next one will not.")
    call.show(Card(f"taught-{pair.id}", "Taken back", lines))


async def _corrected(call: Call) -> tuple[Message, Message] | None:
    """The question and the answer that the asker replied to; None where it was no answer."""
    if call.incoming.reply_to is None or call.incoming.pressed:
        return None
    async with call.database.session() as session:
        answer = await shown_as(session, call.channel.key, call.incoming.reply_to)
        if answer is None or answer.role != "assistant" or answer.answers is None:
            return None
        question = await session.get(Message, answer.answers)
    return None if question is None else (question, answer)


async def _correct(call: Call, assistant: str, question: Message, answer: Message) -> None:
    own = call.channel.private or question.author_key == call.incoming.person
    asker = None if own else Asker(question.author_key or "", question.author, call.incoming.chat, question.created_at)
    taught = await teach(call.database, assistant, question.text, call.text, call.incoming.author, asker)
    if answer.version is None:  # no answer, but a sentence in its place
        call.show(_card(taught))
        return
    async with call.database.session() as session:
        await vote(session, answer, call.incoming.person, BAD, takes_back=False)
    call.show(_card(taught, "The answer it corrects now has your vote as bad."))


async def _list(call: Call, assistant: str) -> None:
    pairs = await taught_pairs(call.database, assistant)
    if not pairs:
        call.show(Card("taught", f"{assistant} has not been taught any answers yet", (HOW, OR)))
        return
    count = f"{len(pairs):,} answer{'' if len(pairs) == 1 else 's'}"
    newest = "" if len(pairs) <= SHOWN else f"; the newest {SHOWN}"
    lines = [f"{place}. {_in_a_line(pair)}" for place, pair in enumerate(pairs[:SHOWN], start=1)]
    buttons = [Button(f"Take back {place}", f"/unteach {pair.id}") for place, pair in enumerate(pairs[:SHOWN], start=1)]
    call.show(Card("taught", f"{assistant} was taught {count}{newest}", (*lines, HOW), buttons=tuple(buttons)))


def _card(taught: Taught, *more: str) -> Card:
    again = ("This question had another answer, which is replaced.",) if taught.replaced else ()
    buttons = (Button("Take it back", f"/unteach {taught.id}", "quiet"),)
    lines = (_in_a_line(taught), *again, *more, NEXT)
    return Card(f"taught-{taught.id}", "Noted", lines, tone="good", buttons=buttons)


def _in_a_line(pair: Taught) -> str:
    return f"“{_short(pair.question)}” – “{_short(pair.answer)}”"


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= LONGEST_SHOWN else plain[: LONGEST_SHOWN - 1].rstrip() + "…"
