"""Numbers that are private: telephone numbers, payment cards, bank accounts, by form, check digits and numbering plans.

Dates, times, prices, years, scores, versions and numbers of less than 7 digits stay. A number without a plus is a
telephone number where it is written like one, follows a word such as “call”, or could be dialled (phonenumbers).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import phonenumbers

from tuning.private.span import Span, inside, links

_CARD = re.compile(r"(?<![\w.,+-])[2-6]\d{3}(?:[ -]?\d){9,15}(?![\w]|[.,]\d)")
_EXPIRY = re.compile(r"[ -](?:0?[1-9]|1[0-2])/\d\d(?:\d\d)?\b")
_ACCOUNT = re.compile(
    r"\b(?:account|acct|acc|a/c|konto|kontonummer|iban|sort code|routing|blz|cuenta|compte)\b\D{0,16}?"
    r"(?P<value>\d(?:[ -]?\d){6,19})(?!\w)",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"(?<![\w#@$€£¥₹₽.,:/+-])(?P<number>(?:\+|\(\+?)?\d(?:[ \t().\-/\u00a0\u2011]{0,2}\d){6,18})(?![\w]|[.,:/-]\d)"
)
_PLUS = re.compile(r"(?<![\w+])\(?\+\d(?:[ \t().\-/\u00a0\u2011]{0,2}\d){7,14}(?!\w)")
DATE = (
    r"(?:\d{4}([./-])\d{1,2}\1\d{1,2}|\d{1,2}([./-])\d{1,2}\2(?:\d{4}|\d{2}))(?:[ T\-]+\d{1,2}(?:[.:]\d{2}){0,2})?"
    r"|\d{4}\s*-\s*\d{4}|(?:19|20)\d{2}(?:[ ,/-]+(?:19|20)\d{2})+|\d{1,2}[. ]\d{1,2}[. ]\d{4}"
)
_DATE = re.compile(DATE)
_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:([ .\u00a0])\d{3})+")
_NATIONAL = re.compile(r"(?:1[ .-])?\(?\d{3}\)?[ .-]{1,2}\d{3}[ .-]\d{4}")
_AREA_IN_BRACKETS = re.compile(r"\d{1,3}[ -]?\(\d{2,5}\)[ -]?[\d -]{6,}|\(\d{2,5}\)[ -]?[\d -]{4,}")
_DECIMAL = re.compile(r"\d+\.\d{4,}")
_SINGLES = re.compile(r"(?<!\d)\d(?!\d)")
_MONEY_AFTER = re.compile(r"\s?(?:[$€£¥₹₽%]|(?:eur|usd|gbp|euros?|dollars?|pounds?|rub|inr|jpy|km|kg|bytes?)\b)", re.I)
_CALLING = re.compile(
    r"\b(?:phone|call|ring|tel|telephone|mobile|cell|whats ?app|sms|text|handy|nummer|number|телефон|номер)\b"
    r"[^\d\n]{0,24}$",
    re.IGNORECASE,
)
_BOOK = re.compile(r"\b(?:isbn|issn|ean|gtin|upc|barcode)\b[^\d\n]{0,8}$", re.IGNORECASE)
_LONG_NUMBER = re.compile(r"(?<![\w.,+#@$€£¥₹₽:/-])\d{11,15}(?![\w%]|[.,:/-]\d)")
_MILLISECONDS = re.compile(r"1[4-9]\d{11}")
CARD_LENGTHS = {"2": {16}, "3": {14, 15, 16}, "4": {13, 16, 19}, "5": {16}, "6": {16, 17, 18, 19}}
"""First digit of a card's number → how many it has (ISO/IEC 7812, as the schemes issue them)."""
FEWEST_DIFFERENT = 3
"""Digits of a telephone number that are not the same."""
PLANS = ("US", "IN", "RU")
"""Numbering plans in which people write ten or eleven digits in a row without a leading zero."""


def accounts(text: str) -> Iterator[Span]:
    """Numbers that are called an account."""
    for match in _ACCOUNT.finditer(text):
        if not _DATE.fullmatch(match["value"]) and not _is_card(match["value"]):
            yield match.start("value"), match.end("value"), "account"


def cards(text: str) -> Iterator[Span]:
    """Payment cards: a scheme's first digit and length, and the check digit."""
    ids = links(text)
    for match in _CARD.finditer(text):
        start, end = match.span()
        expiry = _EXPIRY.search(text, start)
        if expiry is not None and start < expiry.start() < end:
            end = expiry.start()  # “… 1111 12/27”
        if _is_card(text[start:end]) and not inside(start, ids) and not _BOOK.search(text, max(0, start - 20), start):
            yield start, end, "card"


def phones(text: str) -> Iterator[Span]:
    """Telephone numbers."""
    ids = links(text)
    for match in _NUMBER.finditer(text):
        start, end = match.span("number")
        if not inside(start, ids) and _is_phone(match["number"], text, start, end):
            yield start, end, "phone"
    if "+" in text:
        for match in _PLUS.finditer(text):
            start, end = match.span()
            if not inside(start, ids) and not _MONEY_AFTER.match(text, end) and _is_international(match.group()):
                yield start, end, "phone"


def long_numbers(text: str) -> Iterator[Span]:
    """Eleven to fifteen digits in a row of which nobody knows what they are: a customer's, a parcel's, a member's."""
    ids = links(text)
    for match in _LONG_NUMBER.finditer(text):
        start, end = match.span()
        if _MILLISECONDS.fullmatch(match.group()) or len(set(match.group())) < FEWEST_DIFFERENT or inside(start, ids):
            continue
        if not _MONEY_AFTER.match(text, end) and not _BOOK.search(text, max(0, start - 20), start):
            yield start, end, "number"


def _is_international(value: str) -> bool:
    """“+100 000 000” is a count where nobody can be called by it."""
    return _THOUSANDS.fullmatch(value.lstrip("(")[1:]) is None or _is_valid(value, None)


def _is_phone(value: str, text: str, start: int, end: int) -> bool:
    """By form: a trunk prefix, a national grouping, words like “call” before it, or that it could be dialled."""
    plain = value.lstrip("(")
    count = sum(c.isdigit() for c in value)
    if _MONEY_AFTER.match(text, end) or plain.startswith("+"):
        return False  # those with a plus are found by themselves
    if _DATE.fullmatch(plain) or _ADDRESS.fullmatch(plain):
        return False
    if len({c for c in value if c.isdigit()}) < FEWEST_DIFFERENT or _DECIMAL.fullmatch(plain):
        return False
    if count > 15 or _BOOK.search(text, max(0, start - 20), start):
        return False
    if _CALLING.search(text, max(0, start - 40), start):
        return True
    if _THOUSANDS.fullmatch(plain):
        return False
    zero = int(plain[0]) == 0
    if plain.isdigit():
        long = count > 10 or (count == 10 and plain[0] > "1")  # seconds since 1970 begin with 1
        return (count >= 9 and zero) or (long and _is_dialled(plain))
    if len(_SINGLES.findall(value)) > 2:
        return False  # a score, a table, a timetable of a program
    if count >= 7 and _AREA_IN_BRACKETS.fullmatch(value):
        return True
    return (zero and count >= 9 and ":" not in value) or _NATIONAL.fullmatch(value) is not None


def _is_dialled(digits: str) -> bool:
    """Whether digits in a row are a number that there may be: with its country's code first, or in a large plan."""
    return _is_valid(f"+{digits}", None) or any(_is_valid(digits, plan) for plan in PLANS)


def _is_valid(value: str, plan: str | None) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(value, plan))
    except phonenumbers.NumberParseException:
        return False


def _is_card(value: str) -> bool:
    digits = "".join(c for c in value if c.isdigit())
    fits = len(digits) in CARD_LENGTHS.get(digits[:1], ())
    return fits and len(set(digits)) > 1 and is_luhn(digits)


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
