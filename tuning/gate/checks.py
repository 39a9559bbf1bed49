"""A report's checks one by one, as people read them: what was asked, whether it holds, and a sentence without jargon.

Takes a report as it is stored, so that one of an earlier day, which lacks a check, still reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tuning.gate.report import percent


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that the gate looked at."""

    title: str
    passed: bool
    sentence: str


def checks(report: dict[str, Any]) -> list[Check]:
    """In the order in which they matter."""
    held_out = report["held_out"]
    found = [_gain("Better than the untouched model", held_out, "base", "over_base")]
    if held_out.get("in_service") is not None:
        found.append(_gain("Better than the version in service", held_out, "in_service", "over_in_service"))
    found += [_general(report["general"]), _parity(report["parity"]), _degenerate(report["degenerate"])]
    if "recitation" in report:
        found.append(_recitation(report["recitation"]))
    return found


def _gain(title: str, held_out: dict[str, Any], before: str, interval: str) -> Check:
    share = 1 - held_out["version"] / held_out[before]
    sure = held_out.get(interval)
    text = (
        f"{held_out['conversations']} later conversations that it had not seen: its guesses at the real answers were "
    )
    text += f"{percent(abs(share))} {'better' if share >= 0 else 'worse'}"
    if sure is None:
        return Check(title, share > 0, f"{text}.")
    low, high = sure["low"] / held_out[before], sure["high"] / held_out[before]
    text += f"; with other conversations it could have been anything from {percent(low)} to {percent(high)}"
    proof = "" if low > 0 else ", so there is no proof of improvement"
    return Check(title, share > 0 and low > 0, f"{text}{proof}.")


def _general(general: dict[str, Any]) -> Check:
    growth = general["version"] / general["base"] - 1
    kept = growth <= general["limit"]
    if growth <= 0:
        text = f"In {general['exchanges']} everyday exchanges it is as good as before"
    else:
        text = f"In {general['exchanges']} everyday exchanges it is {percent(growth)} worse"
        text += f", where {percent(general['limit'])} is allowed"
    return Check("Has not forgotten everyday talk", kept, f"{text}.")


def _parity(parity: dict[str, Any]) -> Check:
    same = parity["same_rendering"] and parity["mean_difference"] <= parity["limit"]
    enough = parity["tokens"] >= parity["tokens_needed"]
    text = f"What answers in the chat is what was trained: compared on {parity['tokens']} pieces of text, "
    text += f"{parity['mean_difference']:.4f} apart, where {parity['limit']} is allowed"
    return Check("Answers as it was trained", same and enough, f"{text}.")


def _degenerate(degenerate: dict[str, Any]) -> Check:
    bad = round(degenerate["share"] * degenerate["answers"])
    text = f"Of {degenerate['answers']} answers, {bad or 'none'} went round in circles, did not end or said nothing"
    return Check("Speaks in whole answers", degenerate["share"] <= degenerate["limit"], f"{text}.")


def _recitation(recitation: dict[str, Any]) -> Check:
    passed = not recitation["recited"] and not recitation["secrets_told"]
    text = f"{recitation['questions']} answers repeat at most {recitation['longest']} pieces of text in a row "
    text += f"from somebody's message, where fewer than {recitation['limit']} are allowed"
    if recitation["secrets_known"]:
        told = recitation["secrets_told"]
        text += f", and {told or 'none'} of the {recitation['secrets_known']} private details in the log came out"
    return Check("Keeps what others wrote to itself", passed, f"{text}.")
