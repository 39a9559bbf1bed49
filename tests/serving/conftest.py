from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from standing_in import stand_in

from config.catalogue import find_model
from config.settings import Settings
from serving.adapters import ensure_untuned
from serving.supervisor import EngineSupervisor
from store.crypto import load_cipher


@pytest.fixture
async def supervisor(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EngineSupervisor]:
    """One whose engines are processes that stand in for them; ready."""
    monkeypatch.setattr("serving.engine.command_line", stand_in)
    settings.paths.ensure()
    ensure_untuned(settings.paths, find_model("demo"))
    made = EngineSupervisor(settings, load_cipher(settings.paths.key_file, None))
    made.start()
    await made.wait_ready(timeout=60)
    yield made
    await made.stop()
