"""One command being carried out: who asked, where, with which words, and what it may use to do it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bots.access import Access
from bots.answering import place_of
from bots.events import Event, Notice, Whisper
from bots.incoming import Incoming, Role
from bots.line import Line
from bots.modes import Modes
from bots.seams import Engine, TokenizerSource
from bots.stopping import Stop
from config.settings import Settings
from serving.entrance import Entrance
from serving.router import Routed, resolve
from store.database import Database
from store.tables import Channel, Message

_NAME = re.compile(r"\s*/\w+(?:@\w+)?\s*")


@dataclass(frozen=True, slots=True)
class Call:
    """`incoming.role` is the joined role of the asker here, `known` what their connector alone says of them; `message`
    is the command as it was logged (id 0: it was not), `words` follow its name. `stop` is pressed by /stop; `answer`
    answers a logged question in turn."""

    incoming: Incoming
    known: Role
    channel: Channel
    message: Message
    words: tuple[str, ...]
    database: Database
    settings: Settings
    engine: Engine
    access: Access
    modes: Modes
    line: Line
    stop: Stop
    show: Callable[[Event], None]
    answer: Callable[[Channel, Message, Stop, Callable[[Event], None]], Awaitable[None]]
    tokenizer: TokenizerSource
    entrance: Entrance

    @property
    def word(self) -> str:
        """The first word, or nothing."""
        return self.words[0] if self.words else ""

    @property
    def text(self) -> str:
        """All that follows the command's name, as it was written, line breaks included."""
        text = self.incoming.text.encode("utf-8", "replace").decode()
        return _NAME.sub("", text, count=1).strip()

    def whisper(self, sentence: str) -> None:
        """Tell the asker alone, where there is a way to."""
        self.show(Whisper(sentence))

    def say(self, sentence: str) -> None:
        """Show one sentence."""
        self.show(Notice(sentence))

    async def routed(self) -> Routed:
        """The assistant that answers here. Raises NotFound where there is none."""
        async with self.database.session() as session:
            return await resolve(session, place_of(self.channel))
