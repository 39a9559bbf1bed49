"""Bank accounts, national ids, wallets and network addresses, by presidio's pattern recognisers.

Used are those that check what they find, and, after a word that names such a number (“passport”, “SSN”), those that
only know its form. presidio is loaded when the first text comes that may hold one (tuning/private/presidio.py).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from typing import Any

from tuning.private.numbers import DATE, is_iban
from tuning.private.presidio import presidio_module
from tuning.private.span import Span, inside, links

CHECKED = (
    "ItFiscalCodeRecognizer", "FiPersonalIdentityCodeRecognizer", "EsNifRecognizer", "EsNieRecognizer",
    "SePersonnummerRecognizer", "KrRrnRecognizer", "KrFrnRecognizer", "UsSsnRecognizer", "UkNinoRecognizer",
    "PlPeselRecognizer", "TrNationalIdRecognizer", "DeTaxIdRecognizer", "DeSocialSecurityRecognizer",
    "ThTninRecognizer", "NgNinRecognizer",
)  # fmt: skip
"""Recognisers of people's numbers with check digits, or with a form that little else has (`SURE`)."""
NAMED = (
    "NhsRecognizer", "CaSinRecognizer", "AuTfnRecognizer", "AuMedicareRecognizer", "UsItinRecognizer",
    "UsPassportRecognizer", "UkPassportRecognizer", "DePassportRecognizer", "DeIdCardRecognizer",
    "ItPassportRecognizer", "ItIdentityCardRecognizer", "EsPassportRecognizer", "InPassportRecognizer",
    "InVoterRecognizer", "KrPassportRecognizer", "PhPassportRecognizer", "ZaIdNumberRecognizer",
    "ZaPassportRecognizer", "UkDrivingLicenceRecognizer", "UsLicenseRecognizer", "ItDriverLicenseRecognizer",
    "DeFuehrerscheinRecognizer", "KrDriverLicenseRecognizer", "UsMbiRecognizer", "DeHealthInsuranceRecognizer",
    "SgFinRecognizer", "AbaRoutingRecognizer", "InPanRecognizer",
    "InAadhaarRecognizer",
)  # fmt: skip
"""Recognisers of forms that much else has too: only after a word of _NAMING."""
SURE = 0.5
FEWEST_DIGITS = 5
FEWEST_DIFFERENT = 2
NEAR = 40
"""Characters between the word that names a number and the number."""
SMALL = 30
"""Four numbers that are all under it are a version, or a resolver that everybody knows."""
FEWEST_GROUPS = 3
"""Of an IPv6 address that is one: “fde::” is a nickname and a colon."""

_NAMING = re.compile(
    r"\b(?:passport|passnummer|reisepass|passaporto|pasaporte|passeport|personalausweis|ausweis|carta d.identit|"
    r"(?:national|personal|tax|health|voter|citizen|employee)[ -]?(?:id|number|insurance)|id[ -]?(?:number|card|no\b)|"
    r"ssn|social (?:security|insurance)|sozialversicherung|versichertennummer|krankenkasse|nhs|nino|medicare|medicaid|"
    r"tfn|itin|sin\b|nric|dni|nif|nie|pesel|aadhaar|pan card|driv\w+ licen[cs]e|licen[cs]e number|f.hrerschein|"
    r"patente|steuer-?id|steuernummer|codice fiscale|personnummer|kimlik|routing|паспорт|снилс|инн)\w*",
    re.IGNORECASE,
)
_CODE = re.compile(r"\b(?=(?:[A-Z]*\d){4})(?=\d*[A-Z])[A-Z\d]{6,14}\b")
"""Capitals and digits together: what follows the name of a document, though no recogniser knows its country."""
_DATES_AND_TIMES = re.compile(rf"(?<![\w.-])(?:{DATE}|\d{{1,2}}:\d\d(?::\d\d)?)(?![\w-])")
_CHECKABLE = re.compile(r"(?:\d[ -]?){6}|[A-Za-z]{6}\d\d")
"""Every number that is told by its check digits has six digits near each other, or is an Italian fiscal code."""
_DIGIT = re.compile(r"\d")
_VERSION = re.compile(r"(?:\bv|version|release|update(?: to)?|upgrade(?: to)?|build|firmware|driver)\W{0,3}$", re.I)
_MAY_BE_ADDRESS = re.compile(r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d|[0-9A-Fa-f]:[0-9A-Fa-f:]*:|[0-9A-Fa-f]{2}-[0-9A-Fa-f]{2}-")
_MAY_BE_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}(?![A-Za-z0-9])")
_MAY_BE_WALLET = re.compile(r"\b(?:0x[0-9a-fA-F]{40}|(?:bc1|[13])[a-zA-HJ-NP-Z0-9]{25,59})\b")
_NIR = re.compile(r"(?<!\d)([12](?: ?\d{2}){2} ?(?:\d{2}|2[AB])(?: ?\d{3}){2}) ?(\d{2})(?!\d)")
_ETHER = re.compile(r"\b0x[0-9a-fA-F]{40}\b")


def wallets(text: str) -> Iterator[Span]:
    """Bitcoin addresses whose check digits fit, and Ethereum's."""
    if len(text) < 26 or not _MAY_BE_WALLET.search(text):
        return
    for match in _ETHER.finditer(text):
        yield (*match.span(), "wallet")
    for start, stop, score in _found("CryptoRecognizer", text):
        if score > SURE:
            yield start, stop, "wallet"


def ibans(text: str) -> Iterator[Span]:
    """Bank accounts whose check digits fit, written as their country writes them."""
    at = 0
    while found := _MAY_BE_IBAN.search(text, at):
        start, end = found.span()
        at = start + 1
        while end > start:  # the words after it look like more of it, so they are given back one by one
            if is_iban(text[start:end]) and _found("IbanRecognizer", _compact(text[start:end])):
                yield start, end, "account"
                at = end
                break
            end = max(text.rfind(" ", start, end), text.rfind("-", start, end))


def _compact(number: str) -> str:
    return number.replace(" ", "").replace("-", "").upper()


def addresses(text: str) -> Iterator[Span]:
    """Public IP addresses and hardware addresses. Private and reserved ones say nothing of anybody."""
    if not _MAY_BE_ADDRESS.search(text):
        return
    within = links(text)
    for start, stop, _ in _found("IpRecognizer", text):
        number = text[start:stop].partition("/")[0]
        version = _VERSION.search(text, max(0, start - 16), start)
        if not inside(start, within) and not version and _is_public(number):
            yield start, stop, "ip"
    for start, stop, _ in _found("MacAddressRecognizer", text):
        if text[start - 1 : start] != ":" and text[stop : stop + 1] != ":":  # else part of a fingerprint
            yield start, stop, "mac"


def ids(text: str) -> Iterator[Span]:
    """People's numbers that stand out: named, or of letters and digits or in groups with a check digit."""
    plain = _candidates(text)
    if plain is None:
        return
    naming = [match.end() for match in _NAMING.finditer(text)]
    if not naming and not _CHECKABLE.search(plain):
        return
    for start, stop, _ in _of_people(plain, bool(naming)):
        near = any(0 <= start - end <= NEAR for end in naming)
        if near or not plain[start:stop].isdigit():
            yield start, stop, "id"
    for match in _NIR.finditer(plain):
        if _is_nir(match[1], match[2]):
            yield (*match.span(), "id")


def bare_ids(text: str) -> Iterator[Span]:
    """Digits in a row with a person's number's check digits: what else they may be is to be asked first."""
    plain = _candidates(text)
    if plain is not None and _CHECKABLE.search(plain):
        for start, stop, _ in _of_people(plain, named=False):
            yield start, stop, "id"


def _candidates(text: str) -> str | None:
    """The text with links, dates and times blanked, where enough digits are left."""
    if len(_DIGIT.findall(text)) < FEWEST_DIGITS:
        return None
    plain = _DATES_AND_TIMES.sub(lambda match: " " * len(match.group()), text)
    for start, stop in links(text):
        plain = f"{plain[:start]}{' ' * (stop - start)}{plain[stop:]}"
    return plain if len(_DIGIT.findall(plain)) >= FEWEST_DIGITS else None


@lru_cache(maxsize=64)
def _of_people(plain: str, named: bool) -> Sequence[tuple[int, int, float]]:
    found = [one for name in CHECKED for one in _found(name, plain) if one[2] >= SURE]
    if named:
        found += [one for name in NAMED for one in _found(name, plain)]
        found += [(*match.span(), SURE) for match in _CODE.finditer(plain)]
    return [one for one in found if _stands_alone(plain, one[0], one[1])]


def _stands_alone(plain: str, start: int, stop: int) -> bool:
    """Whether it is a whole number in capitals, of more than two different digits; recognisers look less closely."""
    number = plain[start:stop]
    alone = not plain[start - 1 : start].isalnum() and not plain[stop : stop + 1].isalnum()
    return alone and number == number.upper() and len(set(_DIGIT.findall(number))) > FEWEST_DIFFERENT


def _is_nir(number: str, key: str) -> bool:
    """Whether a French social security number's key fits; presidio has no recogniser for it."""
    digits = number.replace(" ", "").replace("2A", "19").replace("2B", "18")
    return 97 - int(digits) % 97 == int(key)


def _is_public(number: str) -> bool:
    try:
        address = ipaddress.ip_address(number)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        return address.is_global and len(number.split(":")) > FEWEST_GROUPS
    return address.is_global and max(address.packed) >= SMALL


def _found(name: str, text: str) -> list[tuple[int, int, float]]:
    recogniser = _recogniser(name)
    return [(one.start, one.end, one.score) for one in recogniser.analyze(text, recogniser.supported_entities, None)]


@cache
def _recogniser(name: str) -> Any:
    return getattr(presidio_module("presidio_analyzer.predefined_recognizers"), name)()
