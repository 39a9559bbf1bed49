"""Retrains that begin by themselves: when it is time, where there is something new, and never on top of another."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from chat_exports import add_assistant, chat, silent, talk, written
from sqlalchemy import select

from config.errors import BadInput, NotFound
from store.database import Database
from store.tables import Channel, Consent, Job, Message, Route
from tuning.importing import import_file
from tuning.jobs import enqueue
from tuning.schedule import BY, Scheduler, Timetable, hours_from, learnable_since, set_timetable, timetable_of

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
    clock.at += timedelta(days=2)
    assert await scheduler.look() == []  # nothing new since


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
