"""Which language a text is in, by py3langid: for leaving out messages in another one than the assistant's.

Promises to say “another” only of texts that are long enough to tell, and where the model is sure. The model is a file
of the package's own and is loaded when it is first asked. Knows texts alone.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from config.errors import BadInput

FEWEST_LETTERS = 20
"""Under that, languages are told apart by chance."""
SURE = 0.9


class Language:
    """One language, by its ISO 639-1 code. Raises BadInput for one that cannot be told."""

    def __init__(self, code: str) -> None:
        self.code = code.strip().lower()
        if self.code not in known_languages():
            raise BadInput(f"“{code[:20]}” is no language that can be told apart; give its code, such as en, de or es.")

    def differs(self, text: str) -> bool:
        """Whether `text` is, surely, in another language."""
        words = " ".join(word for word in text.split() if "://" not in word and not word.startswith(("@", "#")))
        if sum(map(str.isalpha, words)) < FEWEST_LETTERS:
            return False
        found, sure = _identifier().classify(words)
        return bool(found != self.code and sure >= SURE)


def known_languages() -> frozenset[str]:
    """Codes of the languages that can be told."""
    return frozenset(map(str, _identifier().labels))


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # its model takes a moment and 90 MB

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
