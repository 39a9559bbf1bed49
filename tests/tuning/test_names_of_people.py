"""Names of people who are talked about go where a model is installed; those of who write stay."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chat_exports import START, add_assistant, chat, message, silent, talk, written

from store.database import Database
from tuning.conversations import ChatMessage
from tuning.curation import redactions
from tuning.importing import import_file
from tuning.placeholders import Placeholders
from tuning.private.names import KIND, Names, installed_models, model_for
from tuning.private.presidio import presidio_module
from tuning.redacting import Redacting
from tuning.redaction import find_private

MODEL = "en_quay_names"


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A real spaCy model, installed like any other, that knows three names."""
    site = tmp_path / "site"
    package = site / MODEL
    package.mkdir(parents=True)
    nlp: Any = presidio_module("spacy").blank("en")
    rules = nlp.add_pipe("entity_ruler")
    rules.add_patterns(
        [{"label": "PERSON", "pattern": name} for name in ("Hedda Moen", "Hedda", "Jonas Lund", "Runa", "Odo")]
    )
    nlp.meta |= {"name": MODEL.partition("_")[2], "version": "1.0.0"}
    nlp.to_disk(package / f"{MODEL}-1.0.0")
    (package / "meta.json").write_bytes((package / f"{MODEL}-1.0.0" / "meta.json").read_bytes())
    (package / "__init__.py").write_text(
        "from spacy.util import load_model_from_init_py\n"
        "def load(**overrides):\n    return load_model_from_init_py(__file__, **overrides)\n"
    )
    info = site / f"{MODEL}-1.0.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {MODEL}\nVersion: 1.0.0\n")
    (info / "entry_points.txt").write_text(f"[spacy_models]\n{MODEL} = {MODEL}\n")
    monkeypatch.syspath_prepend(str(site))
    importlib.invalidate_caches()
    yield MODEL
    sys.modules.pop(MODEL, None)


def said(number: int, author: str, text: str) -> ChatMessage:
    return ChatMessage(number, str(number), len(author), author, START, None, False, text)


def test_without_a_model_names_stay() -> None:
    assert MODEL not in installed_models()
    conversation = [said(1, "Odo Brandt", "Hedda Moen has the key, ring +49 151 23456789")]
    assert Redacting().conversation(conversation, ())[0].text == "Hedda Moen has the key, ring [phone]"


def test_names_talked_about_go_consistently_and_those_of_who_writes_stay(model: str) -> None:
    assert model in installed_models()
    assert model_for("en") == model
    conversation = [
        said(1, "Odo Brandt", "Runa, has Hedda Moen the key, or Jonas Lund? hedda@example.org does not answer"),
        said(2, "Runa Vik", "Hedda has, Odo. Hedda's boat is in."),
    ]
    redacting = Redacting(Names(model))
    first, second = redacting.conversation(conversation, ())
    assert first.text == "Runa, has [person] the key, or [person 2]? [email] does not answer"
    assert second.text.startswith("[person] has, Odo. [person]")
    assert redacting.counts == {"person": 4, "email": 1}
    assert len(redacting.secrets) == 1  # the gate looks for addresses and numbers; names are met everywhere
    assert redacting.conversation(conversation, {len("Runa Vik")})[1].text == conversation[1].text


async def test_a_reviewer_sees_names_go(model: str, database: Database, tmp_path: Path) -> None:
    owner = await add_assistant(database)
    asked = [message(9000, "Odo Brandt", "Where is Jonas Lund?", START + 10**7),
             message(9001, "Runa Vik", "Jonas Lund is on the island.", START + 10**7 + 5)]  # fmt: skip
    await import_file(database, written(tmp_path, chat(talk(50) + asked)), "harbour", "Runa", "Ingrid", silent)
    async with database.long_session() as session:
        found, counts = await redactions(session, owner, 10)
    assert counts == {"person": 2}
    assert {one.after for one in found} == {"Where is [person]?", "[person] is on the island."}


def test_placeholders_are_told_apart_and_stay_the_same() -> None:
    placeholders = Placeholders()
    texts = ["a@example.org or b@example.org", "b@example.org, +49 151 23456789"]
    assert [placeholders.replace(text, find_private(text)) for text in texts] == [
        "[email] or [email 2]",
        "[email 2], [phone]",
    ]
    assert placeholders.name("+49 151 98765432", find_private("+49 151 98765432")) == "[phone2]"
    assert placeholders.replace("Hedda and Hedda Moen", [(0, 5, KIND), (10, 20, KIND)]) == "[person] and [person]"
