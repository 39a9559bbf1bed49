"""The line on which a WhatsApp message begins: date and time in the phone's own locale, and how a whole file has them.

A file is written at once, so all its beginnings have one form: the same signs around the numbers, whatever their width
and script. `Survey` finds that form, and the order of day, month and year: the one in which dates are possible, else in
which time does not run backwards, else in which the chat took the shortest time. A line that looks like a beginning and
cannot be read as one, its half of the day in unknown words, has the form UNREADABLE. Knows nothing of files.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

MARKS = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff"
"""Signs that only tell the direction of writing; a part of a regular expression."""
UNREADABLE = ""
Order = tuple[int, int, int]
FIRST_YEAR = 2009
"""WhatsApp's own first."""
ORDERS: tuple[Order, ...] = ((2, 1, 0), (2, 0, 1), (0, 1, 2))
"""Places of year, month and day among the three numbers of a date: day first, month first, year first."""
MOST_FORMS = 64
FEW = 20
"""Beginnings in another form, as somebody may have pasted them."""

_MARKS = re.compile(f"[{MARKS}]")
_SPACE = r"[ \u00a0\u2009\u202f]"
_BRACKETED = re.compile(rf"[{MARKS}]*\[([^\[\]]{{8,60}})\]{_SPACE}?")
_DASHED = re.compile(rf"[{MARKS}]*((?:[^\W\d_]{{1,3}} )?\d.{{7,60}}?){_SPACE}[-–]{_SPACE}")
_COMMA = re.compile(rf"[{MARKS}]*(\d+[年년].{{7,60}}?\d)(?:,{_SPACE}|$)")
_DATE = (
    r"(?P<a>\d{1,4})(?:[./-] ?|[年년] ?)(?P<b>\d{1,2})(?:[./-] ?|[月월] ?)(?P<c>\d{1,4})"
    r"(?:[日일]|\.| ?г\.)?"
)
_HALF = r"[^\W\d_][^\d:,،/()]{0,20}?"
_CLOCK = (
    rf"\(?(?:(?P<half>{_HALF}) ?)?(?P<h>\d{{1,2}})(?:[:.]| h )(?P<m>\d{{2}})(?:(?:[:.]| min )(?P<s>\d{{2}})(?: s)?)?"
    rf"(?: ?(?:ч\.|น\.))?(?: ?(?P<half2>{_HALF}))?\)?"
)
_WORD = r"(?:(?:à|às|klo|kl\.|um|u|ob|o|at|в|lúc) )?"
_STAMPS = (
    re.compile(rf"{_DATE}(?:[,،]? {_WORD}|[,،]){_CLOCK}"),
    re.compile(rf"{_CLOCK}(?:[,،]? |[,،]){_DATE}"),
)
_CLOCK_AT_ALL = re.compile(r"\d{1,2}(?:[:.]|\sh\s)\d{2}")
_NUMBER = re.compile(r"\d+")
_MORNING = (
    "am 午前 上午 凌晨 清晨 早上 오전 ص صباحا صباحًا öö πμ sa pg de vm ap fm dop fh rn yb قظ pd eparadites priešpiet "
    "priekšp претпл проб үө पूर्वाह्न मपू နံနက် ก่อนเที่ยง дп to тң ጥዋት ກ່ອນທ່ຽງ לפנהצ முற்பகல்"
)
_AFTERNOON = (
    "pm 午後 下午 中午 傍晚 晚上 오후 م مساء مساءً ös μμ ch ptg du nm ip em odp pop eh in yh بظ md epasdites popiet "
    "pēcp попл слоб үх अपराह्न मउ ညနေ หลังเที่ยง пп tk тк ከሰዓት ຫຼັງທ່ຽງ אחהצ பிற்பகல்"
)
_HOURS = dict.fromkeys(_MORNING.split(), 0) | dict.fromkeys(_AFTERNOON.split(), 12)


@dataclass(frozen=True, slots=True)
class Start:
    """A line on which a message begins, or one that looks so. `form`: the signs of its date and time; `numbers`: the
    date's as they stand; `seconds` of the day; `rest` of the line; `stamp` as it was written."""

    form: str
    numbers: tuple[int, int, int]
    seconds: int
    rest: str
    stamp: str

    @property
    def bracketed(self) -> bool:
        """Whether an iPhone wrote it."""
        return self.form.startswith("[")


def started(line: str) -> Start | None:
    """The beginning of a message, if the line is or looks like one."""
    for kind, pattern in (("[", _BRACKETED), ("-", _DASHED), (",", _COMMA)):
        found = pattern.match(line)
        if found is not None:
            start = _read(kind, found[1], line[found.end() :])
            if start is not None:
                return start
    return None


def _read(kind: str, written: str, rest: str) -> Start | None:
    stamp = " ".join(_MARKS.sub("", written).split())
    for number, pattern in enumerate(_STAMPS):
        found = pattern.fullmatch(stamp)
        if found is None:
            continue
        half = found["half"] or found["half2"]
        seconds = _seconds(int(found["h"]), int(found["m"]), int(found["s"] or 0), half)
        if seconds is None:
            break
        form = _NUMBER.sub("0", stamp if half is None else stamp.replace(half, "half"))
        return Start(f"{kind}{number}{form}", (int(found["a"]), int(found["b"]), int(found["c"])), seconds, rest, stamp)
    if ": " in rest and len(_NUMBER.findall(stamp)) in (5, 6) and _CLOCK_AT_ALL.search(stamp):
        return Start(UNREADABLE, (0, 0, 0), 0, rest, stamp)
    return None


def _seconds(hour: int, minute: int, second: int, half: str | None) -> int | None:
    """Of the day; None for a time that there is not."""
    if half is not None:
        later = _HOURS.get(re.sub(r"[\s.״׳]", "", half).casefold())
        if later is None or hour > 12:
            return None
        hour = hour % 12 + later
    hour = 0 if hour == 24 else hour  # midnight, as some write it
    return None if hour > 23 or minute > 59 or second > 59 else hour * 3600 + minute * 60 + second


def moment(start: Start, order: Order) -> int | None:
    """Unix seconds, the phone's clock taken for UTC; None for a date that there is not, or that is not WhatsApp's."""
    year, month, day = (start.numbers[place] for place in order)
    midnight = _midnight(year, month, day)
    return None if midnight is None else midnight + start.seconds


@lru_cache(maxsize=1 << 14)
def _midnight(year: int, month: int, day: int) -> int | None:
    """Thai years are counted from 543 years earlier."""
    latest = datetime.now(UTC).year + 1
    if year < 100:
        year = year + 2000 if year + 2000 <= latest else year + 2500
    if year > latest:
        year -= 543
    if not FIRST_YEAR <= year <= latest:
        return None
    try:
        return int(datetime(year, month, day, tzinfo=UTC).timestamp())
    except ValueError:
        return None


@dataclass(slots=True)
class _Dates:
    """How the dates of one form come out in one order."""

    possible: int = 0
    impossible: int = 0
    backwards: int = 0
    least: int = 0
    most: int = 0
    last: int = 0

    def take(self, at: int | None) -> None:
        if at is None:
            self.impossible += 1
            return
        if not self.possible:
            self.least = self.most = self.last = at
        self.possible += 1
        self.backwards += at < self.last
        self.least, self.most, self.last = min(self.least, at), max(self.most, at), at

    def score(self) -> tuple[int, int, int]:
        return self.impossible, self.backwards, self.most - self.least


class Survey:
    """All beginnings of a file, or a good many of them, one by one. `starts`: how many."""

    def __init__(self) -> None:
        self.starts = 0
        self._first: dict[str, str] = {}
        self._forms: Counter[str] = Counter()
        self._dates: dict[str, list[_Dates]] = {}

    def take(self, start: Start) -> None:
        """The next one."""
        self.starts += 1
        if start.form not in self._forms and len(self._forms) == MOST_FORMS:
            return
        self._forms[start.form] += 1
        self._first.setdefault(start.form, start.stamp)
        for dates, order in zip(self._dates.setdefault(start.form, [_Dates() for _ in ORDERS]), ORDERS, strict=True):
            dates.take(moment(start, order))

    @property
    def form(self) -> str:
        """The file's, which most of its beginnings have."""
        return self._forms.most_common(1)[0][0]

    @property
    def order(self) -> Order:
        """The places of year, month and day in dates of that form."""
        scored = zip(self._dates[self.form], ORDERS, strict=True)
        return min(scored, key=lambda one: one[0].score())[1]

    @property
    def unreadable(self) -> str | None:
        """A date and time as they stand, where most are such that they cannot be read."""
        readable = self.form != UNREADABLE and any(dates.possible for dates in self._dates[self.form])
        return None if readable else self._first[self.form]

    @property
    def mixed(self) -> bool:
        """Whether so many beginnings have another form that two files must have become one."""
        others = self.starts - self._forms[self.form]
        return others > FEW and others * 4 > self._forms[self.form]
