"""Retrains that begin by themselves: when it is time, where there is something new, and never on top of another."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from chat_exports import add_assistant, chat, silent, talk, written
from sqlalchemy import select, text, update

from config.errors import BadInput, NotFound
from store.consents import decide
from store.database import Database
from store.tables import Assistant, Channel, Consent, Import, Job, Message, Route, Source, SourceAuthor, Vote
from tuning.importing import import_file
from tuning.jobs import enqueue
from tuning.schedule import BY, Scheduler, Timetable, hours_from, learnable_since, set_timetable, timetable_of
from tuning.teaching import Asker, teach

NIGHTLY = Timetable(every_days=1, hours=(1, 6))


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.at


async def jobs(database: Database) -> list[tuple[str, str]]:
    async with database.session() as session:
        return [(job.state, job.asked_by) for job in await session.scalars(select(Job))]


async def imported(database: Database, folder: Path) -> None:
    await import_file(database, written(folder, chat(talk(60))), "harbour", "Runa", "Ingrid", silent)


@pytest.mark.parametrize(
    ("hours", "inside", "outside"),
    [((1, 6), (1, 5), (0, 6, 23)), ((22, 5), (22, 23, 0, 4), (5, 12, 21)), (None, (0, 12, 23), ())],
)
def test_hours_may_run_over_midnight(
    hours: tuple[int, int] | None, inside: tuple[int, ...], outside: tuple[int, ...]
) -> None:
    timetable = Timetable(every_days=1, hours=hours)
    assert all(timetable.allows(hour) for hour in inside)
    assert not any(timetable.allows(hour) for hour in outside)


def test_whichever_comes_first_and_never_without_anything_new() -> None:
    either = Timetable(every_days=7, after_messages=100)
    assert either.due(timedelta(days=1), 100) and either.due(timedelta(days=7), 1)
    assert not either.due(timedelta(days=6), 99) and not either.due(timedelta(days=70), 0)


@pytest.mark.parametrize("text", ["", "6", "25-3", "4-4", "noon"])
def test_what_is_no_span_of_hours_is_one_sentence(text: str) -> None:
    with pytest.raises(BadInput, match="span of hours"):
        hours_from(text)


def test_hours_are_read_as_people_write_them() -> None:
    assert [hours_from(text) for text in ("1-6", "22:00 - 06:00", "20–24", "1 to 3")] == [
        (1, 6),
        (22, 6),
        (20, 0),
        (1, 3),
    ]


async def test_it_is_off_until_set_and_can_be_taken_back(database: Database) -> None:
    await add_assistant(database)
    assert await timetable_of(database, "harbour") is None
    await set_timetable(database, "harbour", NIGHTLY, "Ingrid")
    assert await timetable_of(database, "harbour") == NIGHTLY
    assert NIGHTLY.sentence == "It learns by itself every day, between 1:00 and 6:00."
    await set_timetable(database, "harbour", None, "Ingrid")
    assert await timetable_of(database, "harbour") is None
    with pytest.raises(NotFound):
        await set_timetable(database, "nobody", NIGHTLY, "Ingrid")
    for wrong in (Timetable(), Timetable(every_days=0), Timetable(after_messages=-3)):
        with pytest.raises(BadInput):
            await set_timetable(database, "harbour", wrong, "Ingrid")


async def test_a_retrain_begins_when_it_is_due_once_and_in_its_hours(database: Database, tmp_path: Path) -> None:
    await add_assistant(database)
    await set_timetable(database, "harbour", NIGHTLY, "Ingrid")
    await imported(database, tmp_path)
    clock = Clock()
    scheduler = Scheduler(database, clock)
    assert await scheduler.look() == []  # not a day has passed
    clock.at = (clock.at + timedelta(days=2)).replace(hour=12)
    assert await scheduler.look() == []  # not in its hours
    clock.at = clock.at.replace(hour=2)
    assert await scheduler.look() == ["harbour"]
    assert await jobs(database) == [("queued", BY)]
    await ended(database, "done", clock.at)
    clock.at += timedelta(days=2)
    assert await scheduler.look() == []  # nothing new since


async def ended(database: Database, state: str, started: datetime) -> None:
    """The jobs there are ended like this, after they had begun then."""
    async with database.session() as session:
        await session.execute(update(Job).where(Job.state == "queued").values(state=state, started_at=started))


async def more(database: Database, at: datetime, count: int = 12, **about: Any) -> int:
    """An import of so many messages at that moment, of a source of its own; its row."""
    async with database.session() as session:
        owner = (await session.scalars(select(Assistant.id))).one()
        known = {"assistant_id": owner, "kind": "telegram", "permission": "", "permission_by": "", "title": "Quay"}
        external = f"more {at} {about}"
        source = Source(**{**known, "external_id": external, "speakers": ["user1"], **about})
        session.add(source)
        await session.flush()
        session.add(
            Import(source_id=source.id, file_digest="", messages_new=count - 2, messages_changed=2, created_at=at)
        )
        return source.id


async def test_a_retrain_begins_after_so_many_new_messages_in_its_hours_and_never_unasked(database: Database) -> None:
    await add_assistant(database)
    clock = Clock()
    clock.at = (clock.at + timedelta(days=1)).replace(hour=12)
    scheduler = Scheduler(database, clock)
    await more(database, clock.at)
    assert await scheduler.look() == [] and await jobs(database) == []  # off until somebody sets it
    await set_timetable(database, "harbour", Timetable(after_messages=13, hours=(1, 6)), "Ingrid")
    clock.at = clock.at.replace(hour=3)
    assert await scheduler.look() == []  # one is missing
    await more(database, clock.at, count=3)
    clock.at = clock.at.replace(hour=7)
    assert await scheduler.look() == []  # not in its hours
    clock.at = (clock.at + timedelta(days=1)).replace(hour=1)
    assert await scheduler.look() == ["harbour"]
    assert await jobs(database) == [("queued", BY)]
    assert await scheduler.look() == []  # it waits already


async def test_it_is_counted_from_the_last_retrain_that_ended_well_whoever_asked_for_it(database: Database) -> None:
    await add_assistant(database)
    await set_timetable(database, "harbour", Timetable(after_messages=12), "Ingrid")
    clock = Clock()
    scheduler = Scheduler(database, clock)
    begun = clock.at + timedelta(hours=1)
    await more(database, clock.at + timedelta(minutes=30))
    await enqueue(database, "harbour", "Ingrid")
    await ended(database, "done", begun)
    clock.at += timedelta(hours=3)
    assert await scheduler.look() == []  # it learnt from these
    await more(database, begun + timedelta(minutes=1))  # while it was learning
    assert await scheduler.look() == ["harbour"]


@pytest.mark.parametrize("state", ["failed", "cancelled"])
async def test_what_failed_or_was_stopped_is_tried_again_a_day_later_with_all_that_is_new(
    database: Database, state: str
) -> None:
    await add_assistant(database)
    await set_timetable(database, "harbour", Timetable(after_messages=12), "Ingrid")
    clock = Clock()
    scheduler = Scheduler(database, clock)
    await more(database, clock.at + timedelta(minutes=1))
    assert await scheduler.look() == ["harbour"]
    await ended(database, state, clock.at)
    clock.at += timedelta(hours=19)
    assert await scheduler.look() == []
    clock.at += timedelta(hours=5)
    assert await scheduler.look() == ["harbour"]


async def test_a_running_job_does_not_use_up_what_comes_meanwhile(database: Database) -> None:
    await add_assistant(database)
    await set_timetable(database, "harbour", Timetable(after_messages=12), "Ingrid")
    clock = Clock()
    await enqueue(database, "harbour", "Ingrid")
    await more(database, clock.at + timedelta(minutes=1))
    assert await Scheduler(database, clock).look() == []
    await ended(database, "failed", clock.at)
    assert await Scheduler(database, clock).look() == ["harbour"]


async def test_what_is_paused_or_without_a_speaker_does_not_count(database: Database) -> None:
    owner = await add_assistant(database)
    since = datetime.now(UTC)
    later = since + timedelta(minutes=1)
    await more(database, later, speakers=None)
    await more(database, later, paused=True)
    await more(database, since - timedelta(minutes=1))
    async with database.session() as session:
        assert await learnable_since(session, owner, since) == 0
    await more(database, later)
    async with database.session() as session:
        assert await learnable_since(session, owner, since) == 12


async def test_taught_pairs_count_while_their_askers_agree(database: Database) -> None:
    owner = await add_assistant(database)
    since = datetime.now(UTC) - timedelta(hours=1)
    async with database.session() as session:
        session.add(Channel(key="web:1", account="web", private=False))
        await decide(session, "telegram:1", "web:1", "in", "May I?")
        await session.execute(update(Consent).values(decided_at=since))
    await teach(database, "harbour", "When do you open?", "At six.", "Ada")
    asker = Asker("telegram:1", "Odo", "web:1", datetime.now(UTC))
    await teach(database, "harbour", "Is it true?", "It is.", "Ada", asker)
    async with database.session() as session:
        assert await learnable_since(session, owner, since) == 4
        await decide(session, "telegram:1", "web:1", "out", "May I?")
        assert await learnable_since(session, owner, since) == 2


async def test_300_000_messages_hold_nobody_up(database: Database) -> None:
    """Counted every minute beside everybody who waits for an answer."""
    await add_assistant(database)
    await set_timetable(database, "harbour", Timetable(after_messages=10_000_000), "Ingrid")
    source = await more(database, datetime.now(UTC) + timedelta(minutes=1))
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) "
    async with database.long_session() as session:
        session.add(SourceAuthor(source_id=source, external_id="user1", name="Odo"))
        session.add(Channel(key="web:1", account="web", private=False))
        session.add(Route(scope="default", key="", assistant_id=1))
        await decide(session, "telegram:1", "web:1", "in", "May I?")
        await session.execute(
            text(
                "INSERT INTO source_messages (source_id, import_id, external_id, author_id, sent_at, forwarded, text, "
                f"digest) {numbers} SELECT {source}, 1, i, 1, i, 0, x'01', x'02' FROM n"
            )
        )
        await session.execute(
            text(
                "INSERT INTO messages (channel_id, role, state, author_key, author, text, forwarded, created_at) "
                f"{numbers} SELECT 1, 'user', 'said', 'telegram:1', x'01', x'02', 0, '2099-01-01' FROM n"
            )
        )
    longest, before = 0.0, time.perf_counter()
    looking = asyncio.create_task(Scheduler(database).look())
    while not looking.done():
        await asyncio.sleep(0.01)
        longest, before = max(longest, time.perf_counter() - before), time.perf_counter()
    assert await looking == []
    assert longest < 1.0, "as little as a busy machine keeps; inline it took seconds"
    async with database.long_session() as session:
        assert await learnable_since(session, 1, datetime.now(UTC)) == 300_012


async def test_one_that_is_learning_already_is_left_alone(database: Database, tmp_path: Path) -> None:
    await add_assistant(database)
    await set_timetable(database, "harbour", Timetable(after_messages=10), "Ingrid")
    await imported(database, tmp_path)
    await enqueue(database, "harbour", "Ingrid")
    assert await Scheduler(database).look() == []
    assert await jobs(database) == [("queued", "Ingrid")]


async def test_only_messages_that_may_be_learnt_from_count(database: Database) -> None:
    owner = await add_assistant(database)
    since = datetime.now(UTC) - timedelta(hours=1)
    async with database.session() as session:
        session.add(Route(scope="default", key="", assistant_id=owner))
        channel = Channel(key="web:1", account="web", private=False)
        session.add(channel)
        await session.flush()
        consent = {"chat": "web:1", "shown": "May I?", "decided_at": datetime.now(UTC) - timedelta(minutes=30)}
        session.add(Consent(person="telegram:1", state="in", **consent))
        session.add(Consent(person="telegram:2", state="out", **consent))
        for person, minutes in (("telegram:1", 20), ("telegram:1", 40), ("telegram:2", 20), ("telegram:3", 20)):
            at = datetime.now(UTC) - timedelta(minutes=minutes)
            session.add(
                Message(channel_id=channel.id, role="user", state="said", author_key=person, author="A", text="Hi",
                        created_at=at)
            )  # fmt: skip
    async with database.session() as session:
        assert await learnable_since(session, owner, since) == 1
        assert await learnable_since(session, owner, datetime.now(UTC)) == 0
        asked = await session.scalars(select(Message.id).order_by(Message.id))
        for question, votes in zip(asked.all(), ((1,), (1,), (1, -1), (1,)), strict=True):
            answer = Message(channel_id=channel.id, role="assistant", author="", text="Aye", answers=question)
            session.add(answer)
            await session.flush()
            session.add_all(Vote(message_id=answer.id, voter=f"v:{at}", value=one) for at, one in enumerate(votes))
        await session.flush()
        assert await learnable_since(session, owner, since) == 2  # one answer: the other asked before they agreed
        assert await learnable_since(session, owner, datetime.now(UTC) - timedelta(minutes=5)) == 1
