"""Talks that go on while their assistant is retrained, promoted and rolled back; each answer is held to account."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from bots.events import Answer, Notice, Said
from config.errors import JobFailed
from config.names import VersionName
from console.demo.questions import QUESTIONS
from console.demo.stage import HARBOUR, LATER, Stage, message
from console.demo.teach import import_export, show_gate, tune
from console.output import Steps, console
from serving.router import set_route
from store.columns import now
from store.tables import Promotion
from tuning.versions import promote, rollback

TALKS = 8
ENOUGH = 16
"""Answers awaited after each move of the pointer."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """One answer: when it was asked for, began and ended, and the version that gave it."""

    asked: datetime
    began: datetime
    ended: datetime
    version: str


class Talk:
    """Questions asked one after another in a channel of the harbour's, until stopped. A lost answer is an error."""

    def __init__(self, stage: Stage, name: str, pause: float, heard: asyncio.Queue[Spoken]) -> None:
        self.spoken: list[Spoken] = []
        self._heard = heard
        self._stage = stage
        self._name = name
        self._pause = pause
        self._stopping = False

    async def go_on(self) -> None:
        """Ask until `stop`; the answer under way is heard to its end."""
        async with self._stage.database.session() as session:
            await set_route(session, "channel", f"demo:{self._name}", HARBOUR.name)
        while not self._stopping:
            number = len(self.spoken)
            self.spoken.append(await self._one(QUESTIONS[number % len(QUESTIONS)], str(number)))
            self._heard.put_nowait(self.spoken[-1])
            await asyncio.sleep(self._pause)

    def stop(self) -> None:
        """No further question."""
        self._stopping = True

    async def _one(self, question: str, external_id: str) -> Spoken:
        asked, began, answer, trouble = now(), None, None, "nothing was said"
        async for event in self._stage.conversation.handle(message(self._name, question, external_id)):
            if isinstance(event, Said):
                began = began or now()
            elif isinstance(event, Answer):
                answer = event
            elif isinstance(event, Notice):
                trouble = event.text
        if answer is None or answer.cut:
            raise JobFailed(f"An answer in the demo was lost: {trouble}")
        return Spoken(asked, began or asked, now(), answer.version)


async def retrain_while_talking(stage: Stage, shown: Steps) -> None:
    """More of the log, a new version, and a conversation that goes on through all of it."""
    console.print("\n[bold]More of the harbour's log[/bold], retrained while a conversation with it goes on")
    found = await import_export(stage, HARBOUR, LATER, shown)
    console.print(
        f"  {found.messages:,} messages, {found.new:,} of them new, {found.changed:,} edited since", markup=False
    )
    stage.proof.claim("a longer export of the same chat added just what is new", 0 < found.new < found.messages)
    talk = Talk(stage, "meanwhile", 2, asyncio.Queue())
    async with asyncio.TaskGroup() as group:
        group.create_task(talk.go_on())
        version, report = await tune(stage, HARBOUR, shown)
        talk.stop()
    show_gate(version, report)
    stage.proof.figures["retrain"] = {"version": str(version), "report": report, "new_messages": found.new}
    stage.proof.figures["answers_while_retraining"] = len(talk.spoken)
    stage.proof.claim(f"{version}, taught more, passed its gate", report["verdict"] == "pass")
    old = {spoken.version for spoken in talk.spoken}
    stage.proof.claim("while it was retrained every question was answered, by the old version", old == {"harbour@v1"})
    if report["verdict"] == "pass":
        shown.say("Promoting and rolling back in the middle of answers")
        await _swap(stage, version)


async def _swap(stage: Stage, version: VersionName) -> None:
    """Promote and roll back while several talks stream, then check who said what."""
    heard: asyncio.Queue[Spoken] = asyncio.Queue()
    talks = [Talk(stage, f"swap-{number}", 0, heard) for number in range(TALKS)]

    async def hear(count: int) -> None:
        while not heard.empty():
            heard.get_nowait()
        for _ in range(count):
            await heard.get()

    async with asyncio.TaskGroup() as group:
        for talk in talks:
            group.create_task(talk.go_on())
        await hear(ENOUGH)
        await promote(stage.database, stage.engine.client, HARBOUR.name, version.number, "demo")
        await hear(ENOUGH)
        await rollback(stage.database, stage.engine.client, HARBOUR.name, "demo")
        await hear(ENOUGH)
        for talk in talks:
            talk.stop()
    async with stage.database.session() as session:
        moved = await session.scalars(select(Promotion.created_at).order_by(Promotion.id.desc()).limit(2))
        back, forth = moved.all()
    spoken = [one for talk in talks for one in talk.spoken]
    across = [sum(one.began < moment < one.ended for one in spoken) for moment in (forth, back)]
    right = all(one.version in _allowed(one, forth, back, "harbour@v1", str(version)) for one in spoken)
    stage.proof.figures["swap"] = {
        "answers": len(spoken), "under_way_at_promotion": across[0], "under_way_at_rollback": across[1],
        "by_version": {name: sum(one.version == name for one in spoken) for name in ("harbour@v1", str(version))},
    }  # fmt: skip
    stage.proof.claim("answers were under way when it was promoted and when it was rolled back", min(across) > 0)
    stage.proof.claim("each answer came from the version in service when it began, and none was lost", right)
    console.print(
        f"  {len(spoken)} answers from {TALKS} conversations at once; {across[0]} were under way at the promotion and "
        f"{across[1]} at the rollback, and each kept the version it began with"
    )


def _allowed(one: Spoken, forth: datetime, back: datetime, old: str, new: str) -> set[str]:
    """The versions that may have given this answer; two where the pointer moved between asking and the first word."""
    versions = set()
    if one.asked < forth or one.began > back:
        versions.add(old)
    if one.began > forth and one.asked < back:
        versions.add(new)
    return versions
