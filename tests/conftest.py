"""Shared ground for every test: a temporary home, its settings and database, and one engine for the whole run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from config.settings import Settings, load_settings
from store.database import Database, open_database


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test can touch a real home."""
    for name in ("PARLANCE_KEY", "PARLANCE_DATABASE_URL", "PARLANCE_BASE_MODEL"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "home"
    monkeypatch.setenv("PARLANCE_HOME", str(folder))
    return folder


@pytest.fixture
def settings(home: Path) -> Settings:
    return load_settings()


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    opened = await open_database(settings)
    yield opened
    await opened.close()
