"""A card as Markdown that any chat can show: its title, lines, bar and samples, whatever characters they hold."""

from __future__ import annotations

import re

from bots.events import Card, Sample

CELLS = 12
_ADDRESS = re.compile(r"https?://[^\s<>]+")
_MEANS_SOMETHING = re.compile(r"[\\`*_~|\[\]<>]|&(?=#|\w)|!(?=\[)")
_BEGINS_SOMETHING = re.compile(r"^([ \t]*)([-+=#]|\d{1,9}[.)])(?=[\s#=-]|$)", re.MULTILINE)


def escape(text: str) -> str:
    """`text` so that Markdown shows it as it stands; addresses stay what one can press."""
    done, written = 0, []
    for address in _ADDRESS.finditer(text):
        written += [_MEANS_SOMETHING.sub(r"\\\g<0>", text[done : address.start()]), address[0]]
        done = address.end()
    escaped = "".join([*written, _MEANS_SOMETHING.sub(r"\\\g<0>", text[done:])])
    return _BEGINS_SOMETHING.sub(lambda found: f"{found[1]}{found[2][:-1]}\\{found[2][-1]}", escaped)


def bar(share: float) -> str:
    """'▓▓▓▓▓░░░░░░░ 43%'. `share` from 0 to 1."""
    share = min(1.0, max(0.0, share))
    full = int(share * CELLS)
    return f"{'▓' * full}{'░' * (CELLS - full)} {share * 100:.0f}%"


def card_markdown(card: Card) -> str:
    """The card without its buttons."""
    blocks = [f"**{escape(' '.join(card.title.split()))}**"]
    body = [escape(line) for line in card.lines]
    if card.bar is not None:
        body.append(bar(card.bar))
    if body:
        blocks.append("\n".join(body))
    blocks += [_sample(sample) for sample in card.samples]
    return "\n\n".join(blocks)


def _sample(sample: Sample) -> str:
    said = [_quoted(f"**{escape(name)}:** {escape(answer.strip() or '…')}") for name, answer in sample.answers]
    return "\n".join([f"**{escape(' '.join(sample.question.split()))}**", *said])


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.splitlines())
