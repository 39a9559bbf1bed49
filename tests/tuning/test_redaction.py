"""Private details go by their spans; everything that only looks like one stays."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tuning.redaction import find_private, is_iban, is_luhn, redact


def joined(*parts: str) -> str:
    """Shapes of keys are put together here, so that no scanner takes this file for a leak."""
    return "".join(parts)


BODY = "Ab3dEf6hIj9lMn2pQr5tUv8xYz1"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Write to mara.quill+boat@mail.example.org, ok?", "Write to [email], ok?"),
        ("<odo@example.com>;runa@example.co.uk", "<[email]>;[email]"),
        ("почта: иван@пример.рф!", "почта: [email]!"),
        ("Ring +49 (0)30 1234567.", "Ring [phone]."),
        ("+4915112345678", "[phone]"),
        ("my number: 0171 2345678, or 0151-98765432", "my number: [phone], or [phone]"),
        ("(020) 7946 0018 after six", "[phone] after six"),
        ("415-555-2671 or 1-800-555-0199", "[phone] or [phone]"),
        ("06 12 34 56 78", "[phone]"),
        ("call 555-0123 tomorrow", "call [phone] tomorrow"),
        ("شماره ۰۹۱۲۳۴۵۶۷۸۹ است", "شماره [phone] است"),
        ("+48 512 347 660, or 8 (912) 345-80-19", "[phone], or [phone]"),
        ("ring 512 349 331, ask for Odo", "ring [phone], ask for Odo"),
        ("5520291427370932 12/27", "[card] 12/27"),
        ("GB82 WEST 1234 5698 7654 32 and DE89 3704 0044 0532 0130 00", "[account] and [account]"),
        ("SSN 470-53-6622, hetu 131052-308T, nif 12345678Z", "SSN [id], hetu [id], nif [id]"),
        ("my nino is AB 12 34 56 C", "my nino is [id]"),
        ("passport C01X00T47, social insurance 130 692 544", "passport [id], social insurance [id]"),
        ("n° 255081416802538", "n° [id]"),
        ("member 123456789012 of it", "member [number] of it"),
        ("to 1BoatSLRHtKNngkdXEeobR76b53LETtpyT please", "to [wallet] please"),
        (joined("0x", "52908400098527886E0F7030069857D2E4169EE7"), "[wallet]"),
        ("from 84.23.11.9 or 2a00:1450:4001:82a::200e", "from [ip] or [ip]"),
        ("hw 00:1b:44:11:3a:b7 up", "hw [mac] up"),
        (joined("postgres://boat:", "hunt3r2x", "@db.example.org/logs"), "postgres://boat:[key]@db.example.org/logs"),
        (joined("SG", ".ngeVfQFYQlKU0ufo8x5d1A.", "TwL2iGABf9DHoTf-09kqeF8tAmbihYzrnopKc-1s5cr"), "[key]"),
        (joined("here: ", "q7Jt0pVx", "N3cRk8WzL1", "yD5hFs2GbA9u"), "here: [key]"),
        ("Card 4111 1111 1111 1111 exp 12/27", "Card [card] exp 12/27"),
        ("5555-5555-5555-4444!", "[card]!"),
        ("378282246310005", "[card]"),
        ("IBAN GB82 WEST 1234 5698 7654 32, write «plot nine»", "IBAN [account], write «plot nine»"),
        ("de89370400440532013000 is mine", "[account] is mine"),
        ("to GB82 WEST 1234 5698 7654 32 by Friday please", "to [account] by Friday please"),
        ("my account number is 12345678, thanks", "my account number is [account], thanks"),
        ("the wifi password is Tulip2024!", "the wifi password is [key]!"),
        ("Password: hunter2x", "Password: [key]"),
        ("api_key=9f86d081884c7d659a2feaa0c55ad015", "api_key=[key]"),
        ("token for the bot: " + BODY, "token for the bot: [key]"),
        (joined("use s", "k-proj-", BODY, " now"), "use [key] now"),
        (joined("gh", "p_", BODY, BODY), "[key]"),
        (joined("xo", "xb-123456789012-", BODY), "[key]"),
        (joined("AK", "IAIOSFODNN7EXAMPLE"), "[key]"),
        (joined("ey", "JhbGciOiJIUzI1NiJ9.ey", "JzdWIiOiIxIn0.SflKxwRJSMeKKF2QT4"), "[key]"),
        (joined("bot 123456789", ":AA", "x" * 33, " is it"), "bot [key] is it"),
        (joined("MTk4NjIyNDgzNDcxOTI1MjQ4", ".Cl2FMQ.", BODY), "[key]"),
        (joined("-----BEGIN RSA ", "PRIVATE KEY-----\nMIIE\nabc\n-----END RSA ", "PRIVATE KEY-----\nso"), "[key]\nso"),
    ],
)
def test_a_private_detail_is_replaced_and_the_sentence_still_reads(text: str, clean: str) -> None:
    assert redact(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "On 2024-01-31 at 14:30, or 31.01.2024 18:00, or 12/31/2024",
        "From 2019-2024, and 2019 2020 2021, and 1998/99",
        "01/02/2024-05/02/2024 and 20240131 and 05.06.07 08:09",
        "call me at 18:30 or call 2024-05-06 at ten",
        "at 10:30-12:45, lap 12:30:45.123456",
        "12 March 2024 10:00",
        "It costs 1 000 000 €, or 1,000,000, or 10.000.000 Euro",
        "$1234567890 and €99.99 and 1500 - 2000 and 3.5 million",
        "+100 000 000 views, +1000 points",
        "order 123456, id 654321, code 483920, tel: 112",
        "192.168.100.200 runs version 10.15.7.1234",
        "pi is 3.1415926535",
        "https://t.me/c/1500000002/1234567 and https://example.org/04111111111111111/0171-2345678",
        "10 20 30 40 50 60",
        "score 10-12, 11-9, 12-10; ten 1-2-3-4-5-6; 1/2 cup, 3/4 spoon",
        "1700000000 seconds",
        "1920x1080, ISBN 978-3-16-148410-0",
        "4111 1111 1111 1112 is no card",
        "a GT430 through HDMI connection, a dv8000 with Broadcom 4311",
        "<@660766611389313593> and <:gull:660766611389313593> in <#660766611389313593>",
        "ISBN 9783161484100, EAN 4006381333931",
        "192.168.0.1, 127.0.0.1, 10.8.0.6 and version 84.23.11.9, kernel 2.6.18.1",
        "fingerprint e4:c0:e5:23:8c:e6:f7:98:70:08:1a:b7:85:0f:f0:90",
        "commit 9fceb02d0ae598e95dc970b74767f19372d61af8, md5: 9e107d9d372bb6826bd81d3542a419d6",
        "passwd --help, pass umask, key /dev/sda1",
        "Intel Corp. 82845 845 Chipset at 0.4545454545",
        "00 0-23 1-31 1-12 0-6 is every hour",
        "1700000000123 ms, 1011011010 in binary",
        "GB82 WEST 1234 5698 7654 33 is no account",
        "The key is under the mat. The password reset is broken; the token bucket algorithm; key point: don't",
        "passing the monkey a turkey, keyboard and all",
        "@runa see you @ the pier, a@b",
        "https://example.org/a-very-long-path-with-many-words/and/more",
        "Donaudampfschifffahrtsgesellschaft and antidisestablishmentarianism",
        "",
        "👩‍🚒 שלום",
    ],
)
def test_what_only_looks_private_stays(text: str) -> None:
    assert redact(text) == text


def test_the_same_detail_gets_the_same_placeholder_every_time() -> None:
    text = "a@example.org said a@example.org knows b@example.org"
    assert redact(text) == "[email] said [email] knows [email]"


def test_spans_point_at_the_detail_and_do_not_overlap() -> None:
    text = "password: " + BODY + "@example.org, phone 0171 2345678"
    spans = find_private(text)
    assert all(one[1] <= other[0] for one, other in pairwise(spans))
    assert [text[start:end] for start, end, kind in spans if kind == "phone"] == ["0171 2345678"]


def test_a_redacted_text_has_nothing_left_to_redact() -> None:
    once = redact("Mail a@example.org, ring +4915112345678, card 4111111111111111, password: hunter2x")
    assert redact(once) == once


def test_a_text_made_to_be_slow_is_not() -> None:
    for hostile in ("AB12" + "a1" * 8000, "1 " * 8000, "a" * 16_000 + "@", "+1 (" * 4000, "key for a b c " * 1200):
        redact(hostile)


def test_check_digits_are_checked() -> None:
    assert is_luhn("4111111111111111")
    assert not is_luhn("4111111111111112")
    assert is_iban("GB82 WEST 1234 5698 7654 32")
    assert not is_iban("GB82 WEST 1234 5698 7654 31")
    assert not is_iban("GB82")
