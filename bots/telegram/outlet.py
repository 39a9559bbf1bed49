"""One Telegram chat or topic as the presenter writes into it.

Promises: a call that returns was accepted, however often it had to be made; a message whose sending nobody can be
sure of is looked for before it is sent again; formatting that Telegram refuses, a chat that is gone and a message that
is gone are told apart. Link previews are off, and a reply to a message that was deleted goes without it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

import structlog
from telegram import InlineKeyboardButton, InlineKeyboardMarkup, LinkPreviewOptions, MessageEntity, ReplyParameters
from telegram.constants import ChatAction, KeyboardButtonStyle
from telegram.error import BadRequest, ChatMigrated, Forbidden, InvalidToken, TelegramError

from bots.events import Button
from bots.markup.telegram import split
from bots.outlet import ChannelGone, FormattingRefused, MessageGone, Part
from bots.telegram.client import TelegramClient, passes, surely_not_sent, waits
from bots.telegram.formatting import shown
from bots.telegram.places import Place, message_number, older_than
from store.database import Database
from store.deliveries import named_in_chat

LONGEST_WHISPER, LONGEST_TOAST = 200, 60
LONGEST_DATA = 64
ROW_LETTERS, ROW_BUTTONS = 26, 3
"""What fits into one row of buttons on a phone."""
LOOKED_AT = 8
"""Messages after the last known one among which one is looked for that may have been sent."""
NO_PREVIEW = LinkPreviewOptions(is_disabled=True)

SAME = "message is not modified"
NOT_THERE = ("message to edit not found", "message can't be edited", "message_id_invalid", "message identifier")
UNWRITABLE = (
    "chat not found", "message thread not found", "topic_closed", "topic_deleted", "not enough rights", "no rights",
    "chat_write_forbidden", "chat_restricted", "peer_id_invalid", "group chat was deactivated", "user is deactivated",
    "need administrator rights", "user_is_blocked", "have no rights",
)  # fmt: skip
MALFORMED = ("can't parse entities", "entity", "entities")

Tried = Callable[[int], Awaitable[None]]

log = structlog.get_logger()


@dataclass(slots=True)
class Chats:
    """What this process knows of the chats it writes to: which messages it sent, and the newest ids it has seen."""

    newest: dict[int, int] = field(default_factory=dict)
    """By what ids are counted by; see `Place.counter`."""
    sent: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=4096))
    _sending: WeakValueDictionary[int, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    def saw(self, place: Place, message_id: int) -> None:
        """A message with this id is there."""
        self.newest[place.counter] = max(message_id, self.newest.get(place.counter, 0))

    def sending(self, chat: int) -> asyncio.Lock:
        """Held while a message is sent, so that of each chat at most one can get lost at a time."""
        return self._sending.setdefault(chat, asyncio.Lock())


class TelegramOutlet:
    """`query_id`: the press of a button that all of this comes of; it is answered once, with words or without."""

    def __init__(
        self, client: TelegramClient, database: Database, chats: Chats, account: str, place: Place,
        query_id: str | None = None,
    ) -> None:  # fmt: skip
        self._client = client
        self._database = database
        self._chats = chats
        self._account = account
        self._place = place
        self._query = query_id
        self.pace = client.limits.pace(place.group)

    def split(self, markdown: str) -> list[Part]:
        """Within 4096 UTF-16 units once it is rendered."""
        return split(markdown)

    async def send(self, part: Part, *, nonce: str, reply_to: str | None = None, buttons: Sequence[Button] = ()) -> str:
        """One message, sent once: after an answer that got lost it is looked for first."""
        async with self._chats.sending(self._place.chat):
            message_id = await self._send(part, reply_to, buttons)
        self._chats.saw(self._place, message_id)
        self._chats.sent.append((self._place.chat, message_id))
        return str(message_id)

    async def _send(self, part: Part, reply_to: str | None, buttons: Sequence[Button]) -> int:
        text, entities = shown(part)
        before = self._chats.newest.get(self._place.counter, 0) or older_than(reply_to) or 0
        for wait in waits():
            replied = message_number(reply_to)
            reply = None if replied is None else ReplyParameters(replied, allow_sending_without_reply=True)
            try:
                sent = await self._client.bot.send_message(
                    self._place.chat, text, entities=entities, message_thread_id=self._place.topic,
                    reply_parameters=reply, reply_markup=keyboard(buttons), link_preview_options=NO_PREVIEW,
                )  # fmt: skip
                return sent.message_id
            except TelegramError as error:
                if not await self._may_pass(error, entities):
                    continue
                log.warning("telegram_send_failed", kind=type(error).__name__)
                await asyncio.sleep(wait)
                if not surely_not_sent(error):
                    found = await self._look_for(before, part, buttons)
                    if found is not None:
                        return found
        raise AssertionError("unreachable")

    async def edit(self, external_id: str, part: Part, *, buttons: Sequence[Button] = ()) -> None:
        """Raises FormattingRefused, MessageGone, ChannelGone."""
        message_id = message_number(external_id)
        if message_id is None:
            raise MessageGone
        text, entities = shown(part)
        for wait in waits():
            try:
                await self._client.bot.edit_message_text(
                    text, self._place.chat, message_id, entities=entities, reply_markup=keyboard(buttons),
                    link_preview_options=NO_PREVIEW,
                )  # fmt: skip
                break
            except TelegramError as error:
                if SAME in str(error).lower():
                    break
                if not await self._may_pass(error, entities):
                    raise MessageGone from None
                await asyncio.sleep(wait)
        self.pace = self._client.limits.pace(self._place.group)

    async def delete(self, external_id: str) -> None:
        """Already gone, or too old to be deleted, is no error."""
        message_id = message_number(external_id)
        if message_id is None:
            return
        try:
            await self._client.call(lambda: self._client.bot.delete_message(self._place.chat, message_id))
        except TelegramError as error:
            log.info("telegram_not_deleted", kind=type(error).__name__)

    async def typing(self) -> None:
        """Once; where it fails, nothing is lost."""
        try:
            await self._client.bot.send_chat_action(
                self._place.chat, ChatAction.TYPING, message_thread_id=self._place.topic
            )
        except TelegramError as error:
            log.debug("telegram_typing_failed", kind=type(error).__name__)

    async def whisper(self, text: str) -> bool:
        """To whoever pressed the button, once and in 200 characters at most."""
        if self._query is None or not text or len(text) > LONGEST_WHISPER:
            return False
        return await self._answer_press(text)

    @property
    def turning(self) -> bool:
        """Whether a pressed button still waits for its answer."""
        return self._query is not None

    async def acknowledge(self) -> None:
        """The pressed button stops turning, if nothing was whispered."""
        if self._query is not None:
            await self._answer_press("")

    async def _answer_press(self, text: str) -> bool:
        query, self._query = self._query, None
        assert query is not None  # noqa: S101 - for the type checker
        try:
            await self._client.bot.answer_callback_query(query, text or None, show_alert=len(text) > LONGEST_TOAST)
        except InvalidToken:
            await self._client.stopped()
        except TelegramError as error:  # too old: nobody waits for it any more
            log.info("telegram_press_not_answered", kind=type(error).__name__)
            return False
        return True

    async def find_sent(self, nonce: str, after: str | None) -> str | None:
        """Telegram lets no bot read a chat. A message of ours can be told by that it can be edited; so the next few
        after `after` are tried that are in no delivery, by taking away buttons, which the lost one gets back when it is
        brought up to date. None where it is not among them, as in private chats of a bot that is busy elsewhere."""
        start = older_than(after)
        if start is None:
            return None

        async def try_one(message_id: int) -> None:
            await self._client.bot.edit_message_reply_markup(self._place.chat, message_id, reply_markup=None)

        found = await self._among(start, try_one)
        return None if found is None else str(found)

    async def _look_for(self, before: int, part: Part, buttons: Sequence[Button]) -> int | None:
        """A message that this process may have sent since id `before`: one that lets itself be edited to it."""
        text, entities = shown(part)

        async def try_one(message_id: int) -> None:
            await self._client.bot.edit_message_text(
                text, self._place.chat, message_id, entities=entities, reply_markup=keyboard(buttons),
                link_preview_options=NO_PREVIEW,
            )  # fmt: skip

        return await self._among(before, try_one) if before else None

    async def _among(self, start: int, try_one: Tried) -> int | None:
        """The first of the next messages that is ours, and is not known to be another."""
        numbers = range(start + 1, start + 1 + LOOKED_AT)
        names = {str(number): number for number in numbers}
        key = Place(self._place.chat).key(self._account)
        async with self._database.session() as session:
            known = {names[name] for name in await named_in_chat(session, key, list(names))}
        known |= {number for chat, number in self._chats.sent if chat == self._place.chat}
        for number in numbers:
            if number in known:
                continue
            try:
                await self._client.call(lambda number=number: try_one(number))  # type: ignore[misc]
                return number
            except BadRequest as error:
                if SAME in str(error).lower():
                    return number
            except (Forbidden, ChatMigrated):
                return None
        return None

    async def _may_pass(self, error: TelegramError, entities: Sequence[MessageEntity]) -> bool:
        """True: the call may do better in a while; False: at once, for the chat has moved. Raises what will not
        pass."""
        said = str(error).lower()
        if isinstance(error, InvalidToken):
            await self._client.stopped()
        if isinstance(error, ChatMigrated):
            self._place = Place(error.new_chat_id)
            return False
        if isinstance(error, Forbidden):
            raise ChannelGone from None
        if isinstance(error, BadRequest):
            if any(words in said for words in UNWRITABLE):
                raise ChannelGone from None
            if any(words in said for words in NOT_THERE):
                raise MessageGone from None
            if entities and any(words in said for words in MALFORMED):
                raise FormattingRefused from None
        if not passes(error):
            raise error
        return True


def keyboard(buttons: Sequence[Button]) -> InlineKeyboardMarkup | None:
    """Buttons in rows as a phone has room for them. A command that is too long for a button is left out."""
    rows: list[list[InlineKeyboardButton]] = []
    letters = 0
    for button in buttons:
        if len(button.command.encode()) > LONGEST_DATA:
            log.error("telegram_button_too_long", command=button.command.split()[0])
            continue
        style = KeyboardButtonStyle.PRIMARY if button.weight == "main" else None
        made = InlineKeyboardButton(button.label, callback_data=button.command, style=style)
        if rows and len(rows[-1]) < ROW_BUTTONS and letters + len(button.label) <= ROW_LETTERS:
            rows[-1].append(made)
            letters += len(button.label)
        else:
            rows.append([made])
            letters = len(button.label)
    return InlineKeyboardMarkup(rows) if rows else None
