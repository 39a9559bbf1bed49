"""What a finished run leaves besides its adapter: what it was, and what the trainer computed with the adapter.

Free of torch. Stands in result.json and parity.json; the result goes on into the version's manifest and its report.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class ParityRow(BaseModel):
    """A conversation (system prompt included), its token ids, and each token's log-probability, the first None."""

    messages: list[dict[str, str]]
    ids: list[int]
    logprobs: list[float | None]


class Parity(BaseModel):
    """What the trainer computed with the saved adapter, as it stands in parity.json."""

    rows: list[ParityRow]


class TrainingResult(BaseModel):
    """What a finished run was, as it stands in result.json. Losses in nats per learnt token."""

    held_out_base: float
    held_out: float
    general_base: float | None
    general: float | None
    general_kept: bool = Field(description="whether general loss grew by no more than the run allowed")
    steps: int
    best_step: int
    epochs: float
    learnt_tokens: int = Field(description="tokens learnt from the community, repeats included")
    tokens_per_second: float = Field(description="learnt tokens, over the seconds spent on steps")
    seconds: float
    peak_memory: int = Field(description="bytes")
    learning_rate: float
    examples: int
    held_out_examples: int
    left_out: int = Field(description="rows with nothing to learn within the context")
    votes: int = Field(0, description="votes that there were, to be learnt from after the conversations")
    votes_kept: bool | None = Field(
        None, description="whether they were learnt from; False: it cost too much of what was learnt; None: too few"
    )
    method: str = "lora"
    rank: int = 16
    four_bits: bool = Field(False, description="whether the base was held in 4 bits; the losses here are on that one")
    kept: float | None = Field(None, description="of the change that was learnt, the share that the adapter holds")
    notes: list[str] = Field(default_factory=list, description="what did not go as usual, in sentences for people")
    seed: int
    run: dict[str, Any] = Field(default_factory=dict, description="all settings; of the system prompt its digest alone")
    data_digest: str = Field(description="of what was learnt from and measured on, votes among it, as tokens")
    code: str = Field("", description="digest of the code that trained it")
    versions: dict[str, str]
