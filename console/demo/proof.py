"""What the demo claims and whether it turned out true, with the figures behind it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from console.output import console


@dataclass(slots=True)
class Proof:
    """What must be true for the demo to have succeeded, and the figures behind it."""

    claims: dict[str, bool] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)

    def claim(self, sentence: str, holds: bool) -> None:
        """Note that `sentence` turned out true or not."""
        self.claims[sentence] = holds

    @property
    def holds(self) -> bool:
        """Whether everything claimed is true."""
        return bool(self.claims) and all(self.claims.values())

    def write(self, report: Path) -> None:
        """All claims and figures as JSON."""
        written = {"proven": self.holds, "claims": self.claims, **self.figures}
        report.write_text(json.dumps(written, indent=2, ensure_ascii=False) + "\n")

    def conclude(self, report: Path) -> None:
        """Say in one line what was proven, or what was not."""
        untrue = [sentence for sentence, holds in self.claims.items() if not holds]
        console.print()
        for sentence in untrue:
            console.print(f"Not true: {sentence}", style="red", markup=False)
        if untrue:
            console.print(f"{len(untrue)} of {len(self.claims)} claims did not hold; figures in {report.name}.")
            return
        losses = [self.figures[name]["report"]["held_out"] for name in ("harbour", "garden")]
        gains = [1 - loss["version"] / loss["base"] for loss in losses]
        console.print(
            f"Proven in {self.figures['seconds']:.0f} s: two chats became two assistants that predict their "
            f"communities {gains[0]:.0%} and {gains[1]:.0%} better than the untouched model and answer side by side "
            "from one engine; one was retrained, promoted and rolled back in mid-conversation without losing a word "
            f"(figures in {report.name}).",
            style="green",
        )
