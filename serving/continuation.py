"""An answer while it is said, and what is asked for once its engine broke off in the middle: the rest of it.

Promises one whole answer: what was shown stays, the rest joins it without a word or a space twice, together they keep
to the length that was asked for, and each token is counted once. Knows neither the engine nor who waits.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Protocol

from config.errors import EngineUnavailable
from serving.answer import Finished, Piece, Sampling
from serving.prompt import Message


class Tokenizer(Protocol):
    """Of the base model; `serving.prompt.ChatTokenizer` is one."""

    def text_ids(self, text: str) -> list[int]:
        """Token ids of plain text."""
        ...

    def without_control(self, text: str) -> str:
        """`text` without the model's control tokens."""
        ...


TokenizerSource = Callable[[], Awaitable[Tokenizer]]


class Continued:
    """The answer to `messages`. `messages` and `sampling` are what the engine is to be asked; `broke` is why the rest
    is asked for, None before that."""

    def __init__(self, messages: Sequence[Message], sampling: Sampling) -> None:
        self.messages = messages
        self.sampling = sampling
        self.broke: EngineUnavailable | None = None
        self._said: list[str] = []
        self._tokens = 0
        self._shown_blank = self._blank = ""
        self._asked = time.perf_counter()
        self._first = 0.0

    @property
    def begun(self) -> bool:
        """Whether any of it was said."""
        return bool(self._said)

    def joined(self, event: Piece | Finished) -> Piece | Finished | None:
        """`event` of the engine, as it belongs to the whole answer; None where nothing of it does."""
        if isinstance(event, Piece):
            text = self._seamed(event.text)
            if not text:
                return None
            if not self._said:
                self._first = time.perf_counter() - self._asked
            self._said.append(text)
            return Piece(text)
        if self.broke is None:
            return event
        return Finished(
            "".join(self._said),
            event.finish_reason,
            event.prompt_tokens - self._tokens,
            event.answer_tokens + self._tokens,
            self._first,
            time.perf_counter() - self._asked,
        )

    def go_on(self, tokenizer: Tokenizer, broke: EngineUnavailable) -> bool:
        """From now on it is the rest that is asked for; False where it may be no longer than it is."""
        said = "".join(self._said)
        # Some templates trim what is said and some don't, so that the model writes the space at its end again.
        self._shown_blank = said[len(said.rstrip()) :]
        said = tokenizer.without_control(said).rstrip()
        self.broke = broke
        if said:
            self._tokens = len(tokenizer.text_ids(said))
            self.messages = [*self.messages, {"role": "assistant", "content": said}]
            self.sampling = replace(self.sampling, max_tokens=self.sampling.max_tokens - self._tokens, continues=True)
        return self.sampling.max_tokens > 0

    def _seamed(self, text: str) -> str:
        """`text` less the space that is shown already; nothing as long as that may go on."""
        if not self._shown_blank:
            return text
        self._blank += text
        rest = self._blank.lstrip()
        if not rest:
            return ""
        blank, shown = self._blank[: -len(rest)], self._shown_blank
        while blank and shown and blank[0] == shown[0]:
            blank, shown = blank[1:], shown[1:]
        self._shown_blank = ""
        return blank + rest
