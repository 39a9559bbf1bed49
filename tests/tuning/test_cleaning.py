"""What is no talk goes, what is talk stays, and no answer becomes the answer to something else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from chat_exports import START, add_assistant, chat, message, silent, talk, written
from sqlalchemy import select

from config.errors import BadInput, NotFound
from store.database import Database
from store.tables import Assistant
from tuning.chatter import is_bot_name, is_command, is_link_alone, is_reaction_alone, is_stand_in
from tuning.cleaning import STEPS, Cleaning, Sieves, cleaning_of, set_cleaning
from tuning.conversations import ChatMessage, Conversation
from tuning.curation import Curated, measure
from tuning.examples import examples_of
from tuning.importing import import_file
from tuning.language import Language
from tuning.teaching import teach

RUNA = 1
"""Author of what is learnt; others have greater numbers."""


@pytest.mark.parametrize(
    ("told", "so", "not_so"),
    [
        (
            is_command,
            ["/ban @odo", "/start", "!rank", "/tide@SkyBot Hull", " !play harbour song"],
            ["/home/odo is full", "!!!", "! wet paint", "1/2 cup", "/", "What /help does", "¡hola!"],
        ),
        (
            is_link_alone,
            ["https://a.example/b?c=d", "<https://a.example> http://b.example\n", "www.example.org", "HTTPS://A.EXAMPLE"],
            ["see https://a.example", "https://a.example made me laugh", "://", "a.example"],
        ),
        (
            is_reaction_alone,
            ["+1", "+ 1!", "👍", "👩‍🚒❤️", "lol", "LOOOL", "haha 😂", "Hahaha!!", "?", "…", "xD", ":)",
             "<:gull:123456789>",
             ":partyparrot:", "ахахах", "jajaja", "哈哈哈", "ㅋㅋㅋ", "mdr", "ههههه"],
            ["yes", "no", "ok", "ja", "42", "5", "+12", "ha, no", "Lola", "this", "oh", "+1 from me too", "嗯", "Hanna",
             "at 10:30:"],
        ),
        (
            is_stand_in,
            ["<Media omitted>", "<Medien ausgeschlossen>", "[Photo]", "(sticker)", "image omitted", "IMG_0412.jpg",
             "Screenshot 2024-05-06 at 10.00.00.png",
             "IMG-2024-WA0001.jpg (file attached)"],
            ["see IMG_0412.jpg, lovely", "it prompts with Screenshot.png",
             "<3", "[edit] done", "(photo) of the boat", "what was omitted"],
        ),
        (
            is_bot_name,
            ["Weather Bot", "quiz_bot", "HarbourBot", "[BOT] tide", "MEE6"],
            ["Harold Talbot", "Abbot", "Botany Club", "Robot fan", ""],
        ),
    ],
)  # fmt: skip
def test_chatter_is_told_from_talk(told: Any, so: list[str], not_so: list[str]) -> None:
    assert [text for text in so if not told(text)] == []
    assert [text for text in not_so if told(text)] == []


def conversation(
    *said: tuple[int, str] | tuple[int, str, int | None] | tuple[int, str, int | None, bool],
) -> Conversation:
    """Author, text, place of the message that it replies to, whether it was forwarded; numbered from 0."""
    messages = []
    for number, (author, text, *more) in enumerate(said):
        reply_to = None if not more or more[0] is None else str(more[0])
        name = {RUNA: "Runa Vik", 9: "Tide Bot"}.get(author, f"Person {author}")
        messages.append(
            ChatMessage(
                number, str(number), author, name, START + number, reply_to, len(more) > 1 and bool(more[1]), text
            )
        )
    return Conversation(messages)


def cleaned(given: Conversation, cleaning: Cleaning = Cleaning()) -> list[str]:
    stream: Iterator[Conversation] = Sieves(cleaning).clean([given], {RUNA})
    return [message.text for one in stream for message in one.messages]


def test_what_replied_to_a_removed_message_stays_in_its_conversation() -> None:
    left = cleaned(
        conversation(
            (2, "Is the gate open?"), (3, "+1", 0), (RUNA, "It is, till nine.", 1), (2, "👍"), (2, "And then?")
        )
    )
    assert left == ["Is the gate open?", "It is, till nine.", "And then?"]


def test_an_answer_goes_with_what_it_answers_and_is_not_learnt_as_the_answer_to_something_else() -> None:
    given = conversation(
        (2, "Is the gate open?"), (RUNA, "It is, till nine."), (2, "https://a.example/boats"), (RUNA, "Ugly boats."),
        (3, "What a day."), (2, "/tide"), (RUNA, "Not here.", 5), (RUNA, "It was, wasn't it.", 4),
    )  # fmt: skip
    assert cleaned(given) == ["Is the gate open?", "It is, till nine.", "What a day.", "It was, wasn't it."]
    (example,) = examples_of(next(Sieves(Cleaning()).clean([given], {RUNA})).messages, {RUNA})
    assert [turn["content"] for turn in example.messages] == [
        "Person: Is the gate open?", "It is, till nine.", "Person: What a day.", "It was, wasn't it."
    ]  # fmt: skip


def test_an_answer_to_what_was_said_beside_a_link_stays() -> None:
    left = cleaned(
        conversation((2, "What do you think of her?"), (2, "https://a.example/boat"), (RUNA, "A fine boat."))
    )
    assert left == ["What do you think of her?", "A fine boat."]


def test_bots_and_what_was_forwarded_go_but_a_speaker_may_be_called_a_bot() -> None:
    given = conversation(
        (9, "High water at six."), (2, "Old news", None, True), (2, "When do we sail?"), (RUNA, "At dawn.")
    )
    assert cleaned(given) == ["When do we sail?", "At dawn."]
    stream = Sieves(Cleaning()).clean([given], {9})
    assert "High water at six." in [message.text for one in stream for message in one.messages]


def test_each_step_counts_shows_samples_and_can_be_switched_off() -> None:
    given = conversation(
        (2, "/tide"), (2, "https://a.example"), (2, "lol"), (2, "News", None, True), (2, "[Photo]"), (2, "Ahoy")
    )
    for step in set(STEPS) - {"language", "duplicates"}:
        sieves = Sieves(Cleaning())
        assert [message.text for one in sieves.clean([given], {RUNA}) for message in one.messages] == ["Ahoy"]
        (sieve,) = (one for one in sieves.sieves if one.counter.name == STEPS[step])
        assert sieve.counter.came_in - sieve.counter.went_out == 1
        (sample,) = sieve.samples.kept
        assert sample.step == step
        assert sample.text in cleaned(given, Cleaning(frozenset({step})))
    everything_off = Cleaning(frozenset(STEPS))
    assert Sieves(everything_off).sieves == []
    assert len(cleaned(given, everything_off)) == 6


def test_another_language_goes_only_where_one_was_named() -> None:
    given = conversation(
        (2, "Wann fährt das Boot denn morgen früh ab?"), (3, "When does the boat leave tomorrow morning?"),
        (3, "Gute Fahrt!"), (RUNA, "At dawn, so come early and bring a rope."),
    )  # fmt: skip
    assert len(cleaned(given)) == 4
    assert cleaned(given, Cleaning(language="en")) == [
        "When does the boat leave tomorrow morning?", "Gute Fahrt!", "At dawn, so come early and bring a rope."
    ]  # fmt: skip
    with pytest.raises(BadInput, match="is no language"):
        Language("klingon")


def test_choices_are_kept_and_wrong_ones_are_one_sentence() -> None:
    cleaning = Cleaning().changed(off=["links", "bots"]).changed(on=["bots"], language="DE")
    assert (cleaning.off, cleaning.language) == (frozenset({"links"}), "de")
    assert cleaning.changed(off=["language"]).language is None
    for off, on, says in (
        (["jokes"], [], "no step “jokes”"), ([], ["language"], "Say which language"),
        (["links"], ["links"], "both on and off")
    ):  # fmt: skip
        with pytest.raises(BadInput, match=says):
            Cleaning().changed(off, on)


async def learnt(database: Database, folder: Path, messages: Sequence[dict[str, Any]]) -> Curated:
    await import_file(database, written(folder, chat(list(messages))), "harbour", "Runa", "Ingrid", silent)
    async with database.long_session() as session:
        return await measure(session, await session.scalar(select(Assistant.id)) or 0)


async def test_curation_cleans_as_the_assistant_is_set_and_reports_what_went(
    database: Database, tmp_path: Path
) -> None:
    await add_assistant(database)
    chatter = []
    for at in range(20):
        when = START + 10**7 + 9000 * at
        chatter += [message(5000 + 2 * at, "Odo Brandt", f"https://a.example/{at}", when),
                    message(5001 + 2 * at, "Runa Vik", f"Seen {at} of them.", when + 9)]  # fmt: skip
    curated = await learnt(database, tmp_path, [*talk(60), *chatter])
    figures = {step.name: (step.came_in, step.went_out) for step in curated.funnel}
    assert (curated.examples, curated.conversations) == (60, 60)
    assert figures["links alone left out"] == (160, 120)
    assert {removed.step for removed in curated.removed} == {"links"}
    assert len(curated.removed) == 5
    async with database.session() as session:
        await set_cleaning(session, "harbour", ["links"], [], None)
    async with database.long_session() as session:
        again = await measure(session, 1)
        assert cleaning_of(await session.get_one(Assistant, 1)) == Cleaning(frozenset({"links"}))
    assert again.examples == 80
    assert "links alone left out" not in {step.name for step in again.funnel}
    async with database.session() as session:
        with pytest.raises(NotFound):
            await set_cleaning(session, "nobody", ["links"], [], None)


async def test_near_duplicates_stay_where_that_step_is_off(database: Database, tmp_path: Path) -> None:
    await add_assistant(database)
    same = [one | {"text_entities": [{"type": "plain", "text": "The boat leaves at dawn, so come early, bring a rope"}]}
            for one in talk(30, 5000, START + 10**7)]  # fmt: skip
    assert (await learnt(database, tmp_path, [*talk(60), *same])).examples == 61
    async with database.session() as session:
        await set_cleaning(session, "harbour", ["duplicates"], [], None)
    async with database.long_session() as session:
        assert (await measure(session, 1)).examples == 90


async def test_what_was_taught_is_never_cleaned(database: Database) -> None:
    await add_assistant(database)
    await teach(database, "harbour", "/tide", "https://tide.example", "Ingrid")
    async with database.long_session() as session:
        assert (await measure(session, 1)).examples == 1
