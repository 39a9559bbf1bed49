"""Private details out of a text, by span: e-mail addresses, phone numbers, payment cards, accounts, keys, passwords.

Promises that a typed placeholder (`[email]`, `[phone]`, `[card]`, `[account]`, `[key]`) stands where the detail stood
and that the rest of the text is untouched, so that the sentence still reads. Dates, times, prices, years and numbers
of less than 7 digits stay. Works by form and check digits, not by meaning: names and addresses are not recognised.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from hashlib import blake2b
from math import log2

Span = tuple[int, int, str]

_DIGIT = re.compile(r"\d")
LONG = 20
"""Characters in a row without a space: under that, nothing is a key by its form alone."""

_EMAIL = re.compile(r"(?<![\w.+%-])[\w+%-][\w.+%-]{0,63}@(?:[\w-]{1,63}\.)+[^\W\d_]{2,24}(?![\w-])")
_URL = re.compile(r"(?:https?|ftp|tg)://\S+")

_KEYS = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    r"(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}"
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|hf_[A-Za-z0-9]{20,}|npm_[A-Za-z0-9]{20,}"
    r"|xox[a-z]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{10,}"
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}|AIza[\w-]{30,}|ya29\.[\w-]{20,}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    r"|\d{8,10}:[A-Za-z0-9_-]{35}"  # a Telegram bot's token
    r"|[A-Za-z\d_-]{24,28}\.[\w-]{6}\.[\w-]{27,40}"  # a Discord bot's token
    r")(?![A-Za-z0-9_])"
)
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_NAMED_SECRET = re.compile(
    r"\b(?:pass(?:word|wd|phrase|code)?|pwd|secret|(?:api|access|private|secret|auth|wifi|wi-fi)[ _-]?key|key|token)s?"
    r"\b[\"']?(?:\s+(?:is|was|=)\s+|\s*[:=]+\s*|\s+(?:for|to|of)(?:\s+\w+){1,3}\s*(?:is|:|=)\s*|\s+)[«“\"'`]?"
    r"(?P<value>[^\s«»“”\"'`<>]{6,})",
    re.IGNORECASE,
)

_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}(?![A-Za-z0-9])")
_CARD = re.compile(r"(?<![\w.,+-])\d(?:[ -]?\d){12,18}(?![\w]|[.,]\d)")
_ACCOUNT = re.compile(
    r"\b(?:account|acct|acc|a/c|konto|kontonummer|iban|sort code|routing|blz|ssn|passport|cuenta|compte)\b\D{0,16}?"
    r"(?P<value>\d(?:[ -]?\d){6,19})(?!\w)",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"(?<![\w#@$€£¥₹₽.,:/+-])(?P<number>(?:\+|\(\+?)?\d(?:[ \t().\-/\u00a0\u2011]{0,2}\d){6,18})(?![\w]|[.,:/-]\d)"
)
_PLUS = re.compile(r"(?<![\w+])\(?\+\d(?:[ \t().\-/\u00a0\u2011]{0,2}\d){7,14}(?!\w)")
_DATE = re.compile(
    r"(?:\d{4}([./-])\d{1,2}\1\d{1,2}|\d{1,2}([./-])\d{1,2}\2(?:\d{4}|\d{2}))(?:[ T\-]+\d{1,2}(?:[.:]\d{2}){0,2})?"
    r"|\d{4}\s*-\s*\d{4}|(?:19|20)\d{2}(?:[ ,/-]+(?:19|20)\d{2})+|\d{1,2}[. ]\d{1,2}[. ]\d{4}"
)
_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:([ .\u00a0])\d{3})+")
_NATIONAL = re.compile(r"(?:1[ .-])?\(?\d{3}\)?[ .-]{1,2}\d{3}[ .-]\d{4}")
_MONEY_AFTER = re.compile(r"\s?(?:[$€£¥₹₽%]|(?:eur|usd|gbp|euros?|dollars?|pounds?|rub|inr|jpy|km|kg|bytes?)\b)", re.I)
_CALLING = re.compile(
    r"(?:phone|call|ring|tel|telephone|mobile|cell|whats ?app|sms|text|handy|nummer|number|телефон|номер)\b"
    r"[^\d\n]{0,24}$",
    re.IGNORECASE,
)


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
    """(start, end, kind) of what would be replaced, in order, without overlap: email, phone, card, account, key."""
    digits = _DIGIT.search(text) is not None
    if not digits and "@" not in text and not _has_long(text) and not _names_secret(text):
        return []
    found: list[Span] = []
    for finder in _FINDERS if digits else _WITHOUT_DIGITS:
        for span in finder(text):
            if all(span[1] <= start or span[0] >= stop for start, stop, _ in found):
                found.append(span)
    found.sort()
    return found


def _has_long(text: str) -> bool:
    return len(text) >= LONG and max(map(len, text.split()), default=0) >= LONG


def _names_secret(text: str) -> bool:
    low = text.lower()
    return "pass" in low or "key" in low or "token" in low or "secret" in low or "pwd" in low


def _keys(text: str) -> Iterator[Span]:
    if "-----BEGIN" in text:
        for match in _PEM.finditer(text):
            yield (*match.span(), "key")
    if _has_long(text):
        for match in _KEYS.finditer(text):
            yield (*match.span(), "key")


def _named_secrets(text: str) -> Iterator[Span]:
    if not _names_secret(text):
        return
    for match in _NAMED_SECRET.finditer(text):
        value = match["value"].rstrip(".,;:!?)]}…")
        if _looks_random(value):
            start = match.start("value")
            yield start, start + len(value), "key"


def _looks_random(value: str) -> bool:
    """Whether a word after “password” is one: it mixes letters with digits or signs, or is long and without pattern."""
    if len(value) < 6 or "://" in value or _DATE.fullmatch(value):
        return False
    letters = any(c.isalpha() for c in value)
    digits = any(c.isdigit() for c in value)
    signs = any(c in "!#$%&*+=?@^_~" for c in value)
    if (letters and digits) or (signs and letters and len(value) >= 8):
        return True
    mixed = value[1:] != value[1:].lower() and value != value.upper()
    return len(value) >= 16 and (mixed or digits) and _entropy(value) >= 3.5


def _entropy(value: str) -> float:
    """Shannon entropy in bits a character, from the value's own letters."""
    return -sum(share * log2(share) for share in (value.count(c) / len(value) for c in set(value)))


def _emails(text: str) -> Iterator[Span]:
    if "@" in text:
        for match in _EMAIL.finditer(text):
            yield (*match.span(), "email")


def _accounts(text: str) -> Iterator[Span]:
    for match in _IBAN.finditer(text):
        end = match.end()
        while end > match.start():  # the words after it look like more of it, so they are given back one by one
            if is_iban(text[match.start() : end]):
                yield match.start(), end, "account"
                break
            end = max(text.rfind(" ", match.start(), end), text.rfind("-", match.start(), end))
    for match in _ACCOUNT.finditer(text):
        if not _DATE.fullmatch(match["value"]) and not _card_at(match["value"]):
            yield match.start("value"), match.end("value"), "account"


def _cards(text: str) -> Iterator[Span]:
    links = _links(text)
    for match in _CARD.finditer(text):
        if _card_at(match.group()) and not _inside(match.start(), links):
            yield (*match.span(), "card")


def _card_at(value: str) -> bool:
    digits = "".join(c for c in value if c.isdigit())
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and is_luhn(digits)


def _phones(text: str) -> Iterator[Span]:
    links = _links(text)
    for match in _NUMBER.finditer(text):
        start, end = match.span("number")
        if not _inside(start, links) and _is_phone(match["number"], text, start, end):
            yield start, end, "phone"
    for start, end in _plus_numbers(text):
        if not _inside(start, links):
            yield start, end, "phone"


def _plus_numbers(text: str) -> Iterator[tuple[int, int]]:
    if "+" in text:
        for match in _PLUS.finditer(text):
            if not _MONEY_AFTER.match(text, match.end()) and not _THOUSANDS.fullmatch(match.group()[1:]):
                yield match.span()


def _is_phone(value: str, text: str, start: int, end: int) -> bool:
    """By form: an international or trunk prefix, a national grouping, enough digits in a row, or words like “call”."""
    plain = value.lstrip("(")
    count = sum(c.isdigit() for c in value)
    if _MONEY_AFTER.match(text, end) or plain.startswith("+"):
        return False  # those with a plus are found by themselves
    if _DATE.fullmatch(plain) or _ADDRESS.fullmatch(plain) or _THOUSANDS.fullmatch(plain):
        return False
    if count > 15:
        return False
    if _CALLING.search(text, max(0, start - 40), start):
        return True
    zero = int(plain[0]) == 0
    if plain.isdigit():
        return (count >= 9 and zero) or count >= 11 or (count == 10 and int(plain[0]) > 1)
    if value.startswith("(") and count >= 7:
        return True
    return (zero and count >= 9 and ":" not in value) or _NATIONAL.fullmatch(value) is not None


def is_luhn(digits: str) -> bool:
    """Whether a payment card's last digit fits the others (ISO/IEC 7812)."""
    total = 0
    for place, character in enumerate(reversed(digits)):
        value = int(character)
        if place % 2:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return total % 10 == 0


def is_iban(text: str) -> bool:
    """Whether an account number's check digits fit (ISO 13616: the rest modulo 97 is 1)."""
    code = text.replace(" ", "").replace("-", "").upper()
    if not 15 <= len(code) <= 34 or not code.isascii() or not code.isalnum():
        return False
    return int("".join(str(int(c, 36)) for c in code[4:] + code[:4])) % 97 == 1


def _links(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in _URL.finditer(text)] if "://" in text else []


def _inside(position: int, spans: list[tuple[int, int]]) -> bool:
    return any(start <= position < stop for start, stop in spans)


_FINDERS: tuple[Callable[[str], Iterator[Span]], ...] = (_keys, _emails, _accounts, _cards, _phones, _named_secrets)
_WITHOUT_DIGITS: tuple[Callable[[str], Iterator[Span]], ...] = (_keys, _emails, _named_secrets)
