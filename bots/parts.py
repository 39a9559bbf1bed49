"""What is said, in parts that an outlet can send: an answer as it grows and in the end, and sentences of our own."""

from __future__ import annotations

from bots.answering import WORDLESS, buttons_of
from bots.card_text import escape
from bots.events import Button
from bots.outlet import Outlet, Part
from store.tables import Message

CUT_WORDLESS = "Stopped."


def growing_parts(outlet: Outlet, text: str) -> list[Part]:
    """Text that is still being said: what is open in it may yet be closed, so none of it is formatted."""
    return [Part(part.text, plain=True) for part in outlet.split(text)]


def sentence_parts(outlet: Outlet, sentence: str) -> list[Part]:
    """Words of our own, which no character in them may format."""
    return outlet.split(escape(sentence))


def settled_parts(outlet: Outlet, answer: Message) -> tuple[list[Part], tuple[Button, ...]]:
    """A logged answer as it is shown in the end: its parts and buttons."""
    if answer.state == "failed":
        return sentence_parts(outlet, answer.text), ()
    return answer_parts(outlet, answer.text, cut=answer.state == "cut"), buttons_of(answer.id)


def answer_parts(outlet: Outlet, text: str, *, cut: bool) -> list[Part]:
    """All of an answer; where there is nothing in it to be seen, a sentence in its place."""
    return outlet.split(text) or sentence_parts(outlet, CUT_WORDLESS if cut else WORDLESS)
