"""How much of what is private is found, how much of the rest is left alone, and how fast, side by side.

    python -m bench.redaction [--messages 6000] [--seed 12] [--lines FILE] [--json]

Messages are invented (bench/private_corpus.py), half of them with one private detail. A detail counts as found when
none of its letters and digits is left. `--lines FILE` measures a real log instead, a message a line: how many are
changed, and how fast. Needs Faker (the extra `bench`).
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.private_corpus import Labelled, PrivateCorpus
from tuning.private.keys import DETECTORS
from tuning.private.presidio import presidio_module
from tuning.redaction import find_private

Find = Callable[[str], Sequence[tuple[int, int, Any]]]
LEAST_SCORE = 0.35
"""From which on presidio's documentation takes what it finds without context words."""


def presidio() -> Find:
    """presidio's pattern recognisers as its analyzer loads them for English, without a language model."""
    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)
    tldextract: Any = presidio_module("tldextract")
    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)  # it never goes to the network
    registry = presidio_module("presidio_analyzer").RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"])
    recognisers = [one for one in registry.recognizers if one.name != "SpacyRecognizer"]

    def find(text: str) -> list[tuple[int, int, Any]]:
        results = [one for part in recognisers for one in part.analyze(text, part.supported_entities, None)]
        private = [one for one in results if one.score >= LEAST_SCORE and one.entity_type not in ("DATE_TIME", "URL")]
        return [(one.start, one.end, one.entity_type) for one in private]

    return find


def detect_secrets() -> Find:
    """All of detect-secrets' detectors that read any text, its IP addresses and quoted strings as well."""
    detectors = [getattr(import_module(f"detect_secrets.plugins.{file}"), name)() for file, name in DETECTORS.items()]
    detectors.append(import_module("detect_secrets.plugins.ip_public").IPPublicDetector())
    detectors.append(import_module("detect_secrets.plugins.keyword").KeywordDetector())

    def find(text: str) -> list[tuple[int, int, Any]]:
        secrets = [(text.find(secret), secret) for one in detectors for secret in one.analyze_string(text) if secret]
        return [(at, at + len(secret), "secret") for at, secret in secrets if at >= 0]

    return find


def measure(find: Find, messages: Sequence[Labelled]) -> dict[str, Any]:
    """Shares of details found, by kind and in all; of messages without any that were changed; messages a second."""
    for message in messages[:50]:
        find(message.text)  # loads what it needs
    begin = time.process_time()
    found = [find(message.text) for message in messages]
    seconds = time.process_time() - begin
    there: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    changed = 0
    for message, spans in zip(messages, found, strict=True):
        changed += bool(spans) and not message.details
        for start, stop, kind in message.details:
            there[kind] += 1
            hidden = (any(a <= at < b for a, b, _ in spans) for at in range(start, stop) if message.text[at].isalnum())
            whole[kind] += all(hidden)
    plain = sum(not message.details for message in messages)
    return {
        "found": round(whole.total() / there.total(), 4),
        "by_kind": {kind: round(whole[kind] / there[kind], 3) for kind in sorted(there)},
        "changed_without_need": round(changed / plain, 4),
        "messages_per_second": round(len(messages) / seconds),
    }


def on_lines(file: Path) -> dict[str, Any]:
    """A real log: messages changed, details by kind, messages a second of processor time."""
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    find_private("ssn 470-53-6622, 0x52908400098527886E0F7030069857D2E4169EE7, 84.23.11.9")
    begin = time.process_time()
    found = [find_private(line) for line in lines]
    seconds = time.process_time() - begin
    return {
        "messages": len(lines),
        "changed": sum(map(bool, found)),
        "by_kind": dict(Counter(kind for spans in found for *_, kind in spans)),
        "messages_per_second": round(len(lines) / seconds),
    }


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="What redaction finds, and how fast.")
    parser.add_argument("--messages", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=12)
    parser.add_argument("--lines", type=Path)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.lines:
        print(json.dumps(on_lines(given.lines)))
        return 0
    messages = PrivateCorpus(given.seed).messages(given.messages)
    sides = {"presidio": presidio(), "detect-secrets": detect_secrets(), "parlance": find_private}
    figures = {name: measure(find, messages) for name, find in sides.items()}
    if given.json:
        print(json.dumps(figures))
        return 0
    for name, of in figures.items():
        kinds = ", ".join(f"{kind} {share:.0%}" for kind, share in of["by_kind"].items())
        print(f"{name}: found {of['found']:.1%} ({kinds})")
        print(
            f"  changed without need {of['changed_without_need']:.2%}, {of['messages_per_second']:,} messages a second"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
