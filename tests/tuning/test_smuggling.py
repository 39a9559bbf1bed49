"""Curation admits words by the rules of consent alone, whatever kind of source they come from.

Walks every kind that there is, first to see that its words do come through where they may, then by each way on which
they must not. A kind that is added later fails here until it is walked as well.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import zipfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from channel_town import FRUITS, INES, ODO, T0, Town, build_town
from chat_exports import chat, every_row, silent, talk, written
from docx import Document as WordDocument
from small_files import pdf
from sqlalchemy import select, update

import tuning.sources
from config.errors import BadInput, Refused
from store.assistants import add_assistant
from store.database import Database
from store.tables import Account, Channel, Source
from tuning.importing import import_file
from tuning.shelf import pause
from tuning.sources import channel_log
from tuning.teaching import KIND as TAUGHT
from tuning.teaching import Asker, teach

SECRET = "the heron keeps forty silver spoons"
PASSAGE = f"It is well known around here that {SECRET}, under the pier."
ASKED = [f"{FRUITS[n % 7]} number {n * n}, ripe or not, neighbour {n}?" for n in range(12)]
TOLD = [f"The {FRUITS[n % 7]} tree {n * 31 % 97} by wall {n} knows that {SECRET} {n}." for n in range(12)]


@pytest.fixture
async def town(database: Database, tmp_path: Path) -> Town:
    """One assistant with a channel in which enough is said that may be learnt."""
    made = await build_town(database, tmp_path)
    await made.agrees(ODO, "post:-7")
    await made.good(await made.channel("post:-7"), ODO)
    return made


async def comes_through(town: Town) -> bool:
    """Whether curation lets the secret, or a row that holds it, into anything."""
    curated, words = await town.learnt()
    assert curated.examples >= 50, "what may be learnt still is"
    told = {source: ids for source, ids in curated.lineage.items() if source != await source_of(town, "channel", "1")}
    return "heron" in words or "spoons" in words or any(told.values())


async def source_of(town: Town, kind: str, external_id: str | None = None) -> int:
    async with town.database.session() as session:
        query = select(Source.id).where(Source.kind == kind, Source.assistant_id == town.owner)
        return (
            await session.scalars(query if external_id is None else query.where(Source.external_id == external_id))
        ).one()


def telegram(folder: Path) -> Path:
    said = talk(24)
    for n, one in enumerate(said):
        one["text_entities"] = [{"type": "plain", "text": (TOLD if n % 2 else ASKED)[n // 2 % 12]}]
    return written(folder, chat(said))


def discord(folder: Path) -> Path:
    people = [{"id": str(n), "name": name, "isBot": False} for n, name in enumerate(("Odo", "Runa"))]
    said = [
        {"id": str(n), "type": "Default", "timestamp": f"2024-03-{n // 2 + 1:02}T10:0{n % 2}:00+00:00", "content": text,
         "author": people[n % 2]}
        for n, text in enumerate(text for pair in zip(ASKED, TOLD, strict=True) for text in pair)
    ]  # fmt: skip
    head = {"guild": {"id": "1", "name": "Harbour"}, "channel": {"id": "42", "type": "Text", "name": "slipway"}}
    (folder / "export.json").write_text(json.dumps(head | {"messages": said}))
    return folder / "export.json"


def whatsapp(folder: Path) -> Path:
    lines = [
        line
        for n in range(12)
        for line in (f"{n + 1}/3/24, 10:00 - Odo: {ASKED[n]}", f"{n + 1}/3/24, 10:01 - Runa: {TOLD[n]}")
    ]
    (folder / "WhatsApp Chat with Crew.txt").write_text("\n".join(lines))
    return folder / "WhatsApp Chat with Crew.txt"


def slack(folder: Path) -> Path:
    said = [
        {"type": "message", "user": f"U{who}", "text": (ASKED, TOLD)[who][n], "ts": f"{1709287200 + n * 86400 + who}.0"}
        for n in range(12)
        for who in (0, 1)
    ]
    with zipfile.ZipFile(folder / "slack.zip", "w") as archive:
        archive.writestr("channels.json", json.dumps([{"id": "C1", "name": "slipway"}]))
        archive.writestr("slipway/2024-03-01.json", json.dumps(said))
    return folder / "slack.zip"


def dialogues(folder: Path) -> Path:
    turns = [[{"role": "user", "content": ASKED[n]}, {"role": "assistant", "content": TOLD[n]}] for n in range(12)]
    (folder / "talk.jsonl").write_text("\n".join(json.dumps({"messages": pair}) for pair in turns))
    return folder / "talk.jsonl"


def text(folder: Path) -> Path:
    (folder / "birds.md").write_text(f"# Birds\n\n{PASSAGE}\n")
    return folder / "birds.md"


def page(folder: Path) -> Path:
    (folder / "birds.html").write_text(f"<!doctype html><html><body><div>{PASSAGE}</div></body></html>")
    return folder / "birds.html"


def word(folder: Path) -> Path:
    document = WordDocument()
    document.add_paragraph(PASSAGE)
    document.save(str(folder / "birds.docx"))
    return folder / "birds.docx"


def portable(folder: Path) -> Path:
    (folder / "birds.pdf").write_bytes(pdf(PASSAGE))
    return folder / "birds.pdf"


IMPORTS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "Telegram": ("telegram", telegram), "Discord": ("discord", discord), "WhatsApp": ("whatsapp", whatsapp),
    "Slack": ("slack", slack), "dialogues": ("dialogues", dialogues), "text": ("document", text),
    "page": ("document", page), "Word": ("document", word), "PDF": ("document", portable),
}  # fmt: skip


def test_every_kind_of_source_is_walked() -> None:
    modules = [
        importlib.import_module(f"tuning.sources.{one.name}") for one in pkgutil.iter_modules(tuning.sources.__path__)
    ]
    readers = {
        kind
        for module in modules
        for thing in vars(module).values()
        if isinstance(kind := getattr(thing, "kind", None), str)
    }
    assert readers == {kind for kind, _ in IMPORTS.values()}
    assert {channel_log.KIND, TAUGHT} == {"channel", "taught"}


async def bring(
    town: Town, name: str, *, by: str = "Ingrid", preview: bool = False, assistant: str = "harbour"
) -> None:
    kind, make = IMPORTS[name]
    speaker = {"dialogues": None, "document": None, "slack": "slack:U1"}.get(kind, "Runa")
    await import_file(town.database, make(town.folder), assistant, speaker, by, silent, preview=preview)


@pytest.mark.parametrize("name", IMPORTS)
async def test_an_import_comes_through_by_a_recorded_word_until_it_is_paused(town: Town, name: str) -> None:
    await bring(town, name)
    assert await comes_through(town), "or the other tests could not fail"
    source = await source_of(town, IMPORTS[name][0])
    await pause(town.database, "harbour", source, paused=True)
    assert not await comes_through(town)
    await bring(town, name)
    assert not await comes_through(town), "importing it again does not start it"
    await pause(town.database, "harbour", source, paused=False)
    assert await comes_through(town)
    for gone in ("permission", "permission_by"):
        async with town.database.session() as session:
            await session.execute(update(Source).where(Source.id == source).values({gone: ""}))
        assert not await comes_through(town)
        await bring(town, name)
        assert await comes_through(town), "whoever imports it gives a word again"


@pytest.mark.parametrize("name", IMPORTS)
async def test_an_import_without_a_word_or_for_another_or_only_looked_at_does_not_come_through(
    town: Town, name: str
) -> None:
    async with town.database.session() as session:
        await add_assistant(session, "garden", "Grow.", "demo")
    before = await every_row(town.database)
    for nobody in ("", "  "):
        with pytest.raises(BadInput, match="Nobody says"):
            await bring(town, name, by=nobody)
    await bring(town, name, preview=True)
    assert await every_row(town.database) == before
    await bring(town, name, assistant="garden")
    assert not await comes_through(town)


@dataclass(frozen=True)
class Chat:
    """A channel of one platform, and somebody in it."""

    key: str
    person: str
    more: dict[str, Any]


CHATS = {
    "Telegram": Chat("post:-9", INES, {}), "Discord": Chat("crow:9", "discord:2", {}),
    "a thread on Discord": Chat("crow:9:4", "discord:2", {"parent_key": "crow:9"}), "web": Chat("web:9", "web:2", {}),
}  # fmt: skip


@dataclass
class Place:
    """A chat in the town, with all that it takes for its words to be learnt but the words."""

    town: Town
    chat: Chat
    channel: int

    @property
    def where(self) -> str:
        """The chat that consent is given in."""
        return self.chat.more.get("parent_key", self.chat.key)

    async def agrees(self, state: str = "in", after: int = 0) -> None:
        await self.town.agrees(self.chat.person, self.where, state, after)

    async def set(self, **values: Any) -> None:
        async with self.town.database.session() as session:
            await session.execute(update(Channel).where(Channel.key == self.where).values(values))

    async def permit(self, reference: str | None) -> None:
        async with self.town.database.session() as session:
            await session.execute(update(Account).where(Account.name == "crow").values(permission=reference))


async def said(place: Place, at: int | None = None) -> None:
    """The person says it, and an answer to that is voted good."""
    asked = await place.town.say(place.channel, place.chat.person, f"Note that {SECRET}", at=at)
    await place.town.answer(place.channel, asked, "Noted, as you wish.", 1)


async def voted_bad(place: Place, at: int | None = None) -> None:
    """What is learnt from votes needs no good answer."""
    asked = await place.town.say(place.channel, place.chat.person, f"Is it so that {SECRET}?", at=at)
    await place.town.answer(place.channel, asked, "No.", -1)


async def corrected(place: Place, at: int | None = None) -> None:
    """An operator corrects the answer to it, which keeps the words of the question."""
    moment = T0 + timedelta(days=5) if at is None else T0 + timedelta(seconds=at)
    asker = Asker(place.chat.person, "Somebody", place.where, moment)
    await teach(place.town.database, "harbour", f"Is it so that {SECRET}?", "So they say.", "Ada", asker)


Say = Callable[..., Awaitable[None]]
SAYS: dict[str, Say] = {"said": said, "voted bad": voted_bad, "corrected": corrected}


@pytest.fixture(params=CHATS)
async def place(town: Town, request: pytest.FixtureRequest) -> Place:
    """Each chat in turn; Discord's permission is recorded."""
    found = CHATS[request.param]
    if "parent_key" in found.more:
        await town.channel(found.more["parent_key"])
    made = Place(town, found, await town.channel(found.key, **found.more))
    await made.permit("case 12")
    return made


@pytest.mark.parametrize("say", SAYS.values(), ids=SAYS)
async def test_a_chats_words_come_through_only_while_all_that_it_takes_is_there(place: Place, say: Say) -> None:
    await place.agrees()
    await say(place)
    assert await comes_through(place.town), "or the rest could not fail"
    await place.agrees("out")
    assert not await comes_through(place.town), "who took it back is not learnt from"
    await place.agrees("in", after=10**7)
    assert not await comes_through(place.town), "what was said before consent stays out"
    await place.agrees("out")
    await place.agrees("in", after=0)
    assert await comes_through(place.town)
    await place.set(learning=False)
    assert not await comes_through(place.town), "the channel is off"
    await place.set(learning=True)
    await place.permit(None)
    assert await comes_through(place.town) == (not place.chat.key.startswith("crow")), "Discord asks for permission"
    await place.permit("")
    assert await comes_through(place.town) == (not place.chat.key.startswith("crow"))


@pytest.mark.parametrize("say", SAYS.values(), ids=SAYS)
async def test_an_operators_pause_holds_for_a_chat(place: Place, say: Say) -> None:
    await place.agrees()
    await say(place)
    assert await comes_through(place.town)
    kind, named = ("taught", place.where) if say is corrected else ("channel", str(place.channel))
    source = await source_of(place.town, kind, named)
    await pause(place.town.database, "harbour", source, paused=True)
    assert not await comes_through(place.town)


@pytest.mark.parametrize("say", SAYS.values(), ids=SAYS)
@pytest.mark.parametrize("consent", ["none", "out", "before", "elsewhere", "another's"])
async def test_words_without_consent_do_not_come_through(place: Place, say: Say, consent: str) -> None:
    at = None
    if consent == "out":
        await place.agrees("out")
    elif consent == "before":
        await place.agrees(after=10**6)
        at = 10**6 - 1
    elif consent == "elsewhere":
        await place.town.agrees(place.chat.person, "post:-7")
    elif consent == "another's":
        await place.town.agrees("telegram:99", place.where)
    if say is corrected:
        with pytest.raises(Refused, match="has not agreed"):
            await say(place, at)
    else:
        await say(place, at)
    assert not await comes_through(place.town)


async def test_what_an_operator_taught_comes_through_by_their_recorded_word_until_it_is_paused(town: Town) -> None:
    await teach(town.database, "harbour", "What of birds?", f"Know that {SECRET}.", "Ada")
    assert await comes_through(town)
    source = await source_of(town, "taught")
    await pause(town.database, "harbour", source, paused=True)
    assert not await comes_through(town)
    await pause(town.database, "harbour", source, paused=False)
    async with town.database.session() as session:
        await session.execute(update(Source).where(Source.id == source).values(permission=""))
    assert not await comes_through(town)
