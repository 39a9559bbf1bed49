"""Private details out of a text, by span, each replaced by a typed placeholder so that the sentence still reads.

`email`, `phone`, `card`, `account`, `id` (people's numbers), `wallet`, `ip`, `mac`, `key` (keys and passwords) and
`number` (a long one, whatever it is). The
rest of the text is untouched. A cheap look comes first, as nearly no text holds any; then form, check digits and
numbering plans decide. Dates, times, prices, versions and digests stay. Meaning is not understood: names are found only
by tuning/private/names.py, postal addresses not at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from hashlib import blake2b

from tuning.private.keys import has_long, keys, named_secrets, names_secret, random_strings
from tuning.private.numbers import accounts, cards, is_iban, is_luhn, long_numbers, phones
from tuning.private.recognisers import addresses, bare_ids, ibans, ids, wallets
from tuning.private.span import Span, is_free

__all__ = ["Span", "detail_digest", "find_private", "is_iban", "is_luhn", "redact", "replace_spans"]

_DIGIT = re.compile(r"\d")
_EMAIL = re.compile(r"(?<![\w.+%-])[\w+%-][\w.+%-]{0,63}@(?:[\w-]{1,63}\.)+[^\W\d_]{2,24}(?![\w-])")


def redact(text: str) -> str:
    """`text` with private details replaced. Untouched texts come back as the same object, after a cheap look."""
    return replace_spans(text, find_private(text))


def replace_spans(text: str, spans: list[Span]) -> str:
    """`text` with a placeholder for each span that `find_private` gave for it."""
    if not spans:
        return text
    parts, end = [], 0
    for start, stop, kind in spans:
        parts.append(text[end:start])
        parts.append(f"[{kind}]")
        end = stop
    parts.append(text[end:])
    return "".join(parts)


def detail_digest(detail: str) -> bytes:
    """A private detail as 16 bytes from which it cannot be read: the same for every way of spacing it."""
    plain = "".join(character for character in detail.casefold() if character.isalnum())
    return blake2b(plain.encode("utf-8", "replace"), digest_size=16).digest()


def find_private(text: str) -> list[Span]:
    """(start, end, kind) of what would be replaced, in order, without overlap."""
    digits = _DIGIT.search(text) is not None
    if not digits and "@" not in text and not has_long(text) and not names_secret(text):
        return []
    found: list[Span] = []
    for finder in _FINDERS if digits else _WITHOUT_DIGITS:
        for span in finder(text):
            if is_free(span, found):
                found.append(span)
    found.sort()
    return found


def _emails(text: str) -> Iterator[Span]:
    if "@" in text:
        for match in _EMAIL.finditer(text):
            yield (*match.span(), "email")


Finder = Callable[[str], Iterator[Span]]
_FINDERS: tuple[Finder, ...] = (
    keys, _emails, wallets, ibans, accounts, cards, ids, phones, addresses, bare_ids, named_secrets, random_strings,
    long_numbers,
)  # fmt: skip
"""What is told most surely comes first, and keeps its place."""
_WITHOUT_DIGITS: tuple[Finder, ...] = (keys, _emails, named_secrets, random_strings)
