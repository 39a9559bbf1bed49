"""Names of people who are talked about, by presidio's recogniser over a spaCy model, where one is installed.

Those who write in the chat keep their names: they are addressed by them, in service as in training, and who reads along
knows them. Models made of transformers are passed over. About 10,000 words a second and core, so by far the slowest
part of redaction; it never fetches a model.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from importlib.metadata import entry_points
from typing import Any

from tuning.private.presidio import presidio_module
from tuning.private.span import Span

KIND = "person"
MANY = "xx"
"""How spaCy's models of several languages begin."""
UNUSED = ("parser", "tagger", "lemmatizer", "attribute_ruler", "morphologizer", "senter", "trainable_lemmatizer")
"""Parts of a model that names can be told without."""
BATCH = 64


def installed_models() -> list[str]:
    """Names of the spaCy models that can be used, without loading spaCy."""
    names = {point.name for point in entry_points(group="spacy_models")}
    return sorted(name for name in names if not name.endswith("_trf"))


def model_for(language: str | None) -> str | None:
    """The installed model for this language, by its code; one of several languages, or any, where there is none."""
    models = installed_models()
    ranked = sorted(
        models, key=lambda name: (not name.startswith(f"{language}_"), not name.startswith(f"{MANY}_"), name)
    )
    return ranked[0] if ranked else None


class Names:
    """Finds names by one model."""

    def __init__(self, model: str) -> None:
        self.model = model
        self._language = model.partition("_")[0]
        nlp = presidio_module("spacy").load(model, exclude=list(UNUSED))
        self._engine: Any = presidio_module("presidio_analyzer.nlp_engine").SpacyNlpEngine(
            models=[{"lang_code": self._language, "model_name": model}]
        )
        self._engine.nlp = {self._language: nlp}  # its own loading would take the engine's GPU, and fetch models
        recognisers = presidio_module("presidio_analyzer.predefined_recognizers")
        self._recogniser: Any = recognisers.SpacyRecognizer(
            supported_language=self._language, supported_entities=["PERSON"]
        )

    def find(self, texts: Sequence[str], writing: Collection[str]) -> list[list[Span]]:
        """Of each text the names of people. `writing`: words of the names of those who write here, in lower case."""
        found: list[list[Span]] = []
        for text, artifacts in self._engine.process_batch(texts, self._language, batch_size=BATCH):
            spans = [
                (one.start, one.end, KIND)
                for one in self._recogniser.analyze(text, ["PERSON"], artifacts)
                if not _words(text[one.start : one.end]) <= set(writing)
            ]
            found.append(sorted(spans))
        return found


def words_of(names: Iterable[str]) -> set[str]:
    """The words of these names, in lower case."""
    return {word for name in names for word in _words(name)}


def _words(name: str) -> set[str]:
    return {word.strip(".,:;!?'’\"()").removesuffix("'s").removesuffix("’s") for word in name.casefold().split()} - {""}
