"""Keys, tokens and passwords: detect-secrets' detectors, random-looking strings, and what is called a password.

detect-secrets knows how some twenty services write their keys, and measures entropy; it reads source code, so what
stands in a sentence without quotes, or after “password is”, is found here. Nothing is ever verified with a service.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from typing import Any

from tuning.private.span import Span, inside, links

LONG = 20
"""Characters in a row without a space: under that, nothing is a key by its form alone."""
LONG_PIECE = 14
"""Of a random string, between dashes and strokes."""
DETECTORS = {
    "artifactory": "ArtifactoryDetector", "aws": "AWSKeyDetector", "azure_storage_key": "AzureStorageKeyDetector",
    "basic_auth": "BasicAuthDetector", "cloudant": "CloudantDetector", "discord": "DiscordBotTokenDetector",
    "github_token": "GitHubTokenDetector", "gitlab_token": "GitLabTokenDetector",
    "ibm_cloud_iam": "IbmCloudIamDetector", "ibm_cos_hmac": "IbmCosHmacDetector", "jwt": "JwtTokenDetector",
    "mailchimp": "MailchimpDetector", "npm": "NpmDetector", "openai": "OpenAIDetector",
    "pypi_token": "PypiTokenDetector", "sendgrid": "SendGridDetector", "slack": "SlackDetector",
    "softlayer": "SoftlayerDetector", "square_oauth": "SquareOAuthDetector", "stripe": "StripeDetector",
    "telegram_token": "TelegramBotTokenDetector", "twilio": "TwilioKeyDetector",
}  # fmt: skip
"""Of detect-secrets' detectors those that work on any text; the rest wants source code, or looks at IP addresses."""

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
    r"\b(?:pass(?:word|wd|phrase|code)?|pwd|pw|secret|(?:api|access|private|secret|auth|wifi|wi-fi)[ _-]?key|key|token"
    r"|passwort|kennwort|contraseña|mot de passe|пароль)s?"
    r"\b[\"']?(?:\s+(?:is|was|ist|es|est|=)\s+|\s*[:=]+\s*|\s+(?:for|to|of)(?:\s+\w+){1,3}\s*(?:is|:|=)\s*"
    r"|\s+(?![(/\\$~-]))[«“\"'`]?"  # with nothing between, an option or a path is none
    r"(?P<value>[^\s«»“”\"'`<>]{6,})",
    re.IGNORECASE,
)
_RANDOM = re.compile(r"(?<![\w+/=.@-])(?:[0-9a-fA-F]{32,128}|[A-Za-z0-9+/_-]{24,200}={0,2})(?![\w+/=@-]|\.\w)")
_HEX = re.compile(r"[0-9a-fA-F]+")
_DIGEST = re.compile(
    r"(?:commit|revision|rev|hash|sha-?\d*|md5|blake2?\w?|checksum|digest|etag|uuid|info_?hash|magnet)\W{0,3}(?:\w+\W+)?$",
    re.IGNORECASE,
)
_DATE_LIKE = re.compile(r"[\d./:T-]+")


def has_long(text: str) -> bool:
    """Whether some word is long enough to be a key. Cheap."""
    return len(text) >= LONG and max(map(len, text.split()), default=0) >= LONG


def names_secret(text: str) -> bool:
    """Whether a word stands there after which a password may come. Cheap."""
    low = text.lower()
    return (
        "pass" in low or "key" in low or "token" in low or "secret" in low or "pw" in low
        or "kennwort" in low or "contraseña" in low or "mot de" in low or "пароль" in low
    )  # fmt: skip


def keys(text: str) -> Iterator[Span]:
    """Keys by their form."""
    if "-----BEGIN" in text:
        for match in _PEM.finditer(text):
            yield (*match.span(), "key")
    if not has_long(text):
        return
    for match in _KEYS.finditer(text):
        yield (*match.span(), "key")
    for detector in _detectors():
        for secret in detector.analyze_string(text):
            at = text.find(secret)
            if secret and at >= 0:
                yield at, at + len(secret.rstrip()), "key"


def random_strings(text: str) -> Iterator[Span]:
    """Long strings without any pattern, unless they are digests by what stands before them, or part of a link."""
    if not has_long(text):
        return
    base64, hexadecimal = _entropies()
    addresses = links(text)
    for match in _RANDOM.finditer(text):
        value = match.group()
        if inside(match.start(), addresses) or _DIGEST.search(text, max(0, match.start() - 32), match.start()):
            continue
        if _HEX.fullmatch(value):
            if len(value) >= 32 and hexadecimal.calculate_shannon_entropy(value) > hexadecimal.entropy_limit:
                yield (*match.span(), "key")
        elif _is_mixed(value) and base64.calculate_shannon_entropy(value) > base64.entropy_limit - 0.5:
            yield (*match.span(), "key")  # half a bit less than in code, where keys have 40 characters


def named_secrets(text: str) -> Iterator[Span]:
    """Passwords by what they are called."""
    if not names_secret(text):
        return
    for match in _NAMED_SECRET.finditer(text):
        value = match["value"].rstrip(".,;:!?)]}…")
        if _looks_random(value):
            start = match.start("value")
            yield start, start + len(value), "key"


def _looks_random(value: str) -> bool:
    """Whether a word after “password” is one: it mixes letters with digits or signs, or is long and without pattern."""
    if len(value) < 6 or "://" in value or _DATE_LIKE.fullmatch(value):
        return False
    letters = any(c.isalpha() for c in value)
    digits = any(c.isdigit() for c in value)
    signs = any(c in "!#$%&*+=?@^_~" for c in value)
    if (letters and digits) or (signs and letters and len(value) >= 8):
        return True
    mixed = value[1:] != value[1:].lower() and value != value.upper()
    return len(value) >= 16 and mixed and bool(_entropies()[0].calculate_shannon_entropy(value) >= 3.5)


def _is_mixed(value: str) -> bool:
    """Capitals, small letters and digits together in one piece, so no words with dashes between, and no path."""
    if value.startswith("/"):
        return False
    longest = max(re.split(r"[-_/]", value), key=len)
    return (
        len(longest) >= LONG_PIECE
        and any(c.isupper() for c in longest)
        and any(c.islower() for c in longest)
        and any(c.isdigit() for c in longest)
    )


@lru_cache(maxsize=1)
def _detectors() -> list[Any]:
    """Loaded when the first long word comes."""
    return [getattr(import_module(f"detect_secrets.plugins.{file}"), name)() for file, name in DETECTORS.items()]


@lru_cache(maxsize=1)
def _entropies() -> tuple[Any, Any]:
    module = import_module("detect_secrets.plugins.high_entropy_strings")
    return module.Base64HighEntropyString(), module.HexHighEntropyString()
