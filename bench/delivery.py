"""How much of what assistants write arrives formatted, and whole.

    python -m bench.delivery [--answers 2000] [--seed 11] [--json]

Generated answers with every construct of Markdown (bench/answers.py), cut and rendered for Telegram and Discord.
`formatted`: every message of the answer is sent formatted and is one that its platform accepts
(bench/platform_rules.py).
`whole`: the parts' sources put together again are the answer, character by character, and each message shows what its
part says when another reader reads it (bench/readings.py).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass

from bench.answers import answers
from bench.platform_rules import discord_faults, telegram_faults, visible
from bench.readings import alike, said, shown
from bots.markup import discord, telegram
from bots.markup.splitting import Piece, joined

SHOWN_FAULTS = 10


@dataclass(frozen=True, slots=True)
class Sent:
    """One message: what it should show and does show, in the platform's wire terms, and what speaks against it."""

    expected: str
    arrived: str
    faults: list[str]


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one platform. Shares from 0 to 1; `milliseconds` of the processor for cutting an answer and
    for finding that its parts fit, median and longest."""

    platform: str
    answers: int
    messages: int
    formatted: float
    whole: float
    milliseconds: float
    longest_milliseconds: float


def on_telegram(piece: Piece) -> Sent:
    """As the Telegram connector sends it."""
    part = telegram.part(piece)
    text, entities = telegram.render(part)
    wire = [{name: value for name, value in asdict(one).items() if value is not None} for one in entities]
    faults = telegram_faults(text, wire) + (["not formatted"] if part.plain else [])
    expected, arrived = said(piece.text), shown(text, wire)
    if part.plain or (not visible(expected) and visible(arrived)):
        expected = shown(piece.text)  # what shows nothing as Markdown is shown as it stands
    return Sent(*alike(piece.text, expected, arrived), faults)


def on_discord(piece: Piece) -> Sent:
    """As the Discord connector sends it. Discord reads Markdown itself; what may look like a table to one who knows
    them, bars that were escaped, is read as Discord does."""
    content = discord.render(piece)
    faults = discord_faults(content) + ([] if discord.formatted(piece) else ["not formatted"])
    sent = Sent(*alike(piece.text, said(piece.text), said(content)), faults)
    if sent.expected == sent.arrived:
        return sent
    return Sent(*alike(piece.text, said(piece.text), said(content, tables=False)), faults)


PLATFORMS: dict[str, tuple[Callable[[str], list[Piece]], Callable[[Piece], Sent]]] = {
    "telegram": (telegram.pieces, on_telegram),
    "discord": (discord.pieces, on_discord),
}


def measure(platform: str, count: int, seed: int, complain: Callable[[str], None]) -> Figures:
    """Deliver `count` answers. `complain` is told what is wrong with which."""
    cut, send = PLATFORMS[platform]
    messages = formatted = whole = 0
    spent: list[float] = []
    for number, answer in enumerate(answers(count, seed)):
        begin = time.process_time()
        pieces = cut(answer)
        spent.append(time.process_time() - begin)
        sent = [send(piece) for piece in pieces if piece.text]
        faults = Counter(fault for one in sent for fault in one.faults)
        lost = [one for one in sent if one.expected != one.arrived]
        complete = joined(pieces) == answer
        messages += len(sent)
        formatted += not faults
        whole += complete and not lost
        if faults or lost or not complete:
            complain(_complaint(platform, number, faults, lost, complete))
    spent.sort()
    return Figures(
        platform, count, messages, formatted / count, whole / count, spent[count // 2] * 1000, spent[-1] * 1000
    )


def _complaint(platform: str, number: int, faults: Counter[str], lost: list[Sent], complete: bool) -> str:
    told = [f"{platform}, answer {number}:", *(f"{fault} ({times}x)" for fault, times in faults.items())]
    if not complete:
        told.append("the sources do not join to the answer")
    for one in lost[:1]:
        at = next((n for n, (a, b) in enumerate(zip(one.expected, one.arrived, strict=False)) if a != b), 0)
        near = slice(max(0, at - 20), at + 40)
        told.append(f"expected …{one.expected[near]!r}, arrived …{one.arrived[near]!r}")
    return " ".join(told)


def main() -> int:
    """The command line; 1 unless all is formatted and whole."""
    parser = argparse.ArgumentParser(description="What arrives of generated answers.")
    parser.add_argument("--answers", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    complaints: list[str] = []
    figures = [measure(platform, given.answers, given.seed, complaints.append) for platform in PLATFORMS]
    if given.json:
        print(json.dumps([asdict(one) for one in figures]))
    else:
        for one in figures:
            print(
                f"{one.platform}: {one.answers:,} answers in {one.messages:,} messages, {one.formatted:.2%} formatted "
                f"at the first try, {one.whole:.2%} whole; {one.milliseconds:.1f} ms an answer, "
                f"{one.longest_milliseconds:.0f} at most"
            )
    for complaint in complaints[:SHOWN_FAULTS]:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
