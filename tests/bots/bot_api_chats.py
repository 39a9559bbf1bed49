"""Bots, people, chats and messages as a Bot API server keeps them, and what a test does in them.

A chat belongs to one bot: it is that bot's view. Private chats and basic groups share one row of message ids,
supergroups have rows of their own, as on Telegram.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bot_api_rules import units

SUPERGROUP = -1_000_000_000_000
ANONYMOUS_ADMIN = {"id": 1087968824, "is_bot": True, "first_name": "Group", "username": "GroupAnonymousBot"}
ADMIN_RIGHTS = (
    "can_be_edited", "is_anonymous", "can_manage_chat", "can_delete_messages", "can_manage_video_chats",
    "can_restrict_members", "can_promote_members", "can_change_info", "can_invite_users", "can_post_stories",
    "can_edit_stories", "can_delete_stories",
)  # fmt: skip
_FOUND = re.compile(r"(?<!\w)(?:(?P<mention>@\w{4,32})|(?P<bot_command>/[A-Za-z0-9_]{1,64}(?:@\w{4,32})?))")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a Telegram account."""

    id: int
    first_name: str
    username: str | None = None
    language: str | None = None
    is_bot: bool = False

    @property
    def wire(self) -> dict[str, Any]:
        given = {"id": self.id, "is_bot": self.is_bot, "first_name": self.first_name}
        more = {"username": self.username, "language_code": self.language}
        return given | {key: value for key, value in more.items() if value is not None}


@dataclass(slots=True)
class Message:
    """One message. `wire` is what the server would tell of it now; `said` all texts that it had, in order."""

    id: int
    ours: bool
    wire: dict[str, Any]
    said: list[str] = field(default_factory=list)
    deleted: bool = False

    @property
    def text(self) -> str:
        return str(self.wire.get("text", ""))

    @property
    def entities(self) -> list[dict[str, Any]]:
        return list(self.wire.get("entities", []))

    @property
    def buttons(self) -> list[dict[str, Any]]:
        rows = self.wire.get("reply_markup", {}).get("inline_keyboard", [])
        return [button for row in rows for button in row]

    @property
    def reply_to(self) -> int | None:
        replied = self.wire.get("reply_to_message")
        return None if replied is None else int(replied["message_id"])

    @property
    def topic(self) -> int | None:
        return self.wire.get("message_thread_id")


class Chat:
    """One chat of one bot, with what a test makes people do in it."""

    def __init__(self, bot: Bot, wire: dict[str, Any]) -> None:
        self.bot = bot
        self.id: int = wire["id"]
        self.wire = wire
        self.messages: dict[int, Message] = {}
        self.topics: dict[int, str] = {}
        self.actions: list[str] = []
        self.forbidden: str | None = None
        self.migrated_to: int | None = None
        self._ids = itertools.count(1) if self.id <= SUPERGROUP else bot.message_ids

    @property
    def shown(self) -> list[Message]:
        """The bot's messages that are there now, oldest first."""
        return [message for message in self.messages.values() if message.ours and not message.deleted]

    @property
    def texts(self) -> list[str]:
        return [message.text for message in self.shown]

    def add(self, sender: dict[str, Any], *, ours: bool, **fields: Any) -> Message:
        """Put a message into the chat without telling the bot."""
        number = next(self._ids)
        wire = {"message_id": number, "date": int(time.time()), "chat": self.wire, "from": sender}
        message = Message(number, ours, wire | {key: value for key, value in fields.items() if value is not None})
        message.said.append(message.text)
        self.messages[number] = message
        return message

    def says(
        self,
        person: Person,
        text: str | None = None,
        *,
        reply_to: int | None = None,
        topic: int | None = None,
        entities: list[dict[str, Any]] | None = None,
        hidden: bool = False,
        **fields: Any,
    ) -> Message:
        """`person` writes; mentions and commands in the text become entities by themselves. `hidden`: the bot's
        privacy mode keeps it from the bot."""
        if text is not None:
            fields["text"] = text
            fields["entities"] = (found_entities(text) if entities is None else entities) or None
        if topic is not None:
            fields["message_thread_id"], fields["is_topic_message"] = topic, True
            created = {"message_id": topic, "date": 0, "chat": self.wire, "message_thread_id": topic,
                       "forum_topic_created": {"name": self.topics[topic], "icon_color": 0}}  # fmt: skip
            fields.setdefault("reply_to_message", created)
        if reply_to is not None:
            replied = self.messages[reply_to].wire
            fields["reply_to_message"] = {k: v for k, v in replied.items() if k != "reply_to_message"}
        message = self.add(person.wire, ours=False, **fields)
        if not hidden:
            self.bot.push({"message": message.wire})
        return message

    def edits(self, message: Message, text: str) -> None:
        """The author edits a message."""
        entities = found_entities(text)
        message.wire = message.wire | {"text": text, "edit_date": int(time.time()), "entities": entities}
        self.bot.push({"edited_message": message.wire})

    def press(self, person: Person, message: Message, data: str | None = None, *, label: str | None = None) -> str:
        """`person` presses the button with this label, or sends `data` as only a tampered client can. Gives the
        query's id."""
        if data is None:
            data = next(button["callback_data"] for button in message.buttons if button["text"] == label)
        query = f"{next(self.bot.query_ids)}"
        self.bot.queries[query] = []
        wire = {"id": query, "from": person.wire, "chat_instance": "1", "data": data, "message": message.wire}
        self.bot.push({"callback_query": wire})
        return query

    def topic(self, name: str) -> int:
        """A new topic; its id is that of the message which says so."""
        created = self.add(self.bot.me.wire, ours=False, forum_topic_created={"name": name, "icon_color": 0})
        self.topics[created.id] = name
        return created.id

    def member(self, person: Person, old: str, new: str) -> None:
        """The bot's own membership changes by `person`'s doing."""
        side = {"user": self.bot.me.wire}
        self.bot.push({"my_chat_member": {
            "chat": self.wire, "from": person.wire, "date": int(time.time()),
            "old_chat_member": side | member_of(old), "new_chat_member": side | member_of(new),
        }})  # fmt: skip
        gone = new in ("left", "kicked")
        where = "supergroup" if self.id <= SUPERGROUP else "group"
        sentence = "bot was blocked by the user" if self.id > 0 else f"bot was kicked from the {where} chat"
        self.forbidden = f"Forbidden: {sentence}" if gone else None

    def upgrade(self, person: Person) -> Chat:
        """The group becomes a supergroup with another id."""
        new = self.bot.supergroup(self.wire["title"])
        self.migrated_to = new.id
        self.says(person, migrate_to_chat_id=new.id)
        new.says(person, migrate_from_chat_id=self.id)
        return new


class Bot:
    """One bot and all that its server knows of it. `calls` are (method, parameters) in the order they came."""

    def __init__(self, token: str, username: str, *, can_read_all: bool = False) -> None:
        self.token = token
        self.me = Person(int(token.partition(":")[0]), username.title(), username, is_bot=True)
        self.can_read_all = can_read_all
        self.revoked = False
        self.webhook = ""
        self.chats: dict[int, Chat] = {}
        self.updates: list[dict[str, Any]] = []
        self.confirmed: list[int] = []
        self.queries: dict[str, list[dict[str, Any]]] = {}
        self.commands: dict[tuple[str, str], list[dict[str, str]]] = {}
        self.files: dict[str, tuple[str, bytes]] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.counts: Counter[str] = Counter()
        self.message_ids = itertools.count(1)
        self.query_ids = itertools.count(1000)
        self.poller: asyncio.Future[None] | None = None
        self.changed = asyncio.Condition()
        self._update_ids = itertools.count(500_000)
        self._chat_ids = itertools.count(1)
        self._loop = asyncio.get_running_loop()

    def push(self, update: dict[str, Any]) -> int:
        """A new update for the bot."""
        number = next(self._update_ids)
        self.repeat({"update_id": number, **update})
        return number

    def repeat(self, update: dict[str, Any]) -> None:
        """An update with an id of its own, as often as one likes."""
        self.updates.append(update)
        if self.poller is not None and not self.poller.done():
            self.poller.set_result(None)

    def private(self, person: Person) -> Chat:
        """The chat with one person."""
        wire = {"id": person.id, "type": "private", "first_name": person.first_name}
        return self.chats.setdefault(person.id, Chat(self, wire))

    def group(self, title: str) -> Chat:
        """A basic group with the bot in it."""
        number = -next(self._chat_ids) - 5000
        return self._open({"id": number, "type": "group", "title": title})

    def supergroup(self, title: str, *, forum: bool = False) -> Chat:
        """A supergroup with the bot in it."""
        wire = {"id": SUPERGROUP - next(self._chat_ids) - 7000, "type": "supergroup", "title": title}
        return self._open(wire | ({"is_forum": True} if forum else {}))

    def _open(self, wire: dict[str, Any]) -> Chat:
        self.chats[wire["id"]] = Chat(self, wire)
        return self.chats[wire["id"]]

    def file(self, name: str, content: bytes) -> str:
        """A file that people may attach; gives its id."""
        number = f"file-{len(self.files)}"
        self.files[number] = (name, content)
        return number

    def called(self, method: str) -> list[dict[str, Any]]:
        """The parameters of all calls of `method`."""
        return [parameters for name, parameters in self.calls if name == method]

    def note(self, method: str, parameters: dict[str, Any]) -> None:
        """Something was called; whoever waits looks again."""
        self.calls.append((method, parameters))
        self.counts[method] += 1
        self.wake()

    def wake(self) -> None:
        """Whoever waits looks again."""

        async def tell() -> None:
            async with self.changed:
                self.changed.notify_all()

        self._telling = self._loop.create_task(tell())

    async def until(self, holds: Callable[[], Any]) -> Any:
        """The first true value of `holds`, looked at after every call."""
        async with asyncio.timeout(300), self.changed:
            await self.changed.wait_for(holds)
        return holds()


def member_of(status: str) -> dict[str, Any]:
    """A ChatMember with what its status demands."""
    extra: dict[str, Any] = {"until_date": 0} if status == "kicked" else {}
    if status == "administrator":
        extra = dict.fromkeys(ADMIN_RIGHTS, False)
    return {"status": status} | extra


def found_entities(text: str) -> list[dict[str, Any]]:
    """Mentions and commands, as Telegram finds them in what people write."""
    return [
        {"type": found.lastgroup, "offset": units(text[: found.start()]), "length": units(found[0])}
        for found in _FOUND.finditer(text)
    ]
