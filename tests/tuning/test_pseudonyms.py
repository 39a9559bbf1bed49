"""What others are called in what is learnt."""

from __future__ import annotations

from tuning.conversations import ChatMessage
from tuning.pseudonyms import Pseudonyms, pseudonym

RUNA = 9
NAMES = {1: "Odo Brandt", 2: "Ines Aune", 3: "Al", RUNA: "Runa Vik"}
PEOPLE = {number: f"user{number}00" for number in NAMES}


def said(number: int, who: int, text: str) -> ChatMessage:
    return ChatMessage(number, str(number), who, NAMES[who], 100 + number, None, False, text)


def test_several_others_are_called_by_pseudonyms_in_labels_and_in_words() -> None:
    odo, ines = pseudonym("user100"), pseudonym("user200")
    talk = [said(1, 1, "Ines, is it open?"), said(2, 2, "Ask Runa, Odo"), said(3, RUNA, "Aye Odo. Odometer is 9")]
    plain = Pseudonyms().conversation(talk, PEOPLE, {RUNA})
    assert [one.author for one in plain] == [odo, ines, "Runa Vik"]
    assert [one.text for one in plain] == [f"{ines}, is it open?", f"Ask Runa, {odo}", f"Aye {odo}. Odometer is 9"]


def test_who_is_talked_about_keeps_their_name() -> None:
    talk = [said(1, 1, "Who has the key?"), said(2, RUNA, "Old Ines has it, ask Ines or me."), said(3, 2, "@Odo, I do")]
    plain = Pseudonyms().conversation(talk, PEOPLE, {RUNA})
    assert plain[1].text == "Old Ines has it, ask Ines or me."
    assert plain[2].text == f"@{pseudonym('user100')}, I do"


def test_a_pseudonym_is_the_same_wherever_its_person_talks_and_another_for_another() -> None:
    first = Pseudonyms().conversation([said(1, 1, "a"), said(2, 2, "b")], PEOPLE, {RUNA})
    later = Pseudonyms().conversation([said(8, 3, "c"), said(9, 1, "d")], PEOPLE, {RUNA})
    assert first[0].author == later[1].author
    assert len({pseudonym(f"user{number}") for number in range(200)}) > 190
    assert not {pseudonym(f"user{number}") for number in range(200)} & {"Odo", "Ines"}


def test_who_talks_alone_with_the_assistant_and_short_names_in_words_stay() -> None:
    alone = [said(1, 1, "Runa?"), said(2, RUNA, "Yes, Odo")]
    assert list(Pseudonyms().conversation(alone, PEOPLE, {RUNA})) == alone
    short = Pseudonyms().conversation([said(1, 3, "Hi"), said(2, 2, "Al dente, Al")], PEOPLE, {RUNA})
    assert short[1].text == "Al dente, Al" and short[0].author == pseudonym("user300")
