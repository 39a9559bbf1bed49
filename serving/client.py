"""The client of one engine: answers streamed or whole, and the log-probabilities of a given conversation.

Promises that closing or cancelling a stream ends the request in the engine, that no wait is without end, and that
whatever fails is an error of our tree, an answer that was cut included. Every request names a version, so every request
has an adapter. Knows neither assistants nor who started the engine. aiohttp carries it, whose parser is in C: reading a
streamed answer costs it a fraction of what httpx takes.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from pydantic import SecretStr

from config.errors import EngineUnavailable
from config.names import VersionName
from config.request import current
from serving.answer import Finished, Piece, Sampling, Scored
from serving.metrics import ServingMetrics
from serving.prompt import Message
from serving.refusals import BROKEN_OFF, refusal, said
from serving.wholeness import Wholeness

CONNECT_SECONDS = 5.0
FIRST_TOKEN_SECONDS = 300.0
"""Generous: other requests and other adapters may come first."""
BETWEEN_TOKENS_SECONDS = 60.0
HEALTH_SECONDS = 10.0
KEPT_SECONDS = 2.0
"""How long an idle connection is used again: well under the 5 s after which the engine closes it."""
CHAT = "/v1/chat/completions"
WHOLE = ("stop", "length")
"""How an answer ends that is whole; an engine that is being ended says “abort”."""


class EngineClient:
    """Talks to the engine behind `socket`. `context`: the longest prompt and answer together, in tokens.

    Every request carries the id of what it works for (`config.request`), and is counted in `metrics`. `whole` looks at
    a version's files before the engine is asked for it; None where they lie elsewhere."""

    def __init__(
        self,
        socket: Path,
        key: SecretStr,
        context: int,
        metrics: ServingMetrics | None = None,
        whole: Wholeness | None = None,
    ) -> None:
        self.context = context
        self.metrics = metrics or ServingMetrics()
        self._whole = whole
        self._socket = socket
        self._key = key
        self._opened: aiohttp.ClientSession | None = None
        self._before: list[aiohttp.ClientSession] = []
        self._under_way: Counter[aiohttp.ClientSession] = Counter()
        self._engine_seen = 0

    @property
    def _http(self) -> aiohttp.ClientSession:
        """Opened at the first use, since aiohttp wants a running loop, and anew once another engine listens at the
        socket: what is under way over old connections goes on there, and nothing new is asked over them."""
        listening = self._listening()
        if listening != self._engine_seen and self._opened is not None:
            self._before.append(self._opened)
            self._opened = None
        self._engine_seen = listening
        if self._opened is None:
            connector = aiohttp.UnixConnector(str(self._socket), limit=0, keepalive_timeout=KEPT_SECONDS)
            self._opened = aiohttp.ClientSession(
                base_url="http://engine",  # for the header only: the socket leads there
                connector=connector,
                headers={
                    "Authorization": f"Bearer {self._key.get_secret_value()}",
                    "Content-Type": "application/json",
                },
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                trust_env=False,
                auto_decompress=False,
            )
        return self._opened

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[aiohttp.ClientSession]:
        """For one request. Those of engines that are gone are closed as soon as nothing is under way in them."""
        http = self._http
        self._under_way[http] += 1
        try:
            yield http
        finally:
            self._under_way[http] -= 1
            self._under_way += Counter()  # keeps no zeros
            for idle in [session for session in self._before if session not in self._under_way]:
                self._before.remove(idle)
                await idle.close()

    def _listening(self) -> int:
        """Tells one engine's socket from another's at the same path; 0 where there is none."""
        try:
            return self._socket.stat().st_ino
        except FileNotFoundError:
            return 0

    async def close(self) -> None:
        """Let all connections go."""
        if self._opened is not None:
            self._before.append(self._opened)
            self._opened = None
        while self._before:
            await self._before.pop().close()

    async def healthy(self, within: float = HEALTH_SECONDS) -> bool:
        """Whether the engine answers within so many seconds and says that it is well."""
        try:
            async with asyncio.timeout(within), self._session() as http, http.get("/health") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def own_metrics(self) -> bytes:
        """What the engine itself tells Prometheus; nothing where it does not answer."""
        try:
            async with asyncio.timeout(HEALTH_SECONDS), self._session() as http, http.get("/metrics") as answer:
                return await answer.read() if answer.status == 200 else b""
        except (aiohttp.ClientError, TimeoutError, OSError):
            return b""

    async def loaded(self) -> list[VersionName]:
        """Every version that this engine has loaded since it started, whoever asked. Raises EngineUnavailable."""
        try:
            async with asyncio.timeout(HEALTH_SECONDS), self._http.get("/v1/models") as answer:
                cards = json.loads(await answer.read()).get("data", [])
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise EngineUnavailable("The engine does not say what it has loaded; try again in a minute.") from error
        return [VersionName.parse(card["id"]) for card in cards if card["parent"]]

    async def stream(
        self, version: VersionName, messages: Sequence[Message], sampling: Sampling
    ) -> AsyncGenerator[Piece | Finished]:
        """Pieces of the answer as they come, then one Finished with the whole of it.

        A caller that stops early closes the iterator (`contextlib.aclosing`), and with it the request. Raises
        EngineUnavailable, NotFound (no such version), Refused (a version that this engine cannot load), BadInput
        (too long).
        """
        body = self._body(version, messages) | sampling.body()
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        asked = time.perf_counter()
        first: float | None = None
        pieces: list[str] = []
        reason: str | None = None
        usage: dict[str, int] = {}
        with self.metrics.request(version) as measured, said(version):
            await self._check(version)
            async with self._session() as http:
                async with asyncio.timeout(FIRST_TOKEN_SECONDS):
                    answer = await http.post(CHAT, data=_encoded(body), headers=_request_id())
                try:
                    if answer.status != 200:
                        raise await refusal(answer, version)
                    rest = b""
                    # Read to its end, not to [DONE]: only then can the connection be used again.
                    while not answer.content.at_eof():
                        async with asyncio.timeout(FIRST_TOKEN_SECONDS if first is None else BETWEEN_TOKENS_SECONDS):
                            block = await answer.content.readany()
                        *events, rest = (rest + block).split(b"\n\n")
                        for event in events:
                            if not event.startswith(b"data: {"):
                                continue
                            chunk = json.loads(event[6:])
                            if "error" in chunk:
                                raise EngineUnavailable(BROKEN_OFF)
                            usage = chunk.get("usage") or usage
                            for choice in chunk["choices"]:
                                reason = choice.get("finish_reason") or reason
                                if text := choice["delta"].get("content"):
                                    first = first or time.perf_counter() - asked
                                    measured.piece()
                                    pieces.append(text)
                                    yield Piece(text)
                finally:
                    answer.close()  # one that was read to its end has let its connection go already
            if reason not in WHOLE:
                raise EngineUnavailable(BROKEN_OFF)
            measured.tokens(usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0))
        seconds = time.perf_counter() - asked
        yield Finished(
            "".join(pieces),
            reason,
            usage.get("prompt_tokens", 0),
            usage.get("completion_tokens", 0),
            seconds if first is None else first,
            seconds,
        )

    async def answer(self, version: VersionName, messages: Sequence[Message], sampling: Sampling) -> Finished:
        """The whole answer. Raises as `stream` does."""
        async with aclosing(self.stream(version, messages, sampling)) as events:
            async for event in events:
                if isinstance(event, Finished):
                    return event
        raise EngineUnavailable(BROKEN_OFF)

    async def score(self, version: VersionName, messages: Sequence[Message]) -> Scored:
        """How likely `version` finds each token of a whole conversation, rendered by the engine's own chat endpoint.

        The conversation takes at most `context` - 1 tokens. Raises as `stream` does.
        """
        body = self._body(version, messages) | {
            "add_generation_prompt": False,
            "max_tokens": 1,
            "temperature": 0.0,
            "prompt_logprobs": 0,
            "return_token_ids": True,
        }
        with said(version):
            await self._check(version)
            async with (
                asyncio.timeout(FIRST_TOKEN_SECONDS),
                self._session() as http,
                http.post(CHAT, data=_encoded(body)) as answer,
            ):
                if answer.status != 200:
                    raise await refusal(answer, version)
                scored = json.loads(await answer.read())
        if scored["choices"][0]["finish_reason"] not in WHOLE:
            raise EngineUnavailable(BROKEN_OFF)
        ids: list[int] = scored["prompt_token_ids"]
        # One entry a token, by token id as text; where the likeliest token is there too, ours is picked out by id.
        chosen = zip(ids, scored["prompt_logprobs"], strict=True)
        return Scored(ids, [None if entry is None else float(entry[str(token)]["logprob"]) for token, entry in chosen])

    async def warm(self, version: VersionName) -> None:
        """Have the engine load the version's adapter, so that no person waits for it. Raises as `stream` does."""
        await self.answer(version, [{"role": "user", "content": "Hello"}], Sampling(max_tokens=1, temperature=0.0))

    async def _check(self, version: VersionName) -> None:
        if self._whole is not None:
            await self._whole.check(version)

    def _body(self, version: VersionName, messages: Sequence[Message]) -> dict[str, Any]:
        return {"model": str(version), "messages": list(messages)}


def _request_id() -> dict[str, str] | None:
    """The header by which the engine's log names what this is for."""
    asked = current()
    return None if asked is None else {"X-Request-Id": asked.id}


def _encoded(body: dict[str, Any]) -> bytes:
    """As JSON. Raises UnicodeEncodeError for lone surrogates."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
