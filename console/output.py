"""What the command line prints: results on standard output, progress and errors on standard error.

With `--json` a result is one JSON object and nothing else reaches standard output.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


def print_json(result: Any) -> None:
    """One JSON value on standard output."""
    typer.echo(json.dumps(result, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None, default=str))


def table(*columns: str) -> Table:
    """A plain table with these headings."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column)
    return made


class Steps:
    """A line of progress that moves, on a terminal; on anything else one line a step."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._task: TaskID | None = None
        self._name = ""

    def say(self, name: str, fraction: float | None = None, detail: str = "") -> None:
        """Show the step `name`, how far it is (0 to 1, None for unknown), and a few words."""
        if self._progress is None:
            if name != self._name:
                errors.print(f"{name} …", markup=False)
            self._name = name
            return
        if self._task is None or name != self._name:
            if self._task is not None:
                self._progress.update(self._task, completed=1, total=1, detail="")
                self._progress.stop_task(self._task)
            self._task = self._progress.add_task(name, total=1 if fraction is not None else None, detail=detail)
            self._name = name
        total = 1 if fraction is not None else None
        self._progress.update(self._task, completed=fraction or 0, total=total, detail=detail)


@contextmanager
def steps() -> Iterator[Steps]:
    """Show progress on standard error while the block runs."""
    if not errors.is_terminal:
        yield Steps(None)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(24),
        TimeElapsedColumn(),
        TextColumn("{task.fields[detail]}"),
    )
    with Progress(*columns, console=errors, transient=False) as progress:
        shown = Steps(progress)
        yield shown
        shown.say("done")
        if progress.tasks:
            progress.remove_task(progress.tasks[-1].id)


def duration(seconds: float | None) -> str:
    """Time left in words: 40 → 'about 40 s left', 200 → 'about 3 min left'."""
    if seconds is None:
        return ""
    return f"about {round(seconds)} s left" if seconds < 90 else f"about {round(seconds / 60)} min left"
