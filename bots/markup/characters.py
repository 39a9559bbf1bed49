"""Characters as platforms and people see them: how long, how wide, whether visible, and which must not go out.

What reorders text (U+202A to U+202E, U+2066 to U+2069) is left out of all that is sent: an override that is not closed
turns round what other people see beside it, and right-to-left scripts read rightly without. Marks that only say a
direction (U+200E, U+200F, U+061C) and joiners stay: Arabic, Persian and emoji need them.
"""

from __future__ import annotations

import re
import unicodedata

_UNSENDABLE = re.compile(r"[\u202a-\u202e\u2066-\u2069]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r\n?|[\ud800-\udfff]")
NAME = re.compile(r"(?<![\w\\])__[a-z0-9]+(?:_[a-z0-9]+)*__(?!\w)")
"""A name such as Python's `__init__`, which is meant as it stands: assistants write bold with asterisks."""
ZERO_WIDTH_SPACE = "\u200b"


def sendable(text: str) -> str:
    """`text` without what reorders or controls, its lines ended by a newline each. Never longer than before."""
    return _UNSENDABLE.sub(_sent_as, text)


def _sent_as(found: re.Match[str]) -> str:
    if found[0][0] == "\r":
        return "\n"
    return "\ufffd" if "\ud800" <= found[0] <= "\udfff" else ""


def utf16_len(text: str) -> int:
    """Length in UTF-16 code units, as Telegram counts."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def shows(text: str) -> bool:
    """Whether anything of it can be seen: neither space nor characters without a form of their own."""
    return any(not (one.isspace() or unicodedata.category(one) in ("Cf", "Cc", "Cs")) for one in text)


def columns(text: str) -> int:
    """How wide it is in a fixed-width font: wide characters count twice, marks not at all."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.category(one) in ("Mn", "Me", "Cf") else 1 + (unicodedata.east_asian_width(one) in "WF")
        for one in text
    )
