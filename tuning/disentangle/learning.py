"""Teaches one network: which of the candidates, or none, does a message answer. In torch; run time has network.py.

The loss is the log-probability of any right answer. Dropout and few epochs keep it from learning its logs by heart, and
in a share of the rows the words are withheld, so that it also judges well in languages that it has no words of.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from tuning.disentangle.columns import Columns
from tuning.disentangle.model import Question

Array = npt.NDArray[Any]
LONGEST = 16
"""Learnt words of one message that are looked at in training."""
SPREAD = 1e-2
"""Added to a feature's standard deviation: what hardly varies is not blown up."""
CLIP = 2.0
WARM_UP = 200


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a network and its training. `vector`: numbers a word, 0 for no words; `wordless`: rows without words."""

    hidden: int
    deeper: int
    vector: int
    dropout: float
    epochs: int
    rate: float = 2e-3
    rows: int = 256
    decay: float = 1e-4
    wordless: float = 0.15


FIRST = Shape(hidden=32, deeper=16, vector=0, dropout=0.1, epochs=4)
SECOND = Shape(hidden=64, deeper=32, vector=16, dropout=0.2, epochs=4)
PUPIL = Shape(hidden=64, deeper=32, vector=16, dropout=0.1, epochs=3)
"""Of the second network that is kept, which several others of its kind teach."""


@dataclass(frozen=True, slots=True)
class Taught:
    """A question about a log, `alone` [n, m] of all its messages, the `rows` [j] asked, and what is `right`
    [j, k + 1], the last of answering none; nothing is where nobody judged. `likely` [j, k + 1]: what teachers think."""

    question: Question
    alone: Array
    columns: Columns
    rows: Array
    right: Array
    likely: Array | None = None


class _Examples:
    """All judged rows of many logs as tensors, row for row."""

    def __init__(self, logs: Sequence[Taught], words: int) -> None:
        def joined(parts: list[Array]) -> Tensor:
            return torch.from_numpy(np.concatenate(parts))

        pairs, alone, more, others, listed, offset = [], [], [], [], [], 0
        for one in logs:
            question, rows = one.question, one.rows
            shown, each = question.others.shape
            table = question.pairs.reshape(len(question.pairs), shown, each)
            pairs.append(table[:, rows].transpose(1, 2, 0).astype(np.float16))
            alone.append(one.alone)
            more.append(question.alone[rows, one.alone.shape[1] :])
            others.append(question.others[rows] + offset)
            listed.append(_padded(one.columns, words))
            offset += len(one.alone)
        starts = np.cumsum([0, *(len(one.alone) for one in logs)])[:-1]
        self.pairs, self.alone, self.more = joined(pairs), joined(alone), joined(more)
        self.others, self.words = joined(others), joined(listed)
        self.rows = joined([one.rows + start for one, start in zip(logs, starts, strict=True)])
        self.outside = joined([one.question.outside[one.rows] for one in logs])
        self.right = joined([one.right for one in logs])
        self.likely = joined([one.right * np.float32(0) if one.likely is None else one.likely for one in logs])
        self.are_taught = all(one.likely is not None for one in logs)


class _Scorer(nn.Module):
    """The torch side of Network, with normalisation and dropout apart."""

    def __init__(self, examples: _Examples, shape: Shape, words: int) -> None:
        super().__init__()
        self.shape = shape
        vector, alone = shape.vector, examples.alone.shape[1]
        features, more = examples.pairs.shape[2], examples.more.shape[1]
        self.vectors = nn.EmbeddingBag(words + 1, vector, mode="sum", padding_idx=words) if vector else None
        if self.vectors is not None:
            nn.init.normal_(self.vectors.weight, 0, 0.1)
            self.vectors.weight.data[words] = 0
        self.pair = nn.Linear(features + vector, shape.hidden)
        self.one = nn.Linear(vector + alone, shape.hidden, bias=False)
        self.other = nn.Linear(vector + alone, shape.hidden, bias=False)
        self.second, self.last = nn.Linear(shape.hidden, shape.deeper), nn.Linear(shape.deeper, 1)
        self.none = nn.Linear(vector + alone + more, shape.deeper)
        self.none_last = nn.Linear(shape.deeper, 1)
        inside = examples.pairs[~examples.outside].float()
        for name, table in (("pair", inside), ("alone", examples.alone), ("more", examples.more)):
            self.register_buffer(f"{name}_mean", table.mean(0))
            spread = table.std(0, correction=0) if table.shape[1] else table[0]
            self.register_buffer(f"{name}_spread", spread + SPREAD)

    def forward(self, examples: _Examples, rows: Tensor) -> Tensor:
        """Scores [b, k + 1] of these rows."""
        one, other = examples.rows[rows], examples.others[rows]
        pairs = (examples.pairs[rows].float() - self.pair_mean) / self.pair_spread
        mine, theirs = self._messages(examples, one), self._messages(examples, other)
        vector = self.shape.vector
        if vector:
            if self.training:
                kept = (torch.rand(len(rows), 1) > self.shape.wordless).float()
                mine = torch.cat([mine[:, :vector] * kept, mine[:, vector:]], -1)
                theirs = torch.cat([theirs[..., :vector] * kept[:, None], theirs[..., vector:]], -1)
            pairs = torch.cat([pairs, mine[:, None, :vector] * theirs[..., :vector]], -1)
        hidden = self._drop(torch.relu(self.pair(pairs) + self.one(mine)[:, None] + self.other(theirs)))
        scores = self.last(self._drop(torch.relu(self.second(hidden))))[..., 0]
        more = (examples.more[rows] - self.more_mean) / self.more_spread
        none = self.none_last(self._drop(torch.relu(self.none(torch.cat([mine, more], -1)))))
        return torch.cat([scores.masked_fill(examples.outside[rows], -1e4), none], -1)

    def _messages(self, examples: _Examples, messages: Tensor) -> Tensor:
        alone = (examples.alone[messages] - self.alone_mean) / self.alone_spread
        if self.vectors is None:
            return alone
        listed = examples.words[messages]
        count = (listed != self.vectors.padding_idx).sum(-1, keepdim=True).clamp(min=1)
        summed = self.vectors(listed.reshape(-1, LONGEST).long()).reshape(*listed.shape[:-1], -1)
        return torch.cat([self._drop(summed / count.sqrt()), alone], -1)

    def _drop(self, numbers: Tensor) -> Tensor:
        return functional.dropout(numbers, self.shape.dropout, self.training)

    def weights(self) -> dict[str, Array]:
        """What Network takes, normalisation folded in."""
        vector, features = self.shape.vector, len(self.pair_mean)
        found = {}
        bias = self.pair.bias
        pair = self.pair.weight.T.clone()
        bias = bias - (self.pair_mean / self.pair_spread) @ pair[:features]
        pair[:features] /= self.pair_spread[:, None]
        for name, layer in (("one", self.one), ("other", self.other)):
            table = layer.weight.T.clone()
            bias = bias - (self.alone_mean / self.alone_spread) @ table[vector:]
            table[vector:] /= self.alone_spread[:, None]
            found[name] = table
        mean = torch.cat([torch.zeros(vector), self.alone_mean, self.more_mean])
        spread = torch.cat([torch.ones(vector), self.alone_spread, self.more_spread])
        found |= {"pair": pair, "first_bias": bias}
        found |= {"second": self.second.weight.T, "second_bias": self.second.bias}
        found |= {"last": self.last.weight[0], "last_bias": self.last.bias}
        found |= {"none": self.none.weight.T / spread[:, None]}
        found |= {"none_bias": self.none.bias - (mean / spread) @ self.none.weight.T}
        found |= {"none_last": self.none_last.weight[0], "none_last_bias": self.none_last.bias}
        if self.vectors is not None:
            found["vectors"] = self.vectors.weight[:-1]
        return {name: value.detach().numpy().copy() for name, value in found.items()}


def learn(logs: Sequence[Taught], shape: Shape, words: int, seed: int) -> dict[str, Array]:
    """The weights of a network that was taught these logs. Where there are teachers, their opinion counts as much as
    what is right, and is followed where nobody judged."""
    torch.manual_seed(seed)
    chance = np.random.default_rng(seed)
    examples = _Examples(logs, words)
    scorer = _Scorer(examples, shape, words)
    judged = examples.right.any(1)
    answerable = (judged | examples.are_taught).nonzero()[:, 0].numpy()
    optimizer = torch.optim.AdamW(scorer.parameters(), lr=shape.rate, weight_decay=shape.decay)
    steps = shape.epochs * math.ceil(len(answerable) / shape.rows)
    step = 0
    for epoch in range(shape.epochs):
        order = chance.permutation(answerable)
        total = 0.0
        for start in range(0, len(order), shape.rows):
            rows = torch.from_numpy(order[start : start + shape.rows])
            rate = shape.rate * min(1, (step + 1) / WARM_UP) * (1 + math.cos(math.pi * step / steps)) / 2
            for group in optimizer.param_groups:
                group["lr"] = rate
            likely = functional.log_softmax(scorer(examples, rows), -1)
            right = -torch.logsumexp(likely.masked_fill(~examples.right[rows], -1e4), 1) * judged[rows]
            loss = (right - (examples.likely[rows] * likely).sum(1)).mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(scorer.parameters(), CLIP)
            optimizer.step()
            step += 1
            total += loss.item() * len(rows)
        print(f"  epoch {epoch + 1} of {shape.epochs}: {total / len(order):.4f} nats a message", flush=True)
    return scorer.weights()


def _padded(columns: Columns, words: int) -> Array:
    """[n, LONGEST] the first learnt words of each message, filled up with `words`."""
    place = np.arange(len(columns.word)) - np.searchsorted(columns.word_row, columns.word_row)
    table = np.full((len(columns), LONGEST), words, np.int16)
    kept = place < LONGEST
    if words:
        table[columns.word_row[kept], place[kept]] = columns.word[kept]
    return table
