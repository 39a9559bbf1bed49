"""Between the conversation and browsers: hands messages in, turns events into entries of the channel's feed.

A message is worked on whether or not its browser still listens: the answer is in the log and the feed when it is back.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

from bots.conversation import Conversation
from bots.events import Answer, Card, Done, Event, Heard, Moved, Notice, Removed, Said, Voted, Whisper
from bots.incoming import Incoming
from bots.trouble import is_trouble, note_told
from bots.web.access import Session
from bots.web.feed import Entry, Feed, Feeds
from config.errors import NotFound
from config.request import working_for
from serving.router import Place, resolve, set_route
from store.assistants import find_assistant, list_assistants
from store.conversations import find_channel, open_channel, transcript
from store.tables import Channel, Message
from store.votes import votes_of
from tuning import jobs

ACCOUNT = "web"
SHOWN_MESSAGES = 200
PRESSED = "b-"
"""What the ids begin with that the page gives to pressed buttons."""


class Hub:
    """One for the whole web connector."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.feeds = Feeds()
        self._work: set[asyncio.Task[None]] = set()

    def submit(self, session: Session, text: str, external_id: str, *, quiet: bool = False) -> None:
        """Hand a message in; what comes of it appears in the channel's feed. `quiet` ones show no message."""
        incoming = Incoming(
            ACCOUNT, session.channel, session.public_id, "You", session.role, text, external_id, mentioned=True,
            pressed=external_id.startswith(PRESSED),
        )  # fmt: skip
        self._start(self.conversation.handle(incoming), incoming, quiet=quiet)

    def answer_left(self, incoming: Incoming) -> None:
        """Take up a message that an earlier process left unanswered."""
        self._start(self.conversation.answer_left(incoming), incoming, quiet=False)

    async def close(self) -> None:
        """Stop listening to what is under way."""
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)

    def _start(self, events: AsyncIterator[Event], incoming: Incoming, *, quiet: bool) -> None:
        task = asyncio.create_task(self._relay(events, incoming, quiet))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _relay(self, events: AsyncIterator[Event], incoming: Incoming, quiet: bool) -> None:
        feed = self.feeds.of(incoming.channel)
        said: dict[int, int] = {}
        with working_for("chat"):
            async for event in events:
                if quiet and isinstance(event, Heard):
                    feed.last_message = max(feed.last_message, event.message_id)
                else:
                    feed.add(entry_of(event, incoming, feed, said))
                if isinstance(event, Card) and is_trouble(event):
                    await self._told(incoming.channel, event)

    async def tell(self, channel: Channel, card: Card) -> bool:
        """Show a card that nobody asked for, once the page is open."""
        feed = self.feeds.of(channel.key)
        if feed.readers:
            feed.add({"kind": "card", "client_id": f"told-{card.key}", **asdict(card)})
            await self._told(channel.key, card)
        return True

    async def _told(self, key: str, card: Card) -> None:
        if self.feeds.of(key).readers:
            async with self.conversation.database.session() as database:
                channel = await find_channel(database, key)
            if channel is not None:
                await note_told(self.conversation.database, channel, card)

    async def assistant(self, session: Session) -> str | None:
        """Who answers in this session; None where there is no assistant yet."""
        async with self.conversation.database.session() as database:
            try:
                return (await resolve(database, Place(session.channel, None, None, ACCOUNT))).assistant.name
            except NotFound:
                return None

    async def assistants(self) -> list[str]:
        """All, by name."""
        async with self.conversation.database.session() as database:
            return [assistant.name for assistant in await list_assistants(database)]

    async def choose(self, session: Session, name: str) -> None:
        """Let `name` answer in this session. Raises NotFound."""
        if await self.assistant(session) == name:
            return
        async with self.conversation.database.session() as database:
            assistant = await find_assistant(database, name)
            await open_channel(database, session.channel, ACCOUNT, None, None, True)
            await set_route(database, "channel", session.channel, assistant.name)
        self.feeds.of(session.channel).add({"kind": "moved", "assistant": assistant.name})

    async def watch_job(self, session: Session, assistant: str | None) -> None:
        """Show an operator a job that is under way, also after a restart of either side."""
        if session.role == "member" or assistant is None:
            return
        job = await jobs.active(self.conversation.database, assistant)
        if job is None:
            return
        key = f"job-{job.id}"
        if all(entry.get("key") != key for _, entry in self.feeds.of(session.channel).shown()):
            self.submit(session, "/retrain", f"watch-{self.feeds.boot}-{job.id}", quiet=True)

    async def history(self, session: Session) -> dict[str, Any]:
        """What to show, in order, and the cursor from which the stream goes on. Nothing falls between the two."""
        feed = self.feeds.of(session.channel)
        cursor = self.feeds.cursor(feed.resume_from)
        shown = feed.shown()
        async with self.conversation.database.session() as database:
            channel = await find_channel(database, session.channel)
            messages = await transcript(database, channel, SHOWN_MESSAGES) if channel is not None else []
            answers = [message.id for message in messages if message.role == "assistant"]
            votes = await votes_of(database, f"{ACCOUNT}:{session.public_id}", answers)
        places = [
            (message.answers or message.id, 0, message_of(message, votes.get(message.id, 0))) for message in messages
        ]
        places += [(after, 1, entry) for after, entry in shown]
        items = [entry for _, _, entry in sorted(places, key=lambda place: place[:2])]  # stable: each keeps its order
        return {"items": items, "cursor": cursor}


def message_of(message: Message, vote: int) -> Entry:
    """A logged message as browsers show it, and what the one who looks thinks of it: 1, -1 or 0."""
    return {
        "kind": "message", "id": message.id, "role": message.role, "text": message.text, "state": message.state,
        "version": message.version, "answers": message.answers, "client_id": message.external_id,
        "at": message.created_at.isoformat(), "vote": vote,
    }  # fmt: skip


def entry_of(event: Event, incoming: Incoming, feed: Feed, said: dict[int, int]) -> Entry:
    """An event as browsers read it. `said` counts the characters of each answer, so that a piece that is read twice
    is shown once."""
    match event:
        case Heard():
            return {"kind": "heard", "id": event.message_id, "text": incoming.text, "command": event.command,
                    "client_id": incoming.external_id}  # fmt: skip
        case Said():
            at = said.get(event.message_id, 0)
            said[event.message_id] = at + len(event.text)
            return {"kind": "piece", "id": event.message_id, "at": at, "text": event.text}
        case Answer():
            return {"kind": "answer", "id": event.message_id, "answers": event.answers, "text": event.text,
                    "version": event.version, "state": "cut" if event.cut else "said"}  # fmt: skip
        case Notice():
            return {"kind": "notice", "key": secrets.token_hex(6), "text": event.text, "tone": event.tone,
                    "passing": event.passing, "id": event.message_id}  # fmt: skip
        case Voted():
            return {"kind": "voted", "id": event.message_id, "value": event.value, "text": event.text}
        case Whisper():
            return {"kind": "notice", "key": secrets.token_hex(6), "text": event.text, "tone": "plain",
                    "passing": False, "id": None}  # fmt: skip
        case Card():
            return {"kind": "card", "client_id": incoming.external_id, **asdict(event)}
        case Removed():
            return {"kind": "removed", "ids": list(event.message_ids),
                    "until": feed.last_message if event.everything else None}  # fmt: skip
        case Moved():
            return {"kind": "moved", "assistant": event.assistant}
        case Done():
            return {"kind": "done", "client_id": incoming.external_id}
