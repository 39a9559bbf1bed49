from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import select
from waiting import until

from bots import connectors as at_work
from bots.accounts import Accounts, note_trouble
from bots.api_base import checked
from bots.connectors import without
from bots.conversation import Conversation
from bots.platforms import PLATFORMS, AccountStopped, AccountView, Connector, Identity, platform_of
from config.errors import BadInput, NotFound, Refused
from config.settings import Settings
from store.database import Database
from store.tables import Account

HARBOUR = "123456:AAharbour-harbour-harbour-harbour-1"
GARDEN = "654321:AAgarden-garden-garden-garden-garden2"


@dataclass
class OtherPlatform:
    """A platform of our own: it knows some tokens; a test tells its connectors to break or to stop."""

    bots: dict[str, Identity] = field(
        default_factory=lambda: {
            HARBOUR: Identity("1", "Harbour_Bot", "Harbour", ("Mind the tide.",), "https://example.org/harbour"),
            GARDEN: Identity("2", "garden_bot", "Garden"),
        }
    )
    runs: list[tuple[str, asyncio.Future[None]]] = field(default_factory=list)
    running: set[str] = field(default_factory=set)

    async def check(self, token: SecretStr, api_base: str | None) -> Identity:
        try:
            return self.bots[token.get_secret_value()]
        except KeyError:
            raise BadInput("Telegram does not know that token; copy it again.") from None

    def connect(self, account: AccountView, conversation: Conversation, database: Database) -> Connector:
        platform = self

        class _Connector:
            async def run(self) -> None:
                end = asyncio.get_running_loop().create_future()
                platform.runs.append((account.name, end))
                platform.running.add(account.name)
                try:
                    await end
                finally:
                    platform.running.discard(account.name)

        return _Connector()

    def last(self, name: str) -> asyncio.Future[None]:
        return [end for who, end in self.runs if who == name][-1]

    def count(self, name: str) -> int:
        return sum(who == name for who, _ in self.runs)


@pytest.fixture
def other() -> OtherPlatform:
    return OtherPlatform()


@pytest.fixture
def accounts(database: Database, conversation: Conversation, other: OtherPlatform) -> Accounts:
    rooms = {
        name: dataclasses.replace(one, load=lambda: (other.check, other.connect)) for name, one in PLATFORMS.items()
    }
    return Accounts(database, conversation, rooms)


@pytest.fixture
async def running(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Accounts]:
    monkeypatch.setattr(at_work, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(at_work, "FIRST_WAIT", 0.01)
    task = asyncio.create_task(accounts.run_forever())
    yield accounts
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_token_is_checked_before_it_is_kept_and_its_bot_named(accounts: Accounts) -> None:
    with pytest.raises(BadInput, match="does not know that token"):
        await accounts.add(None, SecretStr("999999:AAnobody-nobody-nobody-nobody-nobody"), by="ada")
    assert await accounts.list() == []
    added = await accounts.add(None, SecretStr(f"  {HARBOUR}\n"), by="ada")
    assert (added.view.name, added.view.platform, added.renewed) == ("harbour_bot", "telegram", False)
    assert added.view.token.get_secret_value() == HARBOUR
    assert added.identity.invite == "https://example.org/harbour"
    (row,) = await accounts.list()
    assert (row.name, row.username, row.state, row.trouble, row.channels) == (
        "harbour_bot",
        "Harbour_Bot",
        "on",
        None,
        0,
    )


async def test_a_token_is_sealed_in_the_files_and_shown_nowhere(
    accounts: Accounts, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG", logger="bots"):
        added = await accounts.add("telegram", SecretStr(HARBOUR), by="ada")
        with pytest.raises(Refused) as refused:
            await accounts.add("telegram", SecretStr(HARBOUR), by="ada")
    shown = [repr(added), repr(await accounts.list()), str(refused.value), caplog.text]
    for file in settings.home.rglob("*"):
        if file.is_file():
            shown.append(file.read_bytes().decode("latin-1"))
    secret = HARBOUR.partition(":")[2]
    assert not any(secret in text for text in shown)


async def test_the_same_bot_twice_is_refused_with_its_name(accounts: Accounts) -> None:
    await accounts.add("telegram", SecretStr(HARBOUR), name="quay", by="ada")
    with pytest.raises(Refused, match="“quay”"):
        await accounts.add("telegram", SecretStr(HARBOUR), name="pier", by="ada")
    await accounts.pause("quay", "ada")
    with pytest.raises(Refused, match="“quay”"):
        await accounts.add("telegram", SecretStr(HARBOUR), by="ada")


async def test_a_new_token_for_a_known_bot_takes_the_place_of_its_old_one(
    accounts: Accounts, other: OtherPlatform, database: Database
) -> None:
    await accounts.add("telegram", SecretStr(HARBOUR), name="quay", by="ada")
    fresh = "123456:AAfresh-fresh-fresh-fresh-fresh-fresh"
    other.bots[fresh] = other.bots[HARBOUR]
    added = await accounts.add("telegram", SecretStr(fresh), by="ada")
    assert (added.renewed, added.view.name, added.view.token.get_secret_value()) == (True, "quay", fresh)
    assert len(await accounts.list()) == 1


async def test_names_are_checked_and_never_given_twice(accounts: Accounts, other: OtherPlatform) -> None:
    for name in ("web", "Harbour", "../up", "a:b", "x" * 41, ""):
        with pytest.raises(BadInput, match="name"):
            await accounts.add("telegram", SecretStr(HARBOUR), name=name, by="ada")
    await accounts.add("telegram", SecretStr(HARBOUR), name="quay", by="ada")
    with pytest.raises(BadInput, match="another account “quay”"):
        await accounts.add("telegram", SecretStr(GARDEN), name="quay", by="ada")
    await accounts.remove("quay", "ada")
    with pytest.raises(BadInput, match="another account “quay”"):  # its chats are kept under that name
        await accounts.add("telegram", SecretStr(GARDEN), name="quay", by="ada")
    web, odd = "777777:AAweb-web-web-web-web-web-web-web-web", "888888:AAodd-odd-odd-odd-odd-odd-odd-odd-odd"
    other.bots |= {web: Identity("7", "Web", "Web"), odd: Identity("8", "Wéb!", "Web")}
    assert (await accounts.add(None, SecretStr(web), by="ada")).view.name == "bot-web"
    assert (await accounts.add(None, SecretStr(odd), by="ada")).view.name == "w-b"


async def test_a_removed_account_forgets_its_token_and_the_same_bot_goes_on_under_its_name(
    accounts: Accounts, database: Database
) -> None:
    await accounts.add("telegram", SecretStr(HARBOUR), name="quay", by="ada")
    await accounts.remove("quay", "ada")
    assert await accounts.list() == []
    async with database.session() as session:
        assert (await session.scalars(select(Account.token))).all() == [""]
    with pytest.raises(NotFound, match="no account “quay”"):
        await accounts.resume("quay", "ada")
    added = await accounts.add("telegram", SecretStr(HARBOUR), by="ada")
    assert (added.view.name, added.renewed) == ("quay", True)


@pytest.mark.parametrize("token", ["", "   ", "two words", "123456:AA/../../x", "a\nb", "x" * 301, "tökén"])
async def test_what_cannot_be_a_token_is_refused_without_being_quoted(accounts: Accounts, token: str) -> None:
    with pytest.raises(BadInput) as refused:
        await accounts.add("telegram", SecretStr(token), by="ada")
    assert not token.strip() or token not in str(refused.value)


def test_the_platform_shows_in_the_tokens_shape() -> None:
    assert platform_of(SecretStr(HARBOUR)) == "telegram"
    assert platform_of(SecretStr("MTIzNDU2Nzg5MDEyMzQ1Njc4.GabcDE.abcdefghijklmnopqrstuvwxyz0123456789AB")) == "discord"
    with pytest.raises(BadInput, match="--platform"):
        platform_of(SecretStr("something-else"))


async def test_an_unknown_platform_is_refused(accounts: Accounts) -> None:
    with pytest.raises(BadInput, match="telegram, discord"):
        await accounts.add("irc", SecretStr(HARBOUR), by="ada")


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:8081", "http://localhost:8081/", "https://bots.example.org/api", "http://bot-api:8081",
     "http://10.0.0.7", "http://[::1]:80", "http://api.lan"],
)  # fmt: skip
def test_an_api_address_may_be_this_machine_its_network_or_a_secure_place(address: str) -> None:
    assert checked(f" {address} ") == address.rstrip("/")


@pytest.mark.parametrize(
    "address",
    ["http://bots.example.org", "http://8.8.8.8", "ftp://127.0.0.1", "file:///etc/passwd", "https://", "127.0.0.1:80",
     "https://user:word@example.org", "https://example.org/?a=b", "https://example.org/#x", "http://169.254.169.254",
     "http://127.0.0.1:notaport", "http://[::1", "https://example.org/a b", "https://exa\nmple.org",
     "https://example.org/" + "x" * 300],
)  # fmt: skip
def test_any_other_api_address_is_refused(address: str) -> None:
    with pytest.raises(BadInput, match="API address"):
        checked(address)


async def test_accounts_are_started_paused_resumed_and_removed_while_running(
    running: Accounts, other: OtherPlatform, database: Database
) -> None:
    elsewhere = Accounts(database, platforms=running.platforms)  # as another process has them
    await elsewhere.add(None, SecretStr(HARBOUR), name="quay", by="ada")
    await elsewhere.add(None, SecretStr(GARDEN), name="bed", by="ada")
    await until(lambda: other.running == {"quay", "bed"})
    await elsewhere.pause("quay", "ada")
    await until(lambda: other.running == {"bed"})
    await elsewhere.resume("quay", "ada")
    await until(lambda: other.running == {"quay", "bed"})
    await elsewhere.remove("bed", "ada")
    await until(lambda: other.running == {"quay"})
    assert (other.count("quay"), other.count("bed")) == (2, 1)


async def test_a_new_token_restarts_its_connector_and_no_other(running: Accounts, other: OtherPlatform) -> None:
    await running.add(None, SecretStr(HARBOUR), name="quay", by="ada")
    await running.add(None, SecretStr(GARDEN), name="bed", by="ada")
    await until(lambda: other.running == {"quay", "bed"})
    fresh = "123456:AAfresh-fresh-fresh-fresh-fresh-fresh"
    other.bots[fresh] = other.bots[HARBOUR]
    await running.add(None, SecretStr(fresh), by="ada")
    await until(lambda: other.count("quay") == 2)
    assert other.count("bed") == 1


async def test_a_revoked_token_stops_its_account_and_the_others_go_on(running: Accounts, other: OtherPlatform) -> None:
    await running.add(None, SecretStr(HARBOUR), name="quay", by="ada")
    await running.add(None, SecretStr(GARDEN), name="bed", by="ada")
    await until(lambda: other.running == {"quay", "bed"})
    other.last("quay").set_exception(AccountStopped("The token was revoked; get a new one."))
    row = await until(lambda: _in_state(running, "quay", "stopped"))
    assert row.trouble == "The token was revoked; get a new one."
    assert other.running == {"bed"}
    assert (other.count("quay"), other.count("bed")) == (1, 1)
    await running.resume("quay", "ada")  # somebody has mended it
    await until(lambda: other.count("quay") == 2)
    assert (await _row(running, "quay")).trouble is None


async def test_a_connector_that_breaks_is_started_again_and_its_account_says_so(
    running: Accounts, other: OtherPlatform, caplog: pytest.LogCaptureFixture
) -> None:
    await running.add(None, SecretStr(HARBOUR), name="quay", by="ada")
    await until(lambda: other.count("quay") == 1)
    other.last("quay").set_exception(RuntimeError(f"GET https://example.org/bot{HARBOUR}/getUpdates broke"))
    await until(lambda: other.count("quay") == 2)
    assert (await _row(running, "quay")).trouble == at_work.BROKE
    other.last("quay").set_exception(Refused(f"Something in the way of {HARBOUR}."))
    await until(lambda: other.count("quay") == 3)
    assert (await _row(running, "quay")).trouble == "Something in the way of …."
    assert HARBOUR.partition(":")[2] not in caplog.text
    other.last("quay").set_result(None)  # nor is one that just returns left so
    await until(lambda: other.count("quay") == 4)


async def test_a_trouble_is_over_when_a_restarted_connector_has_run_for_a_while(
    running: Accounts, other: OtherPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    await running.add(None, SecretStr(HARBOUR), name="quay", by="ada")
    await until(lambda: other.count("quay") == 1)
    monkeypatch.setattr(at_work, "CALM_SECONDS", 0.01)
    other.last("quay").set_exception(RuntimeError("broke"))
    await until(lambda: other.count("quay") == 2)
    await until(lambda: _untroubled(running, "quay"))


async def test_a_connector_tells_of_passing_trouble_and_of_its_end(running: Accounts, database: Database) -> None:
    await running.add(None, SecretStr(HARBOUR), name="quay", by="ada")
    await note_trouble(database, "quay", "Another program is using this bot's token.")
    assert (await _row(running, "quay")).trouble == "Another program is using this bot's token."
    await note_trouble(database, "quay", None)
    assert (await _row(running, "quay")).trouble is None
    await running.pause("quay", "ada")
    await note_trouble(database, "quay", "Too late.")
    assert (await _row(running, "quay")).trouble is None


async def test_stopping_stops_every_connector(accounts: Accounts, other: OtherPlatform) -> None:
    await accounts.add(None, SecretStr(HARBOUR), by="ada")
    task = asyncio.create_task(accounts.run_forever())
    await until(lambda: other.running)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert other.running == set()


async def test_a_permission_is_recorded_with_its_reference_and_withdrawn(accounts: Accounts) -> None:
    await accounts.add(None, SecretStr(HARBOUR), name="quay", by="ada")
    for nothing in ("", "   ", "x" * 1001):
        with pytest.raises(BadInput, match="permission"):
            await accounts.permission("quay", nothing, "ada")
    await accounts.permission("quay", " Ticket 17 ", "ada")
    row = await _row(accounts, "quay")
    assert (row.permission, row.permission_by) == ("Ticket 17", "ada")
    assert row.permission_at is not None
    await accounts.permission("quay", None, "bo")
    assert (await _row(accounts, "quay")).permission is None


def test_a_token_is_taken_out_of_whatever_way_an_address_writes_it() -> None:
    quoted = HARBOUR.replace(":", "%3A")
    text = f"bot{HARBOUR}/x bot{quoted}/y {HARBOUR.partition(':')[2]}"
    assert "harbour" not in without(SecretStr(HARBOUR), text)


async def _row(accounts: Accounts, name: str) -> Any:
    return next(row for row in await accounts.list() if row.name == name)


async def _in_state(accounts: Accounts, name: str, state: str) -> Any:
    row = await _row(accounts, name)
    return row if row.state == state else None


async def _untroubled(accounts: Accounts, name: str) -> bool:
    return (await _row(accounts, name)).trouble is None
