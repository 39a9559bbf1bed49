"""What a killed process left behind for the next one: questions without an answer, commands whose end was not shown.

Promises that each is taken up once, and that a command which had begun and must not be done twice is not. Knows which
messages these are, and nothing of how they are answered.
"""

from __future__ import annotations

from bots.commands import Command
from bots.incoming import Incoming
from config.errors import Refused
from store import accounts
from store.database import Database
from store.left_behind import left_commands, left_unanswered
from store.tables import Channel, Message

INTERRUPTED = (
    "I was interrupted while I was busy with {command}, and did not begin it a second time; see whether it was done, "
    "and ask once more if it was not."
)


class LeftBehind:
    """One for a conversation. It looks into the log once for each account."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._left: dict[str, dict[tuple[str, str], Incoming]] = {}
        self._begun: set[int] = set()

    async def of(self, account: str) -> list[Incoming]:
        """What `account` was asked and has not been taken up yet, oldest first."""
        if account not in self._left:
            async with self._database.session() as session:
                known = await accounts.named(session, account)
                left = await left_unanswered(session, account)
                commands = await left_commands(session, account) if known is not None else []
            platform = known.platform if known is not None else "web"
            self._begun |= {message.id for _, message, begun in commands if begun}
            left += [(channel, message) for channel, message, _ in commands]
            found = [_as_it_came(*one, platform) for one in sorted(left, key=lambda one: one[1].id)]
            self._left[account] = {(one.channel, one.external_id): one for one in found}
        return list(self._left[account].values())

    def take_up(self, incoming: Incoming) -> None:
        """It is in the hands of this process from now on."""
        self._left.get(incoming.account, {}).pop((incoming.channel, incoming.external_id), None)

    def words_again(self, command: Command, words: tuple[str, ...], message: Message) -> tuple[str, ...]:
        """The words with which a command that was left behind is said once more. Raises Refused where it had begun and
        may not be done twice."""
        if message.id not in self._begun or command.killed == "repeat":
            return words
        if command.killed == "tell":
            raise Refused(INTERRUPTED.format(command=f"/{command.name}"))
        return ()


def _as_it_came(channel: Channel, message: Message, platform: str) -> Incoming:
    known_on, _, author_id = (message.author_key or "").partition(":")
    return Incoming(
        channel.account, channel.key, author_id, message.author, "member", message.text, message.external_id or "",
        parent=channel.parent_key, server=channel.server_key, private=channel.private, mentioned=True,
        platform=known_on or platform,
    )  # fmt: skip
