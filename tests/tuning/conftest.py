from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from another_machine import AnotherMachine, another_machine
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


@pytest.fixture
async def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AnotherMachine]:
    far, mine = tmp_path / "there", tmp_path / "mine"
    far.mkdir()
    monkeypatch.setenv("HOME", str(mine))
    async with another_machine(far, mine) as machine:
        yield machine
