"""A gate's report as people read it: what got better, by how much, what was kept, and sample answers side by side.

Losses become one figure: the share of the untouched model's surprise at the real answers that is gone.
"""

from __future__ import annotations

from typing import Any

from bots.events import Button, Card, Sample
from config.names import VersionName

SHOWN_SAMPLES = 3


def called(version: VersionName) -> str:
    """A version's name, or plain words for the untuned model."""
    return str(version) if version.number else "the untuned model"


def share(value: float) -> str:
    """A share as people say it: 0.314 → '31%'; small ones keep one digit, none says 'as well as'."""
    percent = abs(value) * 100
    return f"{percent:.0f}%" if percent >= 10 else f"{percent:.1f}%"


def better(before: float, after: float, than: str) -> str:
    """'31% better than …' from two losses in nats per token."""
    gain = 1 - after / before
    if abs(gain) < 0.0005:
        return f"as well as {than}"
    return f"{share(gain)} {'better' if gain > 0 else 'worse'} than {than}"


def in_one_line(report: dict[str, Any]) -> str:
    """What a list of versions says of one."""
    held_out = report["held_out"]
    return f"predicts real answers {better(held_out['base'], held_out['version'], 'the untuned model')}"


def report_lines(assistant: str, report: dict[str, Any]) -> tuple[str, ...]:
    """The report in a few sentences."""
    held_out, general = report["held_out"], report["general"]
    base, version, serving = held_out["base"], held_out["version"], held_out.get("in_service")
    lines = [
        f"It predicts how people are answered in {assistant}’s chats "
        f"{better(base, version, 'the untuned model')}{_between(base, held_out.get('over_base'))}."
    ]
    if serving is not None:
        lines.append(
            f"Against the version that answers now it is "
            f"{better(serving, version, 'that one')}{_between(serving, held_out.get('over_in_service'))}."
        )
    conversations = held_out["conversations"]
    lines.append(
        f"Measured on {conversations:,} conversation{'' if conversations == 1 else 's'} it had not seen, by how much "
        f"the real answers surprise it: {base:.2f} before, {version:.2f} now; 0 would be no surprise at all."
    )
    growth = general["version"] / general["base"] - 1
    if growth <= 0.005:
        lines.append("In everyday talk it is as good as before.")
    else:
        lines.append(f"In everyday talk it is {share(growth)} worse than before.")
    recitation = report.get("recitation")
    if recitation is not None and not recitation["recited"] and not recitation["secrets_told"]:
        lines.append("Asked about what it had read, it recited nobody’s words and gave nothing private away.")
    return tuple(lines)


def _between(before: float, gain: dict[str, float] | None) -> str:
    """How sure that is: from a gain in nats per token, 95 of 100 times between `low` and `high`."""
    if gain is None:
        return ""
    low, high = gain["low"] / before * 100, gain["high"] / before * 100
    if low <= 0:
        return ", which may be chance"
    return f" (very likely between {low:.0f}% and {high:.0f}%)" if high - low >= 1 else ""


def report_card(key: str, version: VersionName, report: dict[str, Any], *, in_service: bool = False) -> Card:
    """The report with what can be done about it: put a version that passed into service, compare it, or reject it.
    `in_service`: it serves already, by the assistant's policy."""
    samples = tuple(_sample(sample, version) for sample in report["samples"][:SHOWN_SAMPLES])
    lines = report_lines(version.assistant, report)
    if report["verdict"] == "pass" and in_service:
        return Card(
            key, f"{version} has learnt, measures well, and is in service", lines, tone="good", samples=samples,
            buttons=(Button("Take it back", "/rollback", "quiet"),),
        )  # fmt: skip
    if report["verdict"] == "pass":
        return Card(
            key, f"{version} has learnt, and measures well", lines, tone="good", samples=samples,
            buttons=(
                Button("Put it into service", f"/promote {version.number}", "main"),
                Button("Compare", "/compare"),
                Button("Reject", f"/reject {version.number}", "quiet"),
            ),
        )  # fmt: skip
    reasons = tuple(f"Why it stays out of service: {reason}" for reason in report["reasons"])
    return Card(key, f"{version} has learnt, but may not serve", (*reasons, *lines), tone="warning", samples=samples)


def _sample(sample: dict[str, Any], version: VersionName) -> Sample:
    answers = [("Untuned", sample["base"])]
    if sample.get("in_service") is not None:
        answers.append(("In service", sample["in_service"]))
    return Sample(sample["question"], (*answers, (str(version), sample["version"])))
