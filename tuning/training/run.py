"""One training run as the platform sees it: its settings, its folder, its progress, its exit codes.

Free of torch, so that the platform can import it in no time. Knows files and numbers, nothing of models.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from config.errors import BadInput
from tuning.training.outcome import Parity, TrainingResult

DONE, FAILED, CANCELLED, FULL = 0, 1, 3, 4
"""Exit codes of the trainer: finished; failed, with one sentence in error.txt; stopped by SIGTERM, checkpoint kept; the
disk is full, checkpoint kept."""

MEMORY_SHARE_VARIABLE = "PARLANCE_TRAINING_SHARE"
"""Environment of the trainer: of the card's memory, what it may take at most, from 0 to 1. Not among the settings of a
run, which is the same run wherever it goes on."""

GENERAL_REPLAY = Path(__file__).resolve().parent.parent / "general" / "replay.jsonl"

Method = Literal["lora", "partial", "full"]
FEWEST_VOTES = 50
"""From so many on they are learnt from: fewer say more about a day than about the answers."""


class TrainingRun(BaseModel):
    """Settings of one run, as they stand in run.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(description="the base model: a folder or a hub id")
    system_prompt: str = Field("", description="put first in every conversation of the community, as when serving")
    dtype: Literal["float32", "bfloat16"] = "float32"
    device: Literal["cpu", "cuda"] = "cpu"
    four_bits: bool = Field(False, description="hold the base in 4 bits while it is learnt on; for `lora` alone")
    threads: int = Field(2, ge=1, description="processor threads; another number may round differently")
    context: int = Field(1024, ge=16, description="tokens; longer conversations lose their oldest turns")
    method: Method = Field(
        "lora", description="train an adapter, or the last layers' or all linear weights, turned into an adapter"
    )
    rank: int = Field(16, ge=1, le=512)
    dropout: float = Field(0.05, ge=0, lt=1)
    learning_rate: float | None = Field(None, gt=0, description="peak; None chooses by the model's width")
    epochs: int = Field(4, ge=1, description="at most; early stopping may end sooner")
    batch_tokens: int = Field(1024, ge=64, description="tokens in one step, padding included")
    seed: int = 0
    replay: str | None = Field(None, description="file of general conversations; None takes the one that is shipped")
    replay_share: float = Field(
        0.1, ge=0, lt=0.5, description="of each step's rows, how many are general conversations"
    )
    own_share: float = Field(
        0.15, ge=0, lt=0.5, description="of a step's rows, how many are texts that the untouched model wrote itself"
    )
    kl_weight: float = Field(0.8, ge=0, description="how hard both are held to the untouched model's probabilities")
    general_limit: float = Field(0.01, ge=0, description="growth of general loss above which no weights are kept")
    evaluations: int = Field(1, ge=1, description="measurements of held-out and general loss in one epoch")
    patience: int = Field(3, ge=1, description="measurements without a better one before training stops")
    fast_products: bool = Field(
        True, description="on a processor that multiplies bfloat16 itself, let float32 layers make their products in it"
    )
    checkpoint_every: float = Field(30.0, ge=0, description="seconds")
    gradient_checkpointing: bool | None = Field(None, description="less memory for more time; None: on large models")

    @model_validator(mode="after")
    def _trains_what_it_holds(self) -> Self:
        if self.four_bits and self.method != "lora":
            raise ValueError(no_whole_weights(self.method))
        return self


def no_whole_weights(method: Method) -> str:
    """Why a method that trains weights themselves cannot, where the base is held in 4 bits."""
    return (
        f"Memory here has room for the base model in 4 bits only, on which the method {method} cannot learn; choose "
        "the method lora, or a smaller base model."
    )


class Progress(BaseModel):
    """How far a run is, as it stands in progress.json. Losses in nats per learnt token, times in seconds."""

    state: Literal["starting", "training", "measuring", "finishing", "done", "cancelled", "failed"] = "starting"
    step: int = 0
    steps: int = 0
    epoch: int = 0
    epochs: int = 0
    loss: float | None = Field(None, description="of the last steps, smoothed")
    measured_at: list[int] = Field(default_factory=list, description="steps at which the next two lists were measured")
    held_out_loss: list[float] = Field(default_factory=list, description="the first is the untouched model's")
    general_loss: list[float] = Field(default_factory=list, description="the first is the untouched model's")
    tokens_per_second: float = Field(0.0, description="learnt tokens")
    seconds: float = 0.0
    seconds_left: float | None = Field(None, description="at most: early stopping may end sooner")
    notes: list[str] = Field(default_factory=list, description="what did not go as usual, in sentences for people")
    at: float = Field(0.0, description="unix time of writing")


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where everything of one run lies."""

    folder: Path

    @property
    def settings(self) -> Path:
        return self.folder / "run.json"

    @property
    def train(self) -> Path:
        return self.folder / "train.jsonl"

    @property
    def held_out(self) -> Path:
        return self.folder / "held_out.jsonl"

    @property
    def votes(self) -> Path:
        """Answers that people voted on: {"messages", "learn_from", "good"} a line; not there where nobody did."""
        return self.folder / "votes.jsonl"

    @property
    def secrets(self) -> Path:
        """Digests of the private details that curation took out of the log, in hexadecimal, a line each."""
        return self.folder / "secrets.txt"

    @property
    def progress(self) -> Path:
        return self.folder / "progress.json"

    @property
    def notes(self) -> Path:
        """What did not go as usual: a sentence for people a line."""
        return self.folder / "notes.txt"

    @property
    def parts(self) -> Path:
        """Into how many parts steps and measurements are cut so that they fit into memory: a number."""
        return self.folder / "parts.txt"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoint"

    @property
    def adapter(self) -> Path:
        return self.folder / "adapter"

    @property
    def parity(self) -> Path:
        return self.folder / "parity.json"

    @property
    def result(self) -> Path:
        """Written last: a run with a result is finished."""
        return self.folder / "result.json"

    @property
    def error(self) -> Path:
        return self.folder / "error.txt"

    @property
    def lock(self) -> Path:
        return self.folder / "lock"

    def read_settings(self) -> TrainingRun:
        """Raises BadInput where run.json is missing or says something that cannot be done."""
        try:
            return TrainingRun.model_validate_json(self.settings.read_bytes())
        except OSError:
            raise BadInput(f"{self.folder} holds no run.json; start the tuning again.") from None
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise BadInput(f"run.json cannot be used: {where}: {first['msg']}; start the tuning again.") from None

    def read_progress(self) -> Progress | None:
        """The last progress written, None before the first and where a loss of power left none that can be read."""
        try:
            return Progress.model_validate_json(self.progress.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def write_progress(self, progress: Progress) -> None:
        """Replace progress.json in one move; a reader sees the old or the new, never half."""
        progress.at = time.time()
        write_whole(self.progress, progress.model_dump_json().encode(), sync=False)

    def note(self, sentence: str) -> None:
        """Keep a sentence for people; one that is kept already is not kept again."""
        notes = self.read_notes()
        if sentence not in notes:
            write_whole(self.notes, "\n".join([*notes, sentence]).encode())

    def read_notes(self) -> list[str]:
        """The sentences kept so far."""
        return self.notes.read_text().splitlines() if self.notes.exists() else []

    def cut_smaller(self, count: int, why: str) -> None:
        """From now on in `count` parts, whoever goes on with the run; `why` in a sentence for people."""
        write_whole(self.parts, str(count).encode())
        self.note(why)

    def read_parts(self) -> int:
        """Into how many parts steps and measurements are cut."""
        return int(self.parts.read_text()) if self.parts.exists() else 1

    def read_parity(self) -> Parity:
        """What the trainer computed. It is there where the result is."""
        return Parity.model_validate_json(self.parity.read_bytes())

    def read_secrets(self) -> frozenset[bytes]:
        """Digests of private details that are in the log; none where curation found none."""
        try:
            return frozenset(bytes.fromhex(line) for line in self.secrets.read_text().split())
        except FileNotFoundError:
            return frozenset()

    def read_result(self) -> TrainingResult | None:
        """What the run came to, None while it has not finished."""
        try:
            return TrainingResult.model_validate_json(self.result.read_bytes())
        except FileNotFoundError:
            return None


def write_whole(path: Path, content: bytes, *, sync: bool = True) -> None:
    """Write a file so that it is there whole or not at all; `sync` also against a loss of power."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with fresh.open("wb") as stream:
            stream.write(content)
            if sync:
                stream.flush()
                os.fsync(stream.fileno())
    except OSError:  # a full disk, above all, on which half a file would only take more room
        fresh.unlink(missing_ok=True)
        raise
    fresh.replace(path)


def sync_folder(folder: Path) -> None:
    """Wait until a folder and all files that lie in it are on the disk, against a loss of power."""
    for place in (*(file for file in folder.iterdir() if file.is_file()), folder):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_lines(path: Path) -> list[dict[str, object]]:
    """The objects of a .jsonl file. Raises BadInput naming the line that cannot be read."""
    return [_row(path, number, line) for number, line in _lines(path)]


def stream_lines(path: Path, places: Container[int] | None = None) -> Iterator[dict[str, object]]:
    """The same objects one at a time, or only those at `places`, counted from 0; memory does not grow with the file."""
    for place, (number, line) in enumerate(_lines(path)):
        if places is None or place in places:
            yield _row(path, number, line)


def count_lines(path: Path) -> int:
    """How many objects a .jsonl file holds."""
    return sum(1 for _ in _lines(path))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines that say anything, each with its number."""
    try:
        with path.open(encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, line
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path.name} cannot be read ({error}); start the tuning again.") from None


def _row(path: Path, number: int, line: str) -> dict[str, object]:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict) or not isinstance(row.get("messages"), list):
        raise BadInput(f"Line {number} of {path.name} is not a conversation; start the tuning again.")
    return row
