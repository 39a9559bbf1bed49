"""Channels of invented people with one assistant in them, and what curation makes of it all."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from chat_exports import silent
from sqlalchemy import select, update

from serving.router import set_route
from store.assistants import add_assistant
from store.consents import decide
from store.database import Database
from store.tables import Account, Channel, Consent, Message, Vote
from tuning.curation import Curated, curate

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
FRUITS = ("apple", "plum", "quince", "medlar", "cherry", "damson", "pear")
ODO, INES, RUNA = "telegram:1", "telegram:2", "telegram:3"


@dataclass
class Town:
    """A database with one assistant, and short words to fill its channels."""

    database: Database
    folder: Path
    owner: int = 0
    clock: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    runs: itertools.count[int] = field(default_factory=itertools.count)

    async def channel(self, key: str, *, private: bool = False, **more: Any) -> int:
        async with self.database.session() as session:
            row = Channel(key=key, account=key.split(":")[0], private=private, **more)
            session.add(row)
            await session.flush()
            return row.id

    async def agrees(self, person: str, chat: str, state: Any = "in", after: int = 0) -> None:
        async with self.database.session() as session:
            await decide(session, person, chat, state, "May I?")
            await session.execute(
                update(Consent)
                .where(Consent.person == person, Consent.chat == chat)
                .values(decided_at=T0 + timedelta(seconds=after))
            )

    async def say(
        self, channel: int, person: str | None, text: str, state: str = "said", at: int | None = None, **more: Any
    ) -> int:
        moment = T0 + timedelta(seconds=next(self.clock) * 1000 if at is None else at)
        async with self.database.session() as session:
            row = Message(
                channel_id=channel, role="user", state=state, author_key=person, author=f"Name of {person}", text=text,
                created_at=moment, **more,
            )  # fmt: skip
            session.add(row)
            await session.flush()
            return row.id

    async def answer(self, channel: int, question: int, text: str, *votes: int, state: str = "said") -> int:
        async with self.database.session() as session:
            row = Message(
                channel_id=channel, role="assistant", state=state, author="", text=text, answers=question,
                created_at=T0 + timedelta(seconds=next(self.clock) * 1000),
            )  # fmt: skip
            session.add(row)
            await session.flush()
            session.add_all(Vote(message_id=row.id, voter=f"v:{at}", value=vote) for at, vote in enumerate(votes))
            return row.id

    async def good(self, channel: int, person: str, many: int = 50) -> None:
        """So many exchanges of this person that may all be learnt."""
        for at in range(many):
            asked = await self.say(channel, person, f"{FRUITS[at % 7]} number {at * at}, ripe or not, neighbour {at}?")
            await self.answer(
                channel, asked, f"The {FRUITS[at % 7]} tree {at * 31 % 97} by wall {at} says yes {at}.", 1
            )

    async def learnt(self) -> tuple[Curated, str]:
        """What curation makes of it all, and every word that reached its files."""
        folder = self.folder / f"job{next(self.runs)}"
        curated = await curate(self.database, self.owner, folder, silent)
        return curated, "\n".join(file.read_text() for file in folder.iterdir())

    async def texts(self, ids: list[int]) -> set[str]:
        async with self.database.session() as session:
            return set(await session.scalars(select(Message.text).where(Message.id.in_(ids))))


async def build_town(database: Database, folder: Path) -> Town:
    """One assistant that answers everywhere; post is on Telegram, crow on Discord."""
    made = Town(database, folder)
    async with database.session() as session:
        made.owner = (await add_assistant(session, "harbour", "Be kind.", "demo")).id
        await set_route(session, "default", "", "harbour")
        for name, platform in (("post", "telegram"), ("crow", "discord")):
            session.add(Account(name=name, platform=platform, external_id=name, username=name, token="t"))
    return made
