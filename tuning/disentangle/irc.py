"""Annotated IRC logs of Kummerfeld et al. (ACL 2019): NAME.ascii.txt, a message a line, and NAME.annotation.txt.

A line is “[hh:mm] <nick> text”, “[hh:mm] * nick does” or “=== …”, which is the server speaking or somebody acting.
Times are the day's; a clock that jumps back by hours has passed midnight. Who takes another nick stays the same author.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from config.errors import BadInput
from tuning.disentangle.message import Message

FIRST_JUDGED = 1000
"""Lines before this one are context: annotated logs judge what comes from here on."""
_SAID = re.compile(r"\[(\d\d):(\d\d)\] <([^>]*)> ?(.*)")
_DID = re.compile(r"\[(\d\d):(\d\d)\]\s+\* ?(\S+) ?(.*)")
_RENAMED = re.compile(r"=== (\S+)\s+is now known as (\S+)")
_SERVER = re.compile(
    r"=== (?:mode/|Topic|\S+\s+(?:\[.*\]\s+(?:has|by)\b|has (?:joined|left|quit)|was kicked|is now known))"
)
_NEW_DAY = 6 * 3600


@dataclass(frozen=True, slots=True)
class Log:
    """`answered`: for each message judged, the ones it answers; itself where it begins a conversation."""

    name: str
    messages: list[Message]
    answered: dict[int, set[int]]


def read_logs(folder: Path) -> list[Log]:
    """Every annotated log in a folder, by name. Raises BadInput where there is none, or one cannot be read."""
    files = sorted(folder.glob("*.ascii.txt"))
    if not files:
        raise BadInput(f"“{folder}” holds no NAME.ascii.txt; give the folder that has the annotated logs.")
    logs = []
    for file in files:
        name = file.name.removesuffix(".ascii.txt")
        annotation = file.with_name(f"{name}.annotation.txt")
        if not annotation.exists():
            raise BadInput(f"“{file.name}” has no “{annotation.name}” beside it; put the two into one folder.")
        lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
        if lines and not lines[-1]:
            lines.pop()
        logs.append(Log(name, read_lines(lines), _annotated(annotation, len(lines))))
    return logs


def read_lines(lines: list[str]) -> list[Message]:
    """The messages of one log, one for each line."""
    messages = []
    day = last = 0
    nicks: dict[str, str] = {}
    for line in lines:
        said = _SAID.match(line) or _DID.match(line)
        if said is not None:
            at = day + int(said[1]) * 3600 + int(said[2]) * 60
            if at < last - _NEW_DAY:
                day += 86_400
                at += 86_400
            last = max(last, at)
            nick = said[3].casefold()
            messages.append(Message(nicks.get(nick, nick), said[3], last, said[4]))
            continue
        renamed = _RENAMED.match(line)
        if renamed is not None:
            old, new = renamed[1].casefold(), renamed[2].casefold()
            nicks[new] = nicks.get(old, old)
        parts = line.split(None, 2)
        if len(parts) == 3 and parts[0] == "===" and not _SERVER.match(line):
            nick = parts[1].casefold()
            messages.append(Message(nicks.get(nick, nick), parts[1], last, parts[2]))
        else:
            messages.append(Message("", "", last, line, notice=True))
    return messages


def _annotated(file: Path, lines: int) -> dict[int, set[int]]:
    answered: dict[int, set[int]] = {}
    for row, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        try:
            linked = sorted(int(one) for one in line.split() if one != "-")
        except ValueError:
            linked = []
        if not linked and not line.strip():
            continue
        if not linked or linked[0] < 0 or linked[-1] >= lines:
            raise BadInput(f"Line {row} of “{file.name}” names no two messages of its log; get the file anew.")
        answered.setdefault(linked[-1], set()).update(linked[:-1] or linked)
    return answered
