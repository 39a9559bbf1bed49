"""The adapters: each version's files against what was noted when it was made."""

from __future__ import annotations

from sqlalchemy import select

from config.errors import ParlanceError
from config.names import VersionName
from config.settings import Settings
from console.doctor.finding import Finding
from serving.adapters import verify
from store.database import Database
from store.tables import Assistant, Version


async def look(settings: Settings, database: Database) -> list[Finding]:
    """All of this group."""
    return await check_adapters(settings, database)


async def check_adapters(settings: Settings, database: Database) -> list[Finding]:
    """Each version's files against the digest that was noted when it was made."""
    async with database.session() as session:
        rows = (await session.execute(select(Assistant.name, Version).join(Version))).all()
    found = []
    for name, version in rows:
        label = VersionName(name, version.number)
        try:
            manifest = verify(settings.paths.adapter(label))
        except (ParlanceError, OSError) as error:
            found.append(Finding("Adapter", "wrong", f"{label}: {error}", f"Restore it, or: parlance rollback {name}"))
            continue
        if manifest.digest != version.digest:
            found.append(Finding("Adapter", "wrong", f"{label} is not the one that was gated", f"Retrain {name}."))
    return found or [Finding("Adapters", "ok", f"{len(rows)} versions, all as they were made")]
