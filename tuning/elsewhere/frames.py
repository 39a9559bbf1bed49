"""What two machines say to each other about one run: frames, each a line of JSON and as many bytes as it says.

Files go in pieces, so that a large one does not keep a small one waiting, and are there whole or not at all. Knows
neither SSH nor what is learnt.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from config.errors import BadInput
from config.hardware import Hardware
from tuning.training.run import RunFolder, sync_folder

PIECE = 1 << 18
LONGEST_LINE = 1 << 10
BEAT_EVERY, SILENCE = 5.0, 60.0
"""Seconds: how often each side says that it is there, and after how many without a word it is taken for gone."""
_CHECKPOINT = r"checkpoint/step-\d{8}\.pt"
GIVEN = re.compile(
    rf"(run\.json|train\.jsonl|held_out\.jsonl|votes\.jsonl|secrets\.txt|notes\.txt|parts\.txt|{_CHECKPOINT})"
)
"""Files of a run that the trainer reads."""
MADE = re.compile(
    r"(progress\.json|notes\.txt|parts\.txt|error\.txt|parity\.json|result\.json"
    rf"|adapter/adapter_model\.safetensors|adapter/adapter_config\.json|{_CHECKPOINT})"
)
"""Those that it writes."""

T = TypeVar("T", bound=BaseModel)


class Frame(BaseModel):
    """A `file` frame has a piece of the file `name`, `last` its last one. Of the others the bytes are JSON: `hello` a
    Hello, `go` a Go, `end` the trainer's exit code; `beat` has none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["hello", "file", "go", "beat", "end"]
    name: str = Field("", max_length=100)
    size: int = Field(0, ge=0, le=PIECE)
    last: bool = False


class Hello(BaseModel):
    """What a machine says of itself. `code`: the digest of what decides what is learnt."""

    code: str
    hardware: Hardware


class Go(BaseModel):
    """Learn now. `model`: the base model, by its name in the catalogue, hub id or folder; `share`: of a card's memory,
    what the trainer may take."""

    model: str
    share: float = Field(gt=0, le=1)


class Reader(Protocol):
    """Of asyncio and asyncssh alike."""

    async def readline(self) -> bytes:
        """A line with its end; without one where the other side is gone."""
        ...

    async def readexactly(self, n: int) -> bytes:
        """Raises IncompleteReadError where the other side is gone."""
        ...


class Writer(Protocol):
    """Of asyncio and asyncssh alike."""

    def write(self, data: bytes) -> None:
        """Returns at once."""
        ...

    async def drain(self) -> None:
        """Until most of it is written."""
        ...


class Gone(Exception):
    """The other side is not there any more, or has not said a word for too long."""


class Link:
    """Both ends have one. Of several tasks that send, each frame goes whole. `lost`: what reader and writer raise where
    the connection ends."""

    def __init__(self, reader: Reader, writer: Writer, lost: tuple[type[Exception], ...] = (OSError,)) -> None:
        self._reader, self._writer = reader, writer
        self._lost: tuple[type[Exception], ...] = (*lost, TimeoutError, asyncio.IncompleteReadError)
        self._sending = asyncio.Lock()

    async def send(self, kind: str, content: bytes = b"", name: str = "", *, last: bool = False) -> None:
        """One frame. Raises Gone, also where nobody takes it for too long."""
        frame = Frame.model_validate({"kind": kind, "name": name, "size": len(content), "last": last})
        async with self._sending:
            try:
                self._writer.write(frame.model_dump_json(exclude_defaults=True).encode() + b"\n" + content)
                async with asyncio.timeout(SILENCE):
                    await self._writer.drain()
            except self._lost as error:
                raise Gone from error

    async def send_file(self, folder: Path, name: str) -> None:
        """The file at `name` of `folder`, where it is there; one that is replaced meanwhile goes as it was."""
        try:
            stream = await asyncio.to_thread((folder / name).open, "rb")
        except FileNotFoundError:
            return
        with stream:
            piece = await asyncio.to_thread(stream.read, PIECE)
            while True:
                then = await asyncio.to_thread(stream.read, PIECE)
                await self.send("file", piece, name, last=not then)
                if not then:
                    return
                piece = then

    async def receive(self) -> tuple[Frame, bytes]:
        """The next frame that is no beat, with its bytes. Raises Gone, and BadInput where it is none of these."""
        while True:
            try:
                async with asyncio.timeout(SILENCE):
                    line = await self._reader.readline()
                    if len(line) > LONGEST_LINE:
                        raise ValueError("that line is too long")
                    if not line.endswith(b"\n"):
                        raise Gone
                    frame = Frame.model_validate_json(line)
                    content = await self._reader.readexactly(frame.size)
            except self._lost as error:
                raise Gone from error
            except ValueError as error:  # no JSON, none of ours, or a line without end
                raise BadInput("what came is no frame") from error
            if frame.kind != "beat":
                return frame, content

    async def beat(self) -> None:
        """Say that we are there, until this is cancelled or the other side is gone."""
        while True:
            await self.send("beat")
            await asyncio.sleep(BEAT_EVERY)


class Incoming:
    """Files that come for `run`, of names that match `known` and no others, each no larger than `most` says of it."""

    def __init__(
        self, run: RunFolder, known: re.Pattern[str], most: Callable[[str], float] = lambda name: math.inf
    ) -> None:
        self._folder, self._known, self._most = run.folder, known, most

    def take(self, frame: Frame, content: bytes) -> bool:
        """A piece of a file; whether it is whole now, and there, also after a loss of power. Raises BadInput where
        nobody asked for that file, or for so much of it."""
        if frame.kind != "file" or not self._known.fullmatch(frame.name):
            raise BadInput("what came is no file of this run")
        final = self._folder / frame.name
        final.parent.mkdir(mode=0o700, exist_ok=True)
        partial = final.with_name(f".{final.name}.coming")
        with partial.open("ab") as stream:
            stream.write(content)
            if stream.tell() > self._most(frame.name):
                raise BadInput("what came is larger than it can be")
            if frame.last:
                stream.flush()
                os.fsync(stream.fileno())
        if frame.last:
            partial.replace(final)
            sync_folder(final.parent)
        return frame.last

    def forget_parts(self) -> None:
        """Remove what did not come whole."""
        for partial in self._folder.rglob(".*.coming"):
            partial.unlink()


def read_json(kind: type[T], content: bytes) -> T:
    """Raises BadInput where it is no such thing."""
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise BadInput(f"what came is no {kind.__name__}") from error
