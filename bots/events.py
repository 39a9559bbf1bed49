"""What a connector is given to show. The same for every platform; how it looks is the connector's own affair.

A message's events come in this order: Heard, then any of Notice, Whisper, Said, Card, Removed, Answer, and Done
last, always.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tone = Literal["plain", "good", "warning"]


@dataclass(frozen=True, slots=True)
class Button:
    """Something to press; pressing it is the same as typing `command`."""

    label: str
    command: str
    weight: Literal["main", "plain", "quiet"] = "plain"


@dataclass(frozen=True, slots=True)
class Heard:
    """The message was logged and will be dealt with."""

    message_id: int
    command: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """One piece of an answer that is being said. Pieces of one `message_id` follow one another."""

    message_id: int
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer, or all that was said of one that was stopped (`cut`). `version` is NAME@vN."""

    message_id: int
    answers: int
    text: str
    version: str
    cut: bool = False
    buttons: tuple[Button, ...] = ()


@dataclass(frozen=True, slots=True)
class Notice:
    """One sentence that is not the assistant's own. `passing` ones may vanish when the answer begins. `message_id`:
    the answer that this stands in place of."""

    text: str
    tone: Tone = "plain"
    passing: bool = False
    message_id: int | None = None


@dataclass(frozen=True, slots=True)
class Whisper:
    """One sentence for the asker alone, where the platform has a way (an answer to a pressed button); else like a
    Notice."""

    text: str


@dataclass(frozen=True, slots=True)
class Voted(Whisper):
    """What the asker thinks of one answer from now on: `value` 1 or -1, or 0 for nothing any more."""

    message_id: int
    value: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One question and answers to it, each under a name."""

    question: str
    answers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Card:
    """A small page: title, lines, a bar (0 to 1; None: no bar), samples, buttons.

    A card with the `key` of an earlier one in the channel takes its place.
    """

    key: str
    title: str
    lines: tuple[str, ...] = ()
    bar: float | None = None
    tone: Tone = "plain"
    samples: tuple[Sample, ...] = ()
    buttons: tuple[Button, ...] = ()


@dataclass(frozen=True, slots=True)
class Removed:
    """These messages are no longer part of the conversation. `everything`: nor is anything before now."""

    message_ids: tuple[int, ...]
    everything: bool = False


@dataclass(frozen=True, slots=True)
class Moved:
    """Another assistant answers in this channel from now on."""

    assistant: str


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing more will come for this message."""


Event = Heard | Said | Answer | Notice | Whisper | Card | Removed | Moved | Done
