"""The line before the engine: who comes next, who is sent away, and that a place which is left is free."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from fake_engine import FakeEngine

from config.errors import Busy
from serving.entrance import Entrance
from serving.waiting_line import WaitingLine
from tuning.gate.losses import AT_ONCE


class Room:
    """People who take their places in a line and hold them until they are told to go."""

    def __init__(self, line: WaitingLine) -> None:
        self.line = line
        self.served: list[str] = []
        self.told: dict[str, float] = {}
        self.going: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, *names: str, patience: float = 300.0) -> None:
        """Each name is ASSISTANT/PERSON/WHAT; all of them stand in line or are served when this returns."""
        for name in names:
            self.going[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._stay(name, patience))
        await settled()

    async def _stay(self, name: str, patience: float) -> None:
        assistant, person, _ = name.split("/")

        def told(seconds: float) -> None:
            self.told[name] = seconds

        async with self.line.place(assistant, person, patience=patience, told=told):
            self.served.append(name)
            await self.going[name].wait()

    async def go(self, name: str) -> None:
        self.going[name].set()
        await settled()

    async def all_go(self) -> list[str]:
        """One after another; the order in which they were served."""
        for name in self.served:  # grows while it is read
            await self.go(name)
        return self.served

    async def close(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        assert self.line.taken == 0 and self.line.waiting == 0


async def settled() -> None:
    """Everything that can go on without anybody doing anything has gone on."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
async def rooms():
    async with AsyncExitStack() as stack:

        def make(places: int, longest: int | None = None) -> Room:
            room = Room(WaitingLine(places, longest))
            stack.push_async_callback(room.close)
            return room

        yield make


async def test_places_are_taken_at_once_up_to_their_number(rooms):
    room = rooms(2)
    await room.come("a/x/1", "a/x/2", "a/x/3")
    assert room.served == ["a/x/1", "a/x/2"] and room.line.waiting == 1
    await room.go("a/x/1")
    assert room.served[-1] == "a/x/3"


async def test_a_busy_assistant_does_not_keep_another_waiting_behind_all_it_was_asked(rooms):
    room = rooms(1)
    await room.come(*(f"busy/p{n}/1" for n in range(6)), "quiet/ada/1", "quiet/bo/1", "third/cy/1")
    order = await room.all_go()
    assert order == [
        "busy/p0/1", "quiet/ada/1", "third/cy/1", "busy/p1/1", "quiet/bo/1", "busy/p2/1", "busy/p3/1", "busy/p4/1",
        "busy/p5/1",
    ]  # fmt: skip


async def test_a_busy_person_does_not_keep_others_of_the_same_assistant_waiting(rooms):
    room = rooms(1)
    await room.come(*(f"a/eager/{n}" for n in range(5)), "a/calm/1")
    order = await room.all_go()
    assert order.index("a/calm/1") == 1
    assert [name for name in order if "eager" in name] == [f"a/eager/{n}" for n in range(5)]


async def test_who_has_places_already_comes_after_who_has_none(rooms):
    room = rooms(3)
    await room.come("busy/p/1", "busy/p/2", "busy/p/3", "busy/p/4", "quiet/q/1")
    await room.go("busy/p/1")
    assert room.served[-1] == "quiet/q/1"


async def test_someone_who_comes_again_and_again_does_not_overtake_who_waits(rooms):
    room = rooms(1)
    await room.come("a/x/0", "b/y/0", "b/y/1", "b/y/2")
    for turn in range(3):
        await room.come(f"a/x/{turn + 1}", f"c/z/{turn}")
        await room.go(room.served[-1])
        await room.go(room.served[-1])
        await room.go(room.served[-1])
    assert [name for name in room.served if name.startswith("b/")] == ["b/y/0", "b/y/1", "b/y/2"]


async def test_a_place_that_is_left_in_any_way_is_free(rooms):
    room = rooms(1)
    await room.come("a/x/1", "a/x/2", "b/y/1", "b/y/2")
    room.tasks["b/y/1"].cancel()  # while it waits
    await settled()
    assert room.line.waiting == 2
    room.tasks["a/x/1"].cancel()  # while it is served
    await settled()
    assert len(room.served) == 2 and room.line.taken == 1


async def test_beyond_the_bound_one_is_told_when_to_try_again(rooms):
    room = rooms(1, longest=3)
    room.line.took(20.0)
    await room.come("a/x/1", "a/x/2", "a/x/3", "a/x/4", "a/x/5")
    with pytest.raises(Busy, match="about 70 seconds") as raised:
        await room.tasks["a/x/5"]
    assert raised.value.seconds == 70
    assert room.line.waiting == 3


async def test_a_full_line_makes_room_for_who_has_less_in_it(rooms):
    room = rooms(1, longest=4)
    await room.come("a/x/0", *(f"a/x/{n}" for n in range(1, 5)), "b/y/1")
    with pytest.raises(Busy):
        await room.tasks["a/x/4"]  # the last of whoever has the most
    assert room.line.waiting == 4
    await room.go("a/x/0")
    assert room.served[-1] == "b/y/1"


async def test_between_people_of_one_assistant_room_is_made_too(rooms):
    room = rooms(1, longest=3)
    await room.come("a/x/0", "a/x/1", "a/x/2", "a/x/3", "a/y/1")
    with pytest.raises(Busy):
        await room.tasks["a/x/3"]
    assert not room.tasks["a/y/1"].done()


async def test_nobody_is_pushed_out_for_someone_who_has_as_much(rooms):
    room = rooms(1, longest=2)
    await room.come("a/x/0", "a/x/1", "b/y/1", "c/z/1")
    with pytest.raises(Busy):
        await room.tasks["c/z/1"]
    assert room.line.waiting == 2


async def test_the_wait_is_told_by_how_long_others_took_and_how_many_come_before(rooms):
    room = rooms(2)
    room.line.took(10.0)
    await room.come("a/x/1", "a/x/2", "a/x/3", "a/x/4", "a/x/5", "b/y/1")
    assert room.told == {"a/x/3": 5.0, "a/x/4": 5.0, "a/x/5": 15.0, "b/y/1": 5.0}


async def test_who_would_wait_longer_than_they_will_is_told_at_once_and_else_at_their_deadline(rooms):
    room = rooms(1)
    await room.come("a/x/1")
    room.line.took(60.0)
    await room.come("a/x/2", patience=20.0)
    with pytest.raises(Busy):
        await room.tasks["a/x/2"]
    await room.come("a/x/3", patience=0.05 + room.line.expected("a", "x"))
    room.line.seconds_each = 0.0
    await room.come("a/x/4", patience=0.01)
    with pytest.raises(Busy):
        await room.tasks["a/x/4"]
    assert room.line.waiting == 1


async def test_as_many_places_as_the_gate_takes_at_once_are_kept_for_it():
    assert Entrance(FakeEngine(), 32).line.places == 32 - AT_ONCE
    assert Entrance(FakeEngine(), 256).line.places == 256 - AT_ONCE


async def test_nothing_is_kept_of_who_has_gone(rooms):
    room = rooms(2)
    await room.come(*(f"a{n % 7}/p{n}/1" for n in range(15)))
    await room.all_go()
    await asyncio.gather(*room.tasks.values())
    assert not room.line._waiting and not room.line._people
    assert not room.line._assistants._served and not room.line._assistants.taken
