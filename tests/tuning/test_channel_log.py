"""What channels' own logs let through to training: words with consent, and nothing else by any way."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from channel_town import FRUITS, INES, ODO, RUNA, T0, Town, build_town
from sqlalchemy import select, update

from bots.attachments import HEADING
from serving.router import set_route
from store.assistants import add_assistant
from store.consents import list_consents, note_asked
from store.database import Database
from store.tables import Account, Message, Source, Speaker
from tuning import curation
from tuning.curation import measure, redactions
from tuning.pseudonyms import pseudonym
from tuning.redaction import detail_digest
from tuning.sources.channel_log import FILE
from tuning.teaching import Asker, teach


@pytest.fixture
async def town(database: Database, tmp_path: Path) -> Town:
    """One assistant that answers everywhere; post is on Telegram, crow on Discord."""
    return await build_town(database, tmp_path)


async def test_good_answers_to_people_who_agree_are_learnt_with_what_they_answer(town: Town) -> None:
    place = await town.channel("post:1", private=True)
    await town.agrees(ODO, "post:1")
    await town.good(place, ODO)
    curated, words = await town.learnt()
    assert (curated.examples, curated.people, curated.messages) == (50, 1, 100)
    line = json.loads(words.splitlines()[0])
    assert [turn["role"] for turn in line["messages"]] == ["user", "assistant"]
    async with town.database.session() as session:
        source = (await session.scalars(select(Source))).one()
    assert (source.kind, source.external_id) == ("channel", str(place))
    learnt = await town.texts(curated.lineage[source.id])
    assert len(learnt) == 2 * curated.train
    assert all(text in words for text in learnt)


Smuggle = Callable[[Town, int], Any]
SECRET = "the heron keeps forty silver spoons"


async def _before(town: Town, place: int) -> None:
    await town.agrees(INES, "post:-7", after=500)
    asked = await town.say(place, INES, f"Note that {SECRET}", at=499)
    await town.answer(place, asked, "Noted, as you wish.", 1)


async def _elsewhere(town: Town, place: int) -> None:
    await town.agrees(INES, "post:-8")
    asked = await town.say(place, INES, f"Note that {SECRET}")
    await town.answer(place, asked, "Noted, as you wish.", 1)


async def _never_asked(town: Town, place: int) -> None:
    asked = await town.say(place, INES, f"Note that {SECRET}")
    await town.answer(place, asked, "Noted, as you wish.", 1)


async def _only_asked(town: Town, place: int) -> None:
    async with town.database.session() as session:
        await note_asked(session, INES, "post:-7", "May I?")
    await _never_asked(town, place)


async def _said_no(town: Town, place: int) -> None:
    await town.agrees(INES, "post:-7", "out")
    await _never_asked(town, place)


async def _took_it_back(town: Town, place: int) -> None:
    await town.agrees(INES, "post:-7")
    await _never_asked(town, place)
    await town.agrees(INES, "post:-7", "out")


async def _between_two_consents(town: Town, place: int) -> None:
    await town.agrees(INES, "post:-7")
    await _never_asked(town, place)
    await town.agrees(INES, "post:-7", "out")
    await town.agrees(INES, "post:-7", "in", after=10**6)


async def _nobody(town: Town, place: int) -> None:
    asked = await town.say(place, None, f"Note that {SECRET}")
    await town.answer(place, asked, "Noted, as you wish.", 1)


async def _repeated_by_an_answer(town: Town, place: int) -> None:
    await town.say(place, INES, f"Just between us, {SECRET}", "overheard")
    asked = await town.say(place, ODO, "What did Ines tell you?")
    await town.answer(place, asked, f"She told me that {SECRET}.", 1)


async def _number_repeated_by_an_answer(town: Town, place: int) -> None:
    await town.say(place, INES, "My door opens with 774411, and the heron knows", "overheard")
    asked = await town.say(place, ODO, "How does the door of Ines open?")
    await town.answer(place, asked, "With heron774 or 774411.", 1)


async def _unvoted_answer(town: Town, place: int) -> None:
    asked = await town.say(place, ODO, "Tell me of birds.")
    await town.answer(place, asked, f"I hold that {SECRET}.")


async def _answer_voted_bad_as_well(town: Town, place: int) -> None:
    asked = await town.say(place, ODO, "Tell me of birds.")
    await town.answer(place, asked, f"I hold that {SECRET}.", 1, -1)


async def _undone(town: Town, place: int) -> None:
    asked = await town.say(place, ODO, f"Note that {SECRET}", "undone")
    await town.answer(place, asked, f"I hold that {SECRET}.", 1, state="undone")


async def _command(town: Town, place: int) -> None:
    await town.say(place, ODO, f"/teach Birds? => {SECRET}", "command")
    await town.say(place, ODO, "Tell me of birds.")


async def _file(town: Town, place: int) -> None:
    asked = await town.say(place, ODO, f"Read this{HEADING}chat.txt\nInes: {SECRET}")
    await town.answer(place, asked, "I have read it.", 1)


async def _forwarded(town: Town, place: int) -> None:
    asked = await town.say(place, ODO, f"Note that {SECRET}", forwarded=True)
    await town.answer(place, asked, "Noted, as you wish.", 1)


async def _named_speaker_who_did_not_agree(town: Town, place: int) -> None:
    async with town.database.session() as session:
        session.add(Speaker(assistant_id=town.owner, person=INES, named_by="Ada"))
    await town.say(place, ODO, "Has anybody seen a bird?", "overheard")
    await town.say(place, INES, f"Yes, {SECRET}", "overheard")


async def _context_of_a_named_speaker(town: Town, place: int) -> None:
    async with town.database.session() as session:
        session.add(Speaker(assistant_id=town.owner, person=ODO, named_by="Ada"))
    await town.say(place, INES, f"Has anybody heard that {SECRET}?", "overheard")
    await town.say(place, ODO, "I have heard of it, Ines, yes.", "overheard")


async def _name(town: Town, place: int) -> None:
    person = f"telegram:{SECRET}"
    asked = await town.say(place, person, "What is my name?")
    await town.answer(place, asked, "I know it, and keep it to myself.", 1)


async def _channel_is_off(town: Town, place: int) -> None:
    other = await town.channel("post:-9", learning=False)
    await town.agrees(INES, "post:-9")
    await town.good(other, INES, 3)
    asked = await town.say(other, INES, f"Note that {SECRET}")
    await town.answer(other, asked, "Noted, as you wish.", 1)


async def _parent_is_off(town: Town, place: int) -> None:
    await town.channel("post:-9", learning=False)
    topic = await town.channel("post:-9:4", parent_key="post:-9")
    await town.agrees(INES, "post:-9")
    asked = await town.say(topic, INES, f"Note that {SECRET}")
    await town.answer(topic, asked, "Noted, as you wish.", 1)


async def _discord_without_permission(town: Town, place: int) -> None:
    other = await town.channel("crow:5")
    await town.agrees(INES, "crow:5")
    asked = await town.say(other, INES, f"Note that {SECRET}")
    await town.answer(other, asked, "Noted, as you wish.", 1)


async def _account_that_nobody_knows(town: Town, place: int) -> None:
    other = await town.channel("gone:5")
    await town.agrees(INES, "gone:5")
    asked = await town.say(other, INES, f"Note that {SECRET}")
    await town.answer(other, asked, "Noted, as you wish.", 1)


async def _another_assistants_channel(town: Town, place: int) -> None:
    other = await town.channel("post:-9")
    async with town.database.session() as session:
        await add_assistant(session, "garden", "Grow.", "demo")
        await set_route(session, "channel", "post:-9", "garden")
    await town.agrees(INES, "post:-9")
    asked = await town.say(other, INES, f"Note that {SECRET}")
    await town.answer(other, asked, "Noted, as you wish.", 1)


async def _paused_by_an_operator(town: Town, place: int) -> None:
    other = await town.channel("post:-9")
    await town.agrees(INES, "post:-9")
    async with town.database.session() as session:
        session.add(
            Source(
                assistant_id=town.owner, kind="channel", external_id=str(other), title="", permission="",
                permission_by="", paused=True,
            )
        )  # fmt: skip
    asked = await town.say(other, INES, f"Note that {SECRET}")
    await town.answer(other, asked, "Noted, as you wish.", 1)


async def _taught_question_whose_asker_took_it_back(town: Town, place: int) -> None:
    await town.agrees(INES, "post:-7")
    await teach(town.database, "harbour", f"Is it true that {SECRET}?", "So they say.", "Ada",
                Asker(INES, "Ines", "post:-7", T0 + timedelta(days=1)))  # fmt: skip
    await town.agrees(INES, "post:-7", "out")


SMUGGLERS = [value for name, value in sorted(globals().items()) if name.startswith("_") and callable(value)
             and getattr(value, "__module__", "") == __name__]  # fmt: skip


@pytest.mark.parametrize("smuggle", SMUGGLERS, ids=lambda one: one.__name__.strip("_"))
async def test_no_way_leads_words_without_consent_to_training(town: Town, smuggle: Smuggle) -> None:
    place = await town.channel("post:-7")
    await town.agrees(ODO, "post:-7")
    await town.good(place, ODO)
    await smuggle(town, place)
    await town.good(place, ODO, 3)
    curated, words = await town.learnt()
    assert curated.examples >= 50, "what may be learnt still is"
    assert "heron" not in words and "spoons" not in words and "774411" not in words
    learnt = set().union(*[await town.texts(ids) for ids in curated.lineage.values()])
    assert not any("heron" in text or "spoons" in text for text in learnt)


async def test_every_smuggler_would_be_caught_red_handed(town: Town) -> None:
    """The test above can fail: the same words do come through where their author agrees."""
    place = await town.channel("post:-7")
    await town.agrees(ODO, "post:-7")
    await town.agrees(INES, "post:-7")
    await town.good(place, ODO)
    await _never_asked(town, place)
    await _repeated_by_an_answer(town, place)
    await town.good(place, ODO, 20)
    _, words = await town.learnt()
    assert words.count("forty silver spoons") >= 2
    assert len(SMUGGLERS) > 20


async def test_discord_is_learnt_from_once_the_platforms_permission_is_recorded(town: Town) -> None:
    place = await town.channel("crow:5")
    await town.agrees("discord:1", "crow:5")
    await town.good(place, "discord:1")
    async with town.database.long_session() as session:
        assert (await measure(session, town.owner)).examples == 0
        await session.execute(update(Account).where(Account.name == "crow").values(permission="case 12"))
        assert (await measure(session, town.owner)).examples == 50


async def test_named_speakers_are_learnt_when_they_talk_to_others(town: Town) -> None:
    place = await town.channel("post:-7")
    for person in (ODO, RUNA):
        await town.agrees(person, "post:-7")
    async with town.database.session() as session:
        session.add(Speaker(assistant_id=town.owner, person=RUNA, named_by="Ada"))
    for at in range(50):
        await town.say(place, ODO, f"How is the {FRUITS[at % 7]} of garden {at * at}?", "overheard", at * 5000 + 100)
        await town.say(
            place, RUNA, f"The {FRUITS[at % 7]} at gate {at * 31 % 97} is ripe.", "overheard", at * 5000 + 150
        )
    asked = await town.say(place, RUNA, "Assistant, what is a medlar worth?", "said", 10**6)
    await town.answer(place, asked, "Three pennies and a song.")
    curated, words = await town.learnt()
    assert (curated.examples, curated.people) == (50, 2)
    assert all(json.loads(line)["messages"][-1]["content"].endswith("is ripe.") for line in words.splitlines() if line)


async def test_a_reply_is_learnt_as_the_answer_to_what_it_replies_to(town: Town) -> None:
    place = await town.channel("post:-7")
    for person in (ODO, INES, RUNA):
        await town.agrees(person, "post:-7")
    async with town.database.session() as session:
        session.add(Speaker(assistant_id=town.owner, person=RUNA, named_by="Ada"))
    for at in range(45):
        when = at * 9000 + 100
        await town.say(place, ODO, f"Where grows the {FRUITS[at % 7]} {at}?", "overheard", when, external_id=f"q{at}")
        await town.say(place, INES, f"It rains on roof {at * at} today.", "overheard", when + 1000)
        await town.say(place, RUNA, f"By gate {at * 31 % 97}, and high.", "overheard", when + 1010, reply_to=f"q{at}")
    _, words = await town.learnt()
    assert words.count("By gate") == 45
    assert "It rains" not in words


async def test_nothing_is_learnt_across_what_is_missing(town: Town) -> None:
    """A question whose answer was not voted for is not taken for part of the next one."""
    place = await town.channel("post:1", private=True)
    await town.agrees(ODO, "post:1")
    for at in range(45):
        when = at * 5000 + 100
        first = await town.say(place, ODO, f"Is the {FRUITS[at % 7]} {at} sweet?", at=when)
        second = await town.say(place, ODO, f"And what of wall {at * at}, {FRUITS[at % 5]}?", at=when + 9)
        await town.answer(place, first, f"I cannot say anything of {at}.")
        await town.answer(place, second, f"It stands {at * 17 % 89} feet high since year {at}.", 1)
    _, words = await town.learnt()
    assert "feet high" in words
    assert "sweet?" not in words and "cannot say" not in words


async def test_the_funnel_says_how_much_had_no_consent(town: Town) -> None:
    place, silent_place = await town.channel("post:-7"), await town.channel("post:-6")
    await town.agrees(ODO, "post:-7")
    await town.good(place, ODO)
    for at in range(5):
        await town.say(place, INES, f"Not for you {at}")
        await town.say(silent_place, INES, f"Nor this {at}")
    async with town.database.long_session() as session:
        measured = await measure(session, town.owner)
        assert list(await session.scalars(select(Source))) == [], "looking makes no rows"
    first, second, *_ = measured.funnel
    assert first.to_json() == {"step": "with consent", "in": 110, "out": 100}
    assert second.came_in == 100
    curated, _ = await town.learnt()
    assert curated.funnel == measured.funnel
    assert {row.person for row in await _consents(town)} == {ODO}


async def _consents(town: Town) -> list[Any]:
    async with town.database.session() as session:
        return list(await list_consents(session))


def test_files_are_known_by_the_mark_that_the_log_gives_them() -> None:
    assert HEADING.strip() == FILE.strip() and HEADING.endswith(FILE)
    assert curation.channel_log.FILE is FILE


async def test_votes_reach_the_trainer_only_with_consent_and_where_people_agree(town: Town) -> None:
    post = await town.channel("post:1", private=True)
    await town.agrees(ODO, "post:1")
    await town.good(post, ODO)
    asked = [await town.say(post, ODO, f"And the {fruit} by the well?") for fruit in FRUITS[:4]]
    bad = await town.answer(post, asked[0], "Go away, write to ada@harbour.example.", -1, -1)
    await town.answer(post, asked[1], "Some like it.", 1, -1)
    await town.answer(post, asked[2], "Nobody said how this was.")
    hers = await town.say(post, INES, "I never agreed to anything")
    await town.answer(post, hers, "As you say.", -1)
    curated, _ = await town.learnt()
    lines = [json.loads(line) for line in (town.folder / "job0" / "votes.jsonl").read_text().splitlines()]
    assert [line["good"] for line in lines].count(True) == curated.train
    against = [line["messages"] for line in lines if not line["good"]]
    assert against == [[
        {"role": "user", "content": f"And the {FRUITS[0]} by the well?"},
        {"role": "assistant", "content": "Go away, write to [email]."},
    ]]  # fmt: skip
    assert bad in {number for ids in curated.lineage.values() for number in ids}


async def test_voted_answers_go_the_way_of_every_conversation(town: Town) -> None:
    """One detail has one placeholder in question and answer, the gate looks for it, and whoever talks in the group is
    called by a pseudonym."""
    post = await town.channel("post:-7")
    for person in (ODO, INES):
        await town.agrees(person, "post:-7")
    await town.good(post, ODO)
    await town.say(post, INES, "I am here as well")
    asked = await town.say(post, ODO, "Is it ada@harbour.example or bob@harbour.example, and who knows?")
    bad = await town.answer(post, asked, "bob@harbour.example, @Ines, not ada@harbour.example.", -1)
    async with town.database.session() as session:
        for person, name in ((ODO, "Odo Brandt"), (INES, "Ines Aune")):
            await session.execute(update(Message).where(Message.author_key == person).values(author=name))
    await town.learnt()
    folder = town.folder / "job0"
    lines = [json.loads(line) for line in (folder / "votes.jsonl").read_text().splitlines()]
    assert [[turn["content"] for turn in line["messages"]] for line in lines if not line["good"]] == [
        ["Is it [email] or [email 2], and who knows?", f"[email 2], @{pseudonym(INES)}, not [email]."]
    ]
    secrets = (folder / "secrets.txt").read_text().split()
    assert detail_digest("bob@harbour.example").hex() in secrets
    async with town.database.long_session() as session:
        shown, counts = await redactions(session, town.owner, 10)
    assert {one.message_id for one in shown} == {asked, bad} and counts == {"email": 4}


async def test_a_good_answers_details_are_counted_once(town: Town) -> None:
    post = await town.channel("post:1", private=True)
    await town.agrees(ODO, "post:1")
    await town.good(post, ODO)
    asked = await town.say(post, ODO, "Whom do I write to?")
    await town.answer(post, asked, "To ada@harbour.example, always.", 1)
    async with town.database.long_session() as session:
        shown, counts = await redactions(session, town.owner, 10)
    assert (len(shown), counts) == (1, {"email": 1})


async def test_where_nobody_voted_there_is_no_file_of_votes(town: Town) -> None:
    post = await town.channel("post:1")
    await town.agrees(ODO, "post:1")
    async with town.database.session() as session:
        session.add(Speaker(assistant_id=town.owner, person=RUNA, named_by="web:1"))
    await town.agrees(RUNA, "post:1")
    for at in range(60):
        await town.say(
            post, ODO, f"{FRUITS[at % 7]} number {at * at}, ripe or not, neighbour {at}?", "overheard", at * 5000 + 100
        )
        await town.say(
            post,
            RUNA,
            f"The {FRUITS[at % 7]} tree {at * 31 % 97} by wall {at} says {at}.",
            "overheard",
            at * 5000 + 150,
        )
    await town.learnt()
    assert not (town.folder / "job0" / "votes.jsonl").exists()
