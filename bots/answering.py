"""One answer, from question to logged row: routed, fitted, in turn, streamed, stopped when asked.

Promises that whatever happens ends in an Answer or one honest sentence, and in a row that says the same. Knows
nothing of commands; who comes when is `serving.entrance`'s affair.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from bots.events import Answer, Button, Event, Notice, Said
from bots.history import Fitted, Turn, fit
from bots.seams import Engine, TokenizerSource
from bots.stopping import Stop, Stopped
from config.errors import EngineUnavailable, ParlanceError
from config.names import VersionName
from config.settings import Settings
from config.traces import span
from serving.answer import Finished, Piece, Sampling
from serving.entrance import Entrance, as_soon_as_ready
from serving.fallback import with_last_good
from serving.router import Place, Routed, route
from store.conversations import Figures, begin_answer, finish_answer, remembered
from store.database import Database
from store.tables import Channel, Message

LOOK_BACK = 200
"""Messages read from the database for a prompt; far more than fit a window of talk."""
BROKEN_OFF = "I was cut off in the middle of that. /again makes me answer afresh."
WORDLESS = "I found no words for that; please put it another way, or try /again."
TROUBLE = "Something went wrong here while I was answering, and it has been noted; please try again with /again."

log = structlog.get_logger()


def place_of(channel: Channel) -> Place:
    """Where a channel lies, as the router asks."""
    return Place(channel.key, channel.parent_key, channel.server_key, channel.account)


def buttons_of(answer_id: int) -> tuple[Button, ...]:
    """What stands under an answer. All they need is in the commands, so they work after any restart."""
    return (
        Button("Good", f"/vote good {answer_id}", "quiet"),
        Button("Bad", f"/vote bad {answer_id}", "quiet"),
        Button("Again", f"/again {answer_id}", "quiet"),
    )


@dataclass(slots=True)
class _Progress:
    """What has been said of an answer so far."""

    text: str = ""
    version: str | None = None
    started: float = 0.0
    first: float | None = None

    def figures(self, finished: Finished | None) -> Figures:
        if finished is not None:
            return Figures(finished.prompt_tokens, finished.answer_tokens, finished.seconds_to_first, finished.seconds)
        spent = time.monotonic() - self.started if self.started else None
        return Figures(None, None, self.first, spent)


class Answering:
    """Answers questions that are already logged."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        engine: Engine,
        tokenizer_source: TokenizerSource,
        entrance: Entrance,
    ) -> None:
        self._database = database
        self._settings = settings
        self._engine = engine
        self._entrance = entrance
        self._tokenizer = tokenizer_source

    async def answer(self, channel: Channel, question: Message, stop: Stop, show: Callable[[Event], None]) -> None:
        """Answer `question`; returns when it is logged. Raises nothing but a cancellation, which leaves the row
        open, so that the next start takes it up."""
        async with self._database.session() as session:
            row = await begin_answer(session, question, "")
        progress = _Progress()
        try:
            finished = await self._said(channel, question, row.id, stop, show, progress)
        except Stopped:
            await self._cut(question, row.id, progress, show)
        except EngineUnavailable as error:
            log.warning("answer_failed", channel=channel.key, exc_info=True)
            if progress.text:
                await self._cut(question, row.id, progress, show)
                show(Notice(BROKEN_OFF, "warning"))
            else:
                await self._failed(row.id, str(error), show)
        except ParlanceError as error:
            log.warning("answer_failed", channel=channel.key, exc_info=True)
            await self._failed(row.id, str(error), show)
        except Exception:
            log.exception("answer_failed", channel=channel.key)
            await self._failed(row.id, TROUBLE, show)
        else:
            if not progress.text.strip():
                await self._failed(row.id, WORDLESS, show)
                return
            await self._log(row.id, "said", progress, finished)
            show(Answer(row.id, question.id, progress.text, progress.version or "", buttons=buttons_of(row.id)))

    async def _said(
        self,
        channel: Channel,
        question: Message,
        answer_id: int,
        stop: Stop,
        show: Callable[[Event], None],
        progress: _Progress,
    ) -> Finished:
        if self._engine.status.state != "ready":  # before the prompt is made, which is to hold what is so then
            show(Notice(as_soon_as_ready(self._engine.status.sentence), passing=True))
            await stop.unless(self._engine.wait_ready())
        shortened = False

        async def find() -> tuple[VersionName, tuple[Routed, Fitted]]:
            nonlocal shortened
            with span("prompt") as made:
                routed, fitted = await stop.unless(self._prompt(channel, question))
                made.set_attributes({"assistant": routed.assistant.name, "tokens": fitted.tokens})
            if fitted.shortened and not shortened:
                show(Notice("That was more than I can hold in mind at once, so I read its beginning and its end."))
            shortened = fitted.shortened
            return routed.version, (routed, fitted)

        async def ask(found: tuple[Routed, Fitted]) -> Finished:
            return await self._stream(*found, question, answer_id, stop, show, progress)

        return await with_last_good(self._database, find, ask)

    async def _prompt(self, channel: Channel, question: Message) -> tuple[Routed, Fitted]:
        tokenizer = await self._tokenizer()
        with span("route"):
            routed = await route(self._database, place_of(channel))
        messages = await remembered(self._database, channel, question.id, LOOK_BACK)
        room = self._engine.client.context - self._longest_answer()

        def fitted() -> Fitted:
            turns = [
                Turn(
                    m.role == "assistant",
                    tokenizer.without_control(m.text),
                    None if channel.private or m.role == "assistant" else tokenizer.without_control(m.author),
                )
                for m in messages
            ]
            return fit(tokenizer.count, routed.system_prompt, turns, room)

        return routed, await asyncio.to_thread(fitted)

    def _longest_answer(self) -> int:
        """Tokens kept free for the answer: at most half the window, so that there is always room to ask."""
        return min(self._settings.max_answer_tokens, self._engine.client.context // 2)

    async def _stream(
        self,
        routed: Routed,
        fitted: Fitted,
        question: Message,
        answer_id: int,
        stop: Stop,
        show: Callable[[Event], None],
        progress: _Progress,
    ) -> Finished:
        sampling = Sampling(
            max_tokens=self._longest_answer(),
            temperature=self._settings.temperature,
            repetition_penalty=self._settings.repetition_penalty,
        )
        progress.version = str(routed.version)
        progress.started = time.monotonic()
        finished: Finished | None = None
        pieces = self._entrance.stream(
            routed.version, fitted.messages, sampling,
            assistant=routed.assistant.name, person=question.author_key or str(question.channel_id),
            told=lambda sentence: show(Notice(sentence, passing=True)),
        )  # fmt: skip
        async for piece in stop.through(pieces):
            if isinstance(piece, Piece):
                if progress.first is None:
                    progress.first = time.monotonic() - progress.started
                progress.text += piece.text
                show(Said(answer_id, piece.text))
            else:
                finished = piece
        if finished is None:
            raise EngineUnavailable("The engine broke off before the answer was complete; please ask again.")
        return finished

    async def _cut(self, question: Message, answer_id: int, progress: _Progress, show: Callable[[Event], None]) -> None:
        await self._log(answer_id, "cut", progress, None)
        buttons = buttons_of(answer_id)
        show(Answer(answer_id, question.id, progress.text, progress.version or "", cut=True, buttons=buttons))

    async def _failed(self, answer_id: int, sentence: str, show: Callable[[Event], None]) -> None:
        async with self._database.session() as session:
            await finish_answer(session, answer_id, "failed", sentence, None, Figures())
        show(Notice(sentence, "warning", message_id=answer_id))

    async def _log(self, answer_id: int, state: str, progress: _Progress, finished: Finished | None) -> None:
        async with self._database.session() as session:
            await finish_answer(session, answer_id, state, progress.text, progress.version, progress.figures(finished))
