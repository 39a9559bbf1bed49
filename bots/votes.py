"""The buttons under an answer: good, bad, and answer it again. All state is in the command, so they work for ever.

Whatever is wrong with a button, from an answer that is gone to a number somebody made up, is told the one who pressed
it, and nobody else.
"""

from __future__ import annotations

from dataclasses import replace

from bots import member_commands
from bots.call import Call
from bots.events import Voted
from store.conversations import last_exchange
from store.votes import BAD, GOOD, find_answer, vote

VALUES = {"good": GOOD, "bad": BAD}
NOTED = {
    GOOD: "Noted: good. Press it again to take that back.",
    BAD: "Noted: bad. Press it again to take that back.",
    0: "Taken back; your vote no longer counts.",
}
NOT_HERE = "That button belongs to an answer that I don’t find here, so nothing was noted."
OLDER = "Only my last answer can be given again; send that question once more instead."
LONGEST_ID = 18
"""Digits that fit the database's integers."""


def number(word: str) -> int | None:
    """A row's id as it stands in a button; None for anything else."""
    return int(word) if word.isascii() and word.isdigit() and len(word) <= LONGEST_ID else None


async def cast(call: Call) -> None:
    """`/vote good ID` and `/vote bad ID`. One vote a person and answer; the same again takes it back."""
    value = VALUES.get(call.word)
    answer_id = number(call.words[1]) if len(call.words) == 2 else None
    if value is None or answer_id is None:
        call.whisper(NOT_HERE)
        return
    async with call.database.session() as session:
        answer = await find_answer(session, call.channel.id, answer_id)
        if answer is None:
            call.whisper(NOT_HERE)
            return
        stands = await vote(session, answer, call.incoming.person, value)
    call.show(Voted(NOTED[stands], answer_id, stands))


async def again_here(call: Call) -> None:
    """`/again ID`, as it stands under an answer: only the last one can be given again."""
    answer_id = number(call.word)
    if answer_id is None:
        call.whisper(NOT_HERE)
        return
    if not await _only_last(call, answer_id):
        return
    call.line.stop()
    async with call.line.turn(call.line.ticket()) as stop:
        if await _only_last(call, answer_id):  # something else may have been said meanwhile
            await member_commands.again(replace(call, stop=stop))


async def _only_last(call: Call, answer_id: int) -> bool:
    """Whether this is the newest answer here; the one who pressed is told where it is not."""
    async with call.database.session() as session:
        pressed = await find_answer(session, call.channel.id, answer_id)
        last = await last_exchange(session, call.channel)
    if pressed is None:
        call.whisper(NOT_HERE)
        return False
    if last is None or all(answer.id != answer_id for answer in last[1]):
        call.whisper(OLDER)
        return False
    return True
