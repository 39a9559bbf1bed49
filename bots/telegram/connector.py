"""One Telegram account at work: its updates asked for, handed on, and acknowledged once they are logged.

Promises: an update is acknowledged only when what it says is in the log; within a chat things happen in the order they
came, and no chat waits for another; a token that no longer works ends the account with a sentence, and nothing else
does. python-telegram-bot's own poller acknowledges before anything was done with an update, so the loop is ours.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import structlog
from pydantic import SecretStr
from telegram import Update, User
from telegram.error import InvalidToken

from bots.conversation import Conversation
from bots.events import Card, Event
from bots.incoming import Incoming
from bots.platforms import AccountStopped, AccountView, Identity
from bots.presenter import Presenter
from bots.telegram.client import TelegramClient
from bots.telegram.limits import RATES, Rates
from bots.telegram.menus import Menus
from bots.telegram.outlet import Chats, TelegramOutlet
from bots.telegram.places import Place, message_number, place_of
from bots.telegram.polling import Polling
from bots.telegram.spoken import Reader
from bots.telegram.updates import (
    OUTDATED,
    Edited,
    Joined,
    Left,
    Meant,
    Migrated,
    Pressed,
    Spoken,
    channel_of,
    joined_albums,
    read,
)
from bots.trouble import tell_operators
from config.errors import BadInput, Refused
from config.request import working_for
from store.database import Database
from store.tables import Channel

PRESS_SECONDS = 2.5
"""After which a pressed button stops turning, whatever it set in motion."""
CHECK_SECONDS = 30.0
REVOKED = (
    "Telegram no longer accepts the token of @{username}: it was revoked, or the bot deleted, at @BotFather; give the "
    "new token with: parlance account add"
)

log = structlog.get_logger()


class TelegramConnector:
    """`run` until cancelled. Raises AccountStopped when the token no longer works."""

    def __init__(
        self, account: AccountView, conversation: Conversation, database: Database, rates: Rates = RATES
    ) -> None:
        self._account = account
        self._conversation = conversation
        self._database = database
        self._presenter = Presenter(database)
        self._client = TelegramClient(account.token, account.api_base, rates)
        self._reader = Reader(account.name, int(account.external_id), account.username, self._client.fetch)
        self._chats = Chats()
        self._tasks: set[asyncio.Task[None]] = set()
        self._last: dict[str, asyncio.Task[None]] = {}
        self._catching_up: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Talk with Telegram, and with everybody there."""
        working = asyncio.create_task(self._work())
        try:
            await asyncio.wait({working, self._client.revoked}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise InvalidToken
            await working
        except InvalidToken:
            raise AccountStopped(REVOKED.format(username=self._account.username)) from None
        finally:
            for task in (working, *self._tasks):
                task.cancel()
            await asyncio.gather(working, *self._tasks, return_exceptions=True)
            await self._client.close()

    async def _work(self) -> None:
        me = await self._client.me()
        self._reader = replace(self._reader, id=me.id, username=me.username or "")
        await self._without_webhook()
        await self._take_up()
        self._spawn(Menus(self._client, self._database, self._account.name).keep(), "menus")
        telling = tell_operators(self._database, self._account.name, self._conversation.busy, self._tell)
        self._spawn(telling, "operators")
        await Polling(self._client, self._database, self._account.name, self._take).run()

    async def _without_webhook(self) -> None:
        """While one is set, nothing can be asked for. Whoever gave us the token wants its messages here."""
        host = await self._client.webhook_host()
        if host is not None:
            await self._client.call(lambda: self._client.bot.delete_webhook(drop_pending_updates=False))
            log.warning("telegram_webhook_removed", account=self._account.name, host=host)

    # what a process that is gone left behind

    async def _take_up(self) -> None:
        """Show what was not shown, answer what was not answered; each channel's in its order, before anything new."""
        undelivered = await self._presenter.left_undelivered(self._account.name)
        unanswered = await self._conversation.unanswered(self._account.name)
        shown: defaultdict[str, list[Any]] = defaultdict(list)
        for left in undelivered:
            shown[left.channel.key].append(left)
        for key, several in shown.items():
            place = place_of(self._account.name, key)
            if place is not None:
                self._catching_up[key] = self._spawn(self._redeliver(place, several), f"redelivery {key}")
        for incoming in unanswered:
            place = place_of(self._account.name, incoming.channel)
            if place is not None:
                await self._begin(self._conversation.answer_left(incoming), incoming, self._outlet(place))

    async def _redeliver(self, place: Place, several: list[Any]) -> None:
        for left in several:
            await self._presenter.redeliver(left, self._outlet(place))

    async def _tell(self, channel: Channel, card: Card) -> bool:
        place = place_of(self._account.name, channel.key)
        return place is not None and await self._presenter.tell(channel, card, self._outlet(place))

    # updates

    def _take(self, raw: list[dict[str, Any]]) -> dict[int, asyncio.Task[None]]:
        """By update: a task that is done when what it says is in the log. Those of one chat wait for each other; what
        comes of them is shown by tasks of their own."""
        meant = [(update["update_id"], one) for update in raw if (one := self._read(update)) is not None]
        tasks: dict[int, asyncio.Task[None]] = {}
        for numbers, one in joined_albums(meant):
            channel = channel_of(one)
            task = self._spawn(self._after(self._last.get(channel), one), "update")
            for key in (channel, one.new) if isinstance(one, Migrated) else (channel,):
                self._last[key] = task
                task.add_done_callback(partial(self._forget, key))
            tasks |= dict.fromkeys(numbers, task)
        return tasks

    def _read(self, update: dict[str, Any]) -> Meant | None:
        try:
            return read(Update.de_json(update, self._client.bot), self._reader)
        except Exception as error:  # not of the shape that is documented: it must not keep away all others
            kinds = [key for key in update if key != "update_id"]
            log.error("telegram_update_unread", kinds=kinds, error=type(error).__name__)
            return None

    async def _after(self, before: asyncio.Task[None] | None, meant: Meant) -> None:
        if before is not None:
            await asyncio.wait({before})
        await self._deal_with(meant)

    def _forget(self, channel: str, done: asyncio.Task[None]) -> None:
        if self._last.get(channel) is done:
            del self._last[channel]

    async def _deal_with(self, meant: Meant) -> None:
        match meant:
            case Spoken():
                message_id = message_number(meant.incoming.external_id)
                if message_id is not None:
                    self._chats.saw(meant.place, message_id)
                events = self._conversation.handle(meant.incoming)
                await self._begin(events, meant.incoming, self._outlet(meant.place))
            case Pressed():
                outlet = self._outlet(meant.place, meant.query_id)
                if meant.incoming is None:
                    self._spawn(self._refuse_press(outlet), "press")
                    return
                await self._begin(self._conversation.handle(meant.incoming), meant.incoming, outlet)
            case Joined():
                events = self._conversation.greeting(meant.incoming)
                await self._begin(events, meant.incoming, self._outlet(meant.place))
            case Edited():
                await self._conversation.edited(meant.channel, meant.external_id, meant.text)
            case Left():
                await self._conversation.left(meant.channel)
            case Migrated():
                await self._conversation.moved(meant.old, meant.new)

    async def _refuse_press(self, outlet: TelegramOutlet) -> None:
        await outlet.whisper(OUTDATED)

    async def _begin(self, events: AsyncIterator[Event], incoming: Incoming, outlet: TelegramOutlet) -> None:
        """Returns when the first event is there, for then the message is logged; a task shows all of them."""
        with working_for("chat"):
            first = await anext(events, None)
            if first is None:
                await outlet.acknowledge()
                return
            self._spawn(self._show(_from(first, events), incoming, outlet), f"showing {incoming.channel}")

    async def _show(self, events: AsyncIterator[Event], incoming: Incoming, outlet: TelegramOutlet) -> None:
        before = self._catching_up.get(incoming.channel)
        if before is not None:
            await asyncio.wait({before})
        shown = asyncio.Event()
        if outlet.turning:
            self._spawn(_acknowledge(outlet, shown), "press")
        try:
            await self._presenter.present(events, incoming, outlet)
        finally:
            shown.set()

    def _outlet(self, place: Place, query_id: str | None = None) -> TelegramOutlet:
        return TelegramOutlet(self._client, self._database, self._chats, self._account.name, place, query_id)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        async def noted() -> None:
            try:
                await work
            except Exception:
                self._note_fault("telegram_task_failed", task=name.split()[0])

        task = asyncio.create_task(noted(), name=f"telegram {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: work.close())  # it may have been cancelled before it began
        return task

    def _note_fault(self, event: str, **more: str) -> None:
        log.exception(event, account=self._account.name, **more)


async def _from(first: Event, rest: AsyncIterator[Event]) -> AsyncIterator[Event]:
    yield first
    async for event in rest:
        yield event


async def _acknowledge(outlet: TelegramOutlet, shown: asyncio.Event) -> None:
    """A pressed button stops turning when all is shown, or before that becomes long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(PRESS_SECONDS):
            await shown.wait()
    await outlet.acknowledge()


async def check(token: SecretStr, api_base: str | None) -> Identity:
    """Whose token it is. Raises BadInput for one that Telegram does not know, Refused where it does not answer."""
    client = TelegramClient(token, api_base)
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            me = await client.me()
    except InvalidToken:
        raise BadInput("Telegram does not know that token; copy it anew from @BotFather, whole and alone.") from None
    except TimeoutError:
        where = "Telegram" if api_base is None else f"The Bot API server at {api_base}"
        raise Refused(f"{where} does not answer at the moment; check the connection and try again.") from None
    finally:
        await client.close()
    return Identity(str(me.id), me.username or "", me.full_name, _hints(me), f"https://t.me/{me.username}")


def _hints(me: User) -> tuple[str, ...]:
    hints = []
    if not me.can_join_groups:
        hints.append(f"@{me.username} cannot be added to groups; send /setjoingroups to @BotFather to allow it.")
    elif not me.can_read_all_group_messages:
        hints.append(
            f"In groups @{me.username} sees only commands, mentions of it and replies to it, which is enough to "
            "answer them; to let it read along, send /setprivacy to @BotFather, choose Disable, and then add the bot "
            "to the group anew."
        )
    return tuple(hints)
