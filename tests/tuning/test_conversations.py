"""Who talks with whom."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

from tuning.conversations import (
    MOST_MESSAGES,
    MOST_OPEN,
    REMEMBERED_SECONDS,
    ChatMessage,
    Conversation,
    ConversationBuilder,
)
from tuning.disentangle.evidence import AHEAD
from tuning.disentangle.linker import BLOCK

WORK = ("tar", "moor", "bail", "paint", "caulk", "sell", "haul")
NAMES = {1: "Mara Quill", 2: "Bram Tolliver", 3: "Ines", 4: "Joost"}


def said(number: int, who: int, at: int, text: str = "…", reply: int | None = None) -> ChatMessage:
    return ChatMessage(
        number, str(number), who, NAMES.get(who, f"P{who}"), at, None if reply is None else str(reply), False, text
    )


def sort(messages: Iterable[ChatMessage]) -> list[list[int]]:
    builder = ConversationBuilder()
    over: list[Conversation] = []
    for message in messages:
        over.extend(builder.take(message))
    over.extend(builder.finish())
    return sorted([message.id for message in one.messages] for one in over)


def test_a_reply_joins_what_it_replies_to_even_hours_later() -> None:
    assert sort([said(1, 1, 0), said(2, 2, 9000), said(3, 3, 20_000, reply=1)]) == [[1, 3], [2]]


def test_two_conversations_that_run_through_each_other_stay_apart_by_replies() -> None:
    messages = [
        said(1, 1, 0, "When do we sail?"), said(2, 3, 4000, "Who bakes?"),
        said(3, 2, 4010, reply=1), said(4, 4, 4020, reply=2), said(5, 1, 4030, reply=3), said(6, 3, 4040, reply=4),
    ]  # fmt: skip
    assert sort(messages) == [[1, 3, 5], [2, 4, 6]]


def test_a_name_at_the_start_or_after_an_at_sign_leads_to_its_conversation() -> None:
    for text in ("Mara, wait", "@mara wait", "wait @Mara please", "Hey Mara, wait", "Mara Quill: wait"):
        assert sort([said(1, 1, 0), said(2, 3, 1200), said(3, 2, 1210, text)]) == [[1, 3], [2]], text


def test_a_word_that_is_nobodys_name_leads_nowhere_else() -> None:
    assert sort([said(1, 1, 0), said(2, 3, 1200), said(3, 2, 1210, "Sure, why not")]) == [[1], [2, 3]]


def test_an_author_going_on_within_three_minutes_stays_in_the_conversation() -> None:
    messages = [said(1, 1, 0), said(2, 2, 2000), said(3, 1, 2010, reply=1), said(4, 2, 2020), said(5, 1, 2100)]
    assert sort(messages) == [[1, 3, 5], [2, 4]]


def test_what_follows_within_fifteen_minutes_belongs_to_it_and_later_begins_anew() -> None:
    assert sort([said(1, 1, 0), said(2, 2, 900), said(3, 3, 1801)]) == [[1, 2], [3]]


def test_a_reply_to_what_is_long_over_begins_anew() -> None:
    assert sort([said(1, 1, 0), said(2, 2, REMEMBERED_SECONDS + 1, reply=1)]) == [[1], [2]]


def test_between_two_people_time_alone_decides_whatever_they_say() -> None:
    chance = random.Random(11)
    messages, at = [], 0
    for number in range(1, 400):
        at += chance.choice((20, 60, 400, 899, 901, 5000))
        messages.append(
            said(number, number * number % 2 + 1, at, chance.choice(("ok", "does anybody know why?", "so…")))
        )
    apart = [
        number for number, (one, other) in enumerate(pairwise(messages), 1) if other.sent_at - one.sent_at > 15 * 60
    ]
    edges = [0, *apart, len(messages)]
    assert sort(messages) == [[one.id for one in messages[a:b]] for a, b in pairwise(edges)]


def test_talks_of_many_people_that_run_through_each_other_are_told_apart() -> None:
    """Three talks at a time, each of two people who name each other now and then; nobody uses the reply button."""
    lines = [
        (talk * 60 + turn * 47 + 7 * (talk % 3), talk, turn)
        for talk in range(30) for turn in range(6)
    ]  # fmt: skip
    messages = []
    for number, (at, talk, turn) in enumerate(sorted(lines), 1):
        who, other = (2 * talk + 10, f"P{2 * talk + 11}") if turn % 2 == 0 else (2 * talk + 11, f"P{2 * talk + 10}")
        asked = f"does anybody know {('how to', 'when to', 'why we', 'where to')[talk % 4]} {WORK[talk % 7]} it?"
        text = asked if turn == 0 else f"{other}: {('and then?', 'warm it first')[turn % 2]}"
        messages.append(said(number, who, at, text))
    talks = Counter(tuple(sorted({(number - 10) // 2 for number in of})) for of in speakers(messages))
    assert sum(count for talk, count in talks.items() if len(talk) == 1) >= 27


def speakers(messages: list[ChatMessage]) -> list[list[int]]:
    who = {message.id: message.author_id for message in messages}
    return [[who[number] for number in conversation] for conversation in sort(messages)]


def test_in_a_slow_room_one_talk_after_another_stays_whole() -> None:
    messages = []
    for talk in range(60):
        for turn in range(5):
            text = ("Where is the lamp oil?", "In the shed", "Thank you", "Which shed?", "The red one")[turn]
            messages.append(said(10 * talk + turn, (talk + turn % 2 * 3) % 4 + 1, talk * 7200 + 50 * turn, text))
    whole = [[10 * talk + turn for turn in range(5)] for talk in range(60)]
    assert sum(one in whole for one in sort(messages)) >= 57


def test_every_message_is_in_exactly_one_conversation_in_time_order() -> None:
    messages = [
        said(n, n * 7 % 11, n * 100 % 977 + n * 30, reply=n - n % 13 if n % 3 else None) for n in range(1, 3000)
    ]
    messages.sort(key=lambda one: (one.sent_at, one.id))
    places = {message.id: place for place, message in enumerate(messages)}
    found = sort(messages)
    assert sorted(number for one in found for number in one) == sorted(places)
    assert all([places[n] for n in one] == sorted(places[n] for n in one) for one in found)


def test_the_window_is_bounded_however_busy_the_room() -> None:
    never_silent = sort(said(n, n % 2, n * 20) for n in range(1, 1001))
    assert {len(one) for one in never_silent} == {MOST_MESSAGES}
    builder = ConversationBuilder()
    over = [done for n in range(5000) for done in builder.take(said(n, n, n * 1000))]
    assert 5000 - len(over) <= MOST_OPEN + 1 + BLOCK + 2 * AHEAD  # the model waits for what follows
    assert len(builder._by_message) <= MOST_OPEN + 1
    assert len(builder._by_author) <= MOST_OPEN + 1
    assert len(builder._by_name) <= MOST_OPEN
