"""All examples of a run in one file, until it is known which are held out; then `train.jsonl` and `held_out.jsonl`.

Holds private text on disk only while it is open: `discard` removes the draft, whatever happened. Knows no database.
"""

from __future__ import annotations

import json
from array import array
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from tuning.examples import Example


class Draft:
    """A context manager; `add` every example, then `split` once."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._file = folder / "examples.draft"
        self._stream = self._file.open("w", encoding="utf-8", newline="\n")

    def __enter__(self) -> Draft:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self._stream.close()  # on a full disk, what was still to be written fails here
        finally:
            self._file.unlink(missing_ok=True)

    def add(self, example: Example, source_id: int, weight: int = 1) -> None:
        """Append one example of this source; it is learnt `weight` times."""
        line = {"messages": example.messages, "learn_from": example.learn_from, "at": example.at}
        ids = ",".join(map(str, example.message_ids))
        self._stream.write(f"{source_id}\t{weight}\t{ids}\t{json.dumps(line, ensure_ascii=False)}\n")

    def split(self, held_out: npt.NDArray[np.bool_]) -> dict[int, list[int]]:
        """Write the two files, one flag an example; gives the lineage of the first: source → ascending message rows."""
        self._stream.close()
        learnt: dict[int, array[int]] = {}
        with (
            self._file.open(encoding="utf-8", newline="\n") as lines,
            (self._folder / "train.jsonl").open("w", encoding="utf-8", newline="\n") as train,
            (self._folder / "held_out.jsonl").open("w", encoding="utf-8", newline="\n") as measured,
        ):
            for line, held in zip(lines, held_out, strict=True):
                source, weight, ids, example = line.split("\t", 3)
                if held:
                    measured.write(example)
                else:
                    train.write(example * int(weight))
                    learnt.setdefault(int(source), array("q")).extend(map(int, ids.split(",")))
        return {source: np.unique(np.frombuffer(ids, np.int64)).tolist() for source, ids in learnt.items()}
