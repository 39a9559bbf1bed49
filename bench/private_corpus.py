"""Invented chat messages with private details at known places, and as many without any, for measuring redaction.

Details come from Faker (national ids, accounts, cards, addresses of many countries) and phonenumbers' own example
numbers, so neither their form nor their spread is ours; the sentences around them are. A seed gives the same corpus.
"""

from __future__ import annotations

import hashlib
import random
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import phonenumbers
from faker import Faker

LOCALES = ("en_US", "en_GB", "de_DE", "fr_FR", "es_ES", "it_IT", "pl_PL", "nl_NL", "sv_SE", "fi_FI", "pt_BR", "tr_TR")
REGIONS = (
    "US", "GB", "DE", "FR", "ES", "IT", "PL", "NL", "SE", "FI", "BR", "TR", "IN", "RU", "UA", "MX", "AU", "CH", "AT",
    "JP",
)  # fmt: skip
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
ALPHANUMERIC = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class Labelled:
    """One message. `details`: (start, end, kind) of what is private in it, none for most of chat."""

    text: str
    details: tuple[tuple[int, int, str], ...]


SENTENCES = {
    "email": ("write to {}, ok?", "{}", "my address is {} if you need it", "sent it to {} and to Odo", "mail: {}."),
    "phone": ("{}", "call me on {} tonight", "ring {}, she knows", "that was {} again", "new number: {}", "Mara {}",
              "whatsapp {} please", "if you are late, {} is the harbour office"),
    "card": ("the card is {} 12/27", "{}", "pay with {} for once", "card no {}, thanks"),
    "account": ("send it to {}", "{}", "IBAN {}, write «rent»", "my account: {} at the old bank"),
    "id": ("my id number is {}", "ssn {}", "they asked for my tax id: {}", "passport and national id {} please"),
    "bare id": ("{}", "it is {} I think", "for the form: {}"),
    "wallet": ("send the coins to {}", "{}", "my wallet: {} thx"),
    "password": ("the password is {}", "password: {}", "wifi password: {}",
                 "pw for the shared folder? password is {} now"),
    "key": ("use {} for the bot", "{}", "token: {}", "api_key={}", "I pasted {} here by mistake", "Bearer {}"),
    "login": ("postgres://boat:{}@db.example.org/logs", "https://odo:{}@files.example.org/x"),
    "ip": ("my ip is {}", "he writes from {}", "{} is banned for spam"),
}  # fmt: skip
KIND = {"bare id": "id", "password": "key", "login": "key"}


class PrivateCorpus:
    """`messages(count)`: half of them hold one detail, the other half none, shuffled."""

    def __init__(self, seed: int = 11) -> None:
        self._chance = random.Random(seed)
        self._fakers = {locale: Faker(locale) for locale in LOCALES}
        for number, faker in enumerate(self._fakers.values()):
            faker.seed_instance(seed + number)

    def messages(self, count: int) -> list[Labelled]:
        """So many, as evenly of each kind as it goes."""
        kinds = list(SENTENCES)
        private = [self._private(kinds[at % len(kinds)]) for at in range(count // 2)]
        plain = [Labelled(self._plain(at), ()) for at in range(count - len(private))]
        together = private + plain
        self._chance.shuffle(together)
        return together

    def _private(self, kind: str) -> Labelled:
        detail = self._detail(kind)
        before, after = self._chance.choice(SENTENCES[kind]).split("{}")
        text = f"{before}{detail}{after}"
        return Labelled(text, ((len(before), len(before) + len(detail), KIND.get(kind, kind)),))

    def _faker(self) -> Faker:
        return self._fakers[self._chance.choice(LOCALES)]

    def _detail(self, kind: str) -> str:
        makers: dict[str, Callable[[], str]] = {
            "email": lambda: str(self._faker().email()),
            "phone": self._phone,
            "card": self._card,
            "account": lambda: self._spaced(str(self._faker().iban())),
            "id": lambda: str(self._faker().ssn()),
            "bare id": lambda: str(self._faker().ssn()),
            "wallet": self._wallet,
            "password": lambda: str(self._faker().password(length=self._chance.randint(8, 14))),
            "login": lambda: self._text(ALPHANUMERIC, self._chance.randint(8, 14)),
            "key": self._key,
            "ip": self._ip,
        }
        return makers[kind]()

    def _phone(self) -> str:
        region = self._chance.choice(REGIONS)
        kind = self._chance.choice((phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE))
        number = phonenumbers.example_number_for_type(region, kind)
        assert number is not None and number.national_number is not None
        while True:  # the example's last digits are changed, and what comes of it must be a number that there may be
            national = number.national_number - number.national_number % 10_000 + self._chance.randrange(10_000)
            zero = number.italian_leading_zero
            made = phonenumbers.PhoneNumber(number.country_code, national, italian_leading_zero=zero)
            if phonenumbers.is_valid_number(made):
                break
        form = self._chance.choice(
            (phonenumbers.PhoneNumberFormat.NATIONAL, phonenumbers.PhoneNumberFormat.INTERNATIONAL,
             phonenumbers.PhoneNumberFormat.E164)
        )  # fmt: skip
        return str(phonenumbers.format_number(made, form))

    def _card(self) -> str:
        scheme = self._chance.choice(("visa16", "mastercard", "amex", "discover"))
        number = str(self._faker().credit_card_number(scheme))
        return self._chance.choice((number, " ".join(number[at : at + 4] for at in range(0, len(number), 4))))

    def _spaced(self, iban: str) -> str:
        return self._chance.choice((iban, " ".join(iban[at : at + 4] for at in range(0, len(iban), 4))))

    def _wallet(self) -> str:
        if self._chance.random() < 0.5:
            return "0x" + self._text("0123456789abcdef", 40)
        payload = b"\x00" + self._chance.randbytes(20)
        payload += hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
        number, made = int.from_bytes(payload, "big"), ""
        while number:
            number, rest = divmod(number, 58)
            made = BASE58[rest] + made
        return "1" + made

    def _key(self) -> str:
        return self._chance.choice((
            "sk-proj-" + self._text(ALPHANUMERIC, 40), "ghp_" + self._text(ALPHANUMERIC, 36),
            "AKIA" + self._text(string.ascii_uppercase + string.digits, 16),
            "xoxb-" + self._text(string.digits, 12) + "-" + self._text(ALPHANUMERIC, 24),
            "SG." + self._text(ALPHANUMERIC, 22) + "." + self._text(ALPHANUMERIC, 43),
            self._text(string.digits, 10) + ":AA" + self._text(ALPHANUMERIC, 33),
            "glpat-" + self._text(ALPHANUMERIC, 20), "npm_" + self._text(ALPHANUMERIC, 36),
            "sk_live_" + self._text(ALPHANUMERIC, 24), self._text("0123456789abcdef", 32) + "-us12",
            self._text("0123456789abcdef", 64), self._text(ALPHANUMERIC + "+/", 44), self._text(ALPHANUMERIC, 32),
        ))  # fmt: skip

    def _ip(self) -> str:
        return str(self._faker().ipv4_public() if self._chance.random() < 0.8 else self._faker().ipv6())

    def _text(self, alphabet: str, length: int) -> str:
        return "".join(self._chance.choices(alphabet, k=length))

    def _plain(self, at: int) -> str:
        """Every other one is a sentence, the rest hold what looks private and is not."""
        if at % 2:
            faker = self._faker()
            return str(faker.sentence(nb_words=self._chance.randint(3, 12)))
        return next(self._numbers())

    def _numbers(self) -> Iterator[str]:
        chance = self._chance
        day = datetime(2019, 1, 1) + timedelta(minutes=chance.randrange(5 * 525_600))
        number, small = chance.randrange(10**5, 10**7), chance.randint(2, 90)
        digest = hashlib.sha1(str(number).encode(), usedforsecurity=False).hexdigest()
        yield chance.choice((
            f"see you on {day:%Y-%m-%d} at {day:%H:%M}", f"{day:%d.%m.%Y %H:%M}", f"{day:%m/%d/%Y}, {small} people",
            f"closed {day:%d.%m.%Y} - {day + timedelta(days=9):%d.%m.%Y}", f"{day:%Y%m%d} is in the file name",
            f"it costs {number / 100:,.2f} €", f"$ {number:,} in all", f"{number} views and {small} likes",
            f"version {small}.{small % 7}.{number % 100}", f"update to {small}.0.{number % 9000}.{small} please",
            f"order {number} arrived", f"ticket #{number}{small}", f"room {number % 900}, row {small}",
            f"won {small}-{small // 2}, {small // 3}-{small}", f"lap {small % 9}:{small:02d}.{number % 1000:03d}",
            f"ISBN 978-3-16-{number % 1_000_000:06d}-{small % 10}", f"commit {digest}",
            f"{int(day.timestamp())} seconds",
            f"https://example.org/watch?v={number}&t={small}s", f"https://t.me/c/{number}{number}/{small}",
            f"<@{chance.randrange(10**17, 10**18)}> look",
            f"at {chance.uniform(40, 60):.6f}, {chance.uniform(0, 20):.6f}",
            f"{small} {small + 1} {small + 2} {small + 3} go", f"{number} / {small} = {number / small:.8f}",
            f"{small}x{small * 2} cm, {number} g", f"{day:%Y}-{day.year + 3}", f"from {small % 24}:00 to 23:30",
            f"the {day.year}, {day.year + 1} and {day.year + 2} seasons", f"192.168.{small}.{small} is the printer",
            f"127.0.0.1:{number % 60000} works", f"{number}.{small} megabytes", "password reset does not work for me",
            "The key is under the mat, the token ring is lost", f"supercalifragilistic{'o' * small}",
            f"IMG_{day:%Y%m%d}_{day:%H%M%S}.jpg", f"file-{day:%Y-%m-%d}-v{small}.tar.gz",
            f"pi is 3.14159265358979{small}",
            f"https://docs.example.org/a/{digest[:32]}", f"ean {chance.randrange(10**11, 10**12)}",
            f"part no. {small}-{number}-{small}",
        ))  # fmt: skip
