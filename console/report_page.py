"""A version's report as one page of HTML that stands alone: no script, no other file, readable on a phone and on paper.

Shows the verdict, each check in a sentence, the losses while it learnt, the funnel as a picture, and answers side by
side. Takes a report as it is stored; what an earlier report lacks is left out. Everything from a chat is escaped.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, Template, select_autoescape

from tuning.gate.checks import checks
from tuning.gate.learnt import how_it_learnt

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 640, 220, 44, 26, 12
BAR_HEIGHT, BAR_GAP = 26, 8
LINES = (("held_out_loss", "this chat’s later answers", "own"), ("general_loss", "everyday talk", "general"))


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: `points` as SVG wants them, and where its label stands."""

    label: str
    kind: str
    points: str
    dots: tuple[tuple[float, float, str], ...]


@dataclass(frozen=True, slots=True)
class Bar:
    """One step of the funnel: pixels from the top, and widths of what came in and went out, of WIDTH."""

    step: str
    top: int
    came_in: float
    went_out: float
    figures: str


def report_page(version: str, assistant: str, made: str, report: dict[str, Any]) -> str:
    """The whole page. `made`: when, in words."""
    funnel, training = _funnel(report.get("funnel") or []), report.get("training") or {}
    return _template().render(
        version=version, assistant=assistant, made=made, report=report, checks=checks(report),
        passed=report["verdict"] == "pass", lines=_curves(report.get("curve") or {}), ticks=_ticks(report),
        funnel=funnel, funnel_height=len(funnel) * (BAR_HEIGHT + BAR_GAP), width=WIDTH, height=HEIGHT,
        bottom=HEIGHT - BOTTOM, left=LEFT, bar_height=BAR_HEIGHT, training=training,
        how_it_learnt=how_it_learnt(training),
    )  # fmt: skip


@cache
def _template() -> Template:
    pages = Environment(loader=FileSystemLoader(Path(__file__).parent / "pages"), autoescape=select_autoescape())
    return pages.get_template("report.html")


def _span(curve: dict[str, Any]) -> tuple[float, float] | None:
    values = [value for name, _, _ in LINES for value in curve.get(name) or []]
    if len(curve.get("measured_at") or []) < 2 or not values:
        return None
    low, high = min(values), max(values)
    room = (high - low) * 0.08 or 0.1
    return low - room, high + room


def _height(value: float, span: tuple[float, float]) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (span[1] - value) / (span[1] - span[0])


def _curves(curve: dict[str, Any]) -> list[Line]:
    span = _span(curve)
    if span is None:
        return []
    steps, found = curve["measured_at"], []
    for name, label, kind in LINES:
        dots = tuple(
            (
                LEFT + (WIDTH - LEFT - 8) * step / max(steps[-1], 1),
                _height(value, span),
                f"after {step} steps: {value:.2f}",
            )
            for step, value in zip(steps, curve.get(name) or [], strict=False)
        )
        if len(dots) > 1:
            found.append(Line(label, kind, " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in dots), dots))
    return found


def _ticks(report: dict[str, Any]) -> list[tuple[float, str]]:
    """Heights of three grid lines, each with its loss."""
    span = _span(report.get("curve") or {})
    if span is None:
        return []
    return [
        (_height(value, span), f"{value:.1f}")
        for value in (span[0] + (span[1] - span[0]) * part for part in (0.1, 0.5, 0.9))
    ]


def _funnel(steps: list[dict[str, Any]]) -> list[Bar]:
    """Widths by the square root: a funnel from a million to a thousand still shows its end."""
    largest = max((max(step["in"], step["out"]) for step in steps), default=0) or 1
    bars = []
    for place, step in enumerate(steps):
        came_in, went_out = (WIDTH * (step[key] / largest) ** 0.5 for key in ("in", "out"))
        figures = f"{step['in']:,} → {step['out']:,}"
        bars.append(Bar(step["step"], place * (BAR_HEIGHT + BAR_GAP), round(came_in, 1), round(went_out, 1), figures))
    return bars
