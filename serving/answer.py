"""How an answer is asked for and what comes of it: plain data, which whoever waits for answers knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an answer is drawn. `max_tokens` of the answer; temperature 0 always takes the likeliest token. `continues`:
    the last message is the beginning of the answer, which goes on from there."""

    max_tokens: int = 256
    temperature: float = 0.6
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    continues: bool = False

    def body(self) -> dict[str, Any]:
        """As fields of a request."""
        fields: dict[str, Any] = {
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": 0,
            "repetition_penalty": self.repetition_penalty,
        }
        if self.seed is not None:
            fields["seed"] = self.seed
        if self.stop:
            fields["stop"] = list(self.stop)
        if self.continues:
            fields |= {"continue_final_message": True, "add_generation_prompt": False}
        return fields


@dataclass(frozen=True, slots=True)
class Piece:
    """Some more text of an answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """A whole answer. `finish_reason`: stop or length. Counts in tokens, times in seconds since it was asked for."""

    text: str
    finish_reason: str
    prompt_tokens: int
    answer_tokens: int
    seconds_to_first: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Scored:
    """A conversation as the engine renders it, and each token's natural log-probability; the first has none."""

    ids: list[int]
    logprobs: list[float | None]
