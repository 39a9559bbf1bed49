"""Trains the model of reply structure, from the annotated IRC logs of Kummerfeld et al. (2019).

    python -m tuning.disentangle.train FOLDER [--seed 1] [--out FILE]

FOLDER holds `train/`, with NAME.ascii.txt and NAME.annotation.txt (CC BY 4.0; README.md says where from). Everything
is learnt from it alone; `dev/` beside it is what choices were made on, by `python -m bench.disentangle`. The second
network is taught with the first one's answers as it gives them to logs that it was not trained on. Needs torch, which
nothing at run time does.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import save_file

from tuning.disentangle.columns import MARKS, Columns, Reader
from tuning.disentangle.evidence import Evidence
from tuning.disentangle.irc import Log, read_logs
from tuning.disentangle.learning import FIRST, PUPIL, SECOND, Taught, learn
from tuning.disentangle.model import WEIGHTS, Question, ask, first_question, second_question, sentences
from tuning.disentangle.network import Network
from tuning.disentangle.structure import Links, softmax
from tuning.disentangle.window import BUCKETS, COUNTED, IN_LOG, WINDOW, bucket_of_column, look

MOST_WORDS = 6000
FEWEST_LOGS = 8
"""A word is learnt where so many logs have it and it is nobody's name: what few people say could tell who they are."""
FOLDS = 3
TEACHERS = 5
LONGEST = 20
CAUTION = 5.0
"""Pairs of the average kind that every count begins with."""

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Spoken:
    """A log without its notices. `rows`: those judged; `answered` [rows, any] the rows that each answers."""

    columns: Columns
    answered: dict[int, set[int]]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train the model of who answers whom.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    logs = read_logs(given.folder / "train")
    save_file(train(logs, given.seed), given.out)
    print(f"{given.out.stat().st_size:,} bytes; now: python -m bench.disentangle {given.folder / 'dev'}")
    return 0


def train(logs: Sequence[Log], seed: int) -> dict[str, Array]:
    """The tensors of `Model`, from annotated logs. The same logs and seed give the same tensors on one machine."""
    words = vocabulary(logs)
    spoken = [without_notices(log, {word: number for number, word in enumerate(words)}) for log in logs]
    counts = first_counts(spoken)
    evidence = [Evidence(one.columns) for one in spoken]
    asked = [first_question(one, counts, 0, one.length) for one in evidence]
    first = [taught(one, seen, question) for one, seen, (question, _) in zip(spoken, evidence, asked, strict=True)]
    print("first network")
    tensors = {f"first.{name}": value for name, value in learn(first, FIRST, 0, seed).items()}
    second: dict[int, Taught] = {}
    for fold in range(FOLDS):
        print(f"the first network as it answers logs unseen, {fold + 1} of {FOLDS}")
        others = [one for number, one in enumerate(first) if number % FOLDS != fold]
        network = Network(learn(others, FIRST, 0, seed + 1 + fold))
        for number in range(fold, len(spoken), FOLDS):
            seen, (question, window) = evidence[number], asked[number]
            scores = ask(network, question, seen.alone)
            links = Links.likeliest(scores, question.others, seen.rows)
            again = second_question(seen, seen.alone, question, window, scores, links)
            second[number] = taught(spoken[number], seen, again)
    asked_again = [second[number] for number in range(len(spoken))]
    teachers = []
    for number in range(TEACHERS):
        print(f"second network, teacher {number + 1} of {TEACHERS}")
        teachers.append(learn(asked_again, SECOND, len(words), seed + number))
    print("second network, their pupil")
    last = learn([with_opinions(one, teachers) for one in asked_again], PUPIL, len(words), seed)
    tensors |= {f"second.{name}": value for name, value in last.items()}
    return {
        "words": np.frombuffer("\n".join(words).encode(), np.uint8),
        "vectors": tensors.pop("second.vectors").astype(np.float16),
        "counts": counts.astype(np.float16),
        **{name: value.astype(np.float16) for name, value in tensors.items()},
    }


def with_opinions(taught: Taught, teachers: Sequence[Mapping[str, Array]]) -> Taught:
    """The same for all rows of the log, with the teachers' mean opinion."""
    question, known = taught.question, taught.alone.shape[1]
    likely = np.zeros((len(question.others), question.others.shape[1] + 1), np.float32)
    for weights in teachers:
        messages = np.concatenate([sentences(taught.columns, weights["vectors"]), taught.alone], 1)
        alone = np.concatenate([messages, question.alone[:, known:]], 1)
        likely += softmax(ask(Network(weights), replace(question, alone=alone), messages)) / len(teachers)
    right = np.zeros(likely.shape, bool)
    right[taught.rows] = taught.right
    return replace(taught, rows=np.arange(len(likely)), right=right, likely=likely)


def vocabulary(logs: Sequence[Log]) -> list[str]:
    """Words that many logs have, the most used first."""
    uses: Counter[str] = Counter()
    spread: Counter[str] = Counter()
    names: set[str] = set()
    for log in logs:
        here: set[str] = set()
        for message in log.messages:
            whole = message.name.casefold()
            names |= {whole, whole.strip(MARKS)}
            if not message.notice:
                said = {word.strip(MARKS) for word in message.text.casefold().split()}
                uses.update(said)
                here |= said
        spread.update(here)
    fit = (word for word, _ in sorted(uses.items(), key=lambda one: (-one[1], one[0])))
    listed = (
        word for word in fit if word and spread[word] >= FEWEST_LOGS and word not in names and len(word) < LONGEST
    )
    return [word for word, _ in zip(listed, range(MOST_WORDS), strict=False)]


def without_notices(log: Log, words: Mapping[str, int]) -> Spoken:
    """Its rows and what they answer; links to notices and from them are left out."""
    speech = [number for number, message in enumerate(log.messages) if not message.notice]
    row = {number: at for at, number in enumerate(speech)}
    answered = {
        row[number]: {row[other] for other in others if other in row}
        for number, others in sorted(log.answered.items())
        if number in row
    }
    return Spoken(Reader(words).read([log.messages[number] for number in speech]), answered)


def first_counts(spoken: Sequence[Spoken]) -> Array:
    """[2**COUNTED, BUCKETS] log-odds of a pair with these signs so far apart being an answer."""
    bucket = bucket_of_column()
    answers, pairs = np.zeros((1 << COUNTED, BUCKETS)), np.zeros((1 << COUNTED, BUCKETS))
    for one in spoken:
        window = look(one.columns, 0, len(one.columns))
        rows = np.array(list(one.answered), int)
        signs, there = window.signs[rows], window.more[rows] >= IN_LOG
        np.add.at(pairs, (signs[there], np.broadcast_to(bucket, signs.shape)[there]), 1)
        for row, others in one.answered.items():
            for column in (WINDOW - row + other for other in others if 0 < row - other <= WINDOW):
                answers[window.signs[row, column], bucket[column]] += 1
    overall = answers.sum() / pairs.sum()
    by_signs = (answers.sum(1, keepdims=True) + CAUTION * overall) / (pairs.sum(1, keepdims=True) + CAUTION)
    expected = by_signs * (answers.sum(0) + CAUTION * overall) / (pairs.sum(0) + CAUTION) / overall
    log_odds: Array = np.log((answers + CAUTION * expected) / (pairs + CAUTION) + 1e-9)
    return log_odds.astype(np.float32)


def taught(spoken: Spoken, evidence: Evidence, question: Question) -> Taught:
    """The question with its answers, of the rows that are judged."""
    rows = np.array(list(spoken.answered), int)
    others = question.others[rows]
    right = np.zeros((len(rows), others.shape[1] + 1), bool)
    for at, (row, answers) in enumerate(spoken.answered.items()):
        right[at, :-1] = np.isin(others[at], list(answers - {row})) & ~question.outside[row]
        right[at, -1] = row in answers
    return Taught(question, evidence.alone, spoken.columns, rows, right)


if __name__ == "__main__":
    sys.exit(main())
