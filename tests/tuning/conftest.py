from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from harbour import Harbour, make_harbour
from small_training import small_llama

from config.catalogue import DEMO_FOLDER
from config.settings import Settings
from store.database import Database


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of stock shape that knows nothing yet, with the demo's tokenizer."""
    folder = tmp_path_factory.mktemp("model")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(DEMO_FOLDER / name, folder)
    small_llama().save_pretrained(folder)
    return folder


@pytest.fixture
async def harbour(database: Database, settings: Settings, tmp_path: Path) -> Harbour:
    """With the real trainer."""
    return await make_harbour(database, settings, tmp_path)


@pytest.fixture
def quick(harbour: Harbour, monkeypatch: pytest.MonkeyPatch) -> Harbour:
    """With a trainer that plays along."""
    monkeypatch.setattr("tuning.elsewhere.place.run_training", harbour.train)
    return harbour
