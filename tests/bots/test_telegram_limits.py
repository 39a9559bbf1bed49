from __future__ import annotations

import asyncio

from bot_api_server import BotApiServer, Person, Rates
from pydantic import SecretStr

from bots.telegram import limits
from bots.telegram.client import TelegramClient
from bots.telegram.limits import Window
from bots.telegram.places import Place

SPEED = 60.0


async def test_a_burst_into_one_group_and_many_chats_earns_no_refusal() -> None:
    async with BotApiServer(Rates().times(SPEED)) as server:
        bot = server.add_bot("harbour_bot")
        group = bot.supergroup("Quay")
        people = [bot.private(Person(number, "P")) for number in range(1, 40)]
        client = TelegramClient(SecretStr(bot.token), server.url, limits.Rates(speed=SPEED))
        calls = [client.bot.send_message(group.id, f"{number}") for number in range(45)]
        calls += [client.bot.send_message(chat.id, f"{turn}") for turn in range(5) for chat in people]
        await asyncio.gather(*calls)
        await client.close()
    assert server.refused == 0
    assert sorted(group.texts, key=int) == [f"{number}" for number in range(45)]
    assert all(sorted(chat.texts) == list("01234") for chat in people)


async def test_the_more_calls_wait_the_slower_messages_grow() -> None:
    kept = limits.Limits()
    assert (kept.pace(group=False), round(kept.pace(group=True))) == (1.0, 3)
    kept._all.waiting = 10 * kept._all.most
    assert kept.pace(group=False) == 21.0


async def test_a_window_counts_a_call_until_some_time_after_its_end() -> None:
    window = Window(1, 0.05)
    clock = asyncio.get_running_loop().time
    async with window:
        assert window.full
    ended = clock()
    async with window:
        assert clock() - ended >= 0.04


async def test_typing_is_left_out_rather_than_waited_for() -> None:
    async with BotApiServer() as server:
        bot = server.add_bot("harbour_bot")
        chat = bot.private(Person(1, "P"))
        client = TelegramClient(SecretStr(bot.token), server.url)
        await asyncio.gather(*(client.bot.send_chat_action(chat.id, "typing") for _ in range(50)))
        await client.close()
    assert 1 <= len(chat.actions) <= limits.RATES.overall // 4


def test_where_ids_are_counted() -> None:
    assert Place(5).counter == Place(-5).counter == 0
    assert Place(-1_000_000_000_007, 3).counter == -1_000_000_000_007
