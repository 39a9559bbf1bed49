"""The settings that a job trains with: what the machine has room for, how much there is to learn, what was chosen.

The one place that makes them, for jobs and for benches alike. Free of torch. Knows numbers, nothing of models.
"""

from __future__ import annotations

from config.catalogue import CatalogueModel
from config.errors import JobFailed
from config.hardware import Plan
from tuning.training.run import Method, TrainingRun, no_whole_weights

FEW_EXAMPLES, MANY_EXAMPLES = 100, 20_000
"""Conversations under which rank 8 holds what there is to learn, and from which rank 32 has something to hold."""
BATCH_TOKENS = {"cpu": 1024, "cuda": 4096}
"""Tokens in one step of a job. Small batches learn better from little text; a card wants enough work at a time to be
worth asking."""


def run_for(
    model: CatalogueModel, hardware: Plan, method: Method, *, examples: int, system_prompt: str, replay_share: float
) -> TrainingRun:
    """Settings of a run of `method` on so many `examples`. Raises JobFailed where this machine cannot learn so."""
    if hardware.four_bits and method != "lora":
        raise JobFailed(no_whole_weights(method))
    return TrainingRun(
        model=model.location,
        system_prompt=system_prompt,
        dtype=hardware.dtype,
        device=hardware.device,
        four_bits=hardware.four_bits,
        threads=hardware.training_threads,
        context=hardware.learnt_context,
        method=method,
        rank=rank_for(method, examples, hardware.training_rank),
        batch_tokens=BATCH_TOKENS[hardware.device],
        replay_share=replay_share,
    )


def rank_for(method: Method, examples: int, largest: int) -> int:
    """The adapter's rank: by how much there is to learn; for what was learnt in the weights, all that the engine
    takes, because there is no other limit to what the change may look like."""
    if method != "lora":
        return largest
    return min(largest, 8 if examples < FEW_EXAMPLES else 16 if examples < MANY_EXAMPLES else 32)
