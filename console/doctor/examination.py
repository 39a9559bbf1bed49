"""All checks, in the order in which things depend on one another."""

from __future__ import annotations

from config.errors import ParlanceError
from config.hardware import probe
from config.settings import Settings
from console.doctor import accounts, adapters, engine_size, home, machine
from console.doctor.finding import Finding
from store.database import open_database


async def examine(settings: Settings) -> list[Finding]:
    """What is found on this home. A database that cannot be opened is a finding, and hides those that need it."""
    hardware = probe(settings.home)
    findings = [*machine.look(settings, hardware), *home.look(settings)]
    if not settings.paths.key_file.exists() and settings.key is None and settings.paths.database.exists():
        return findings  # opening would make a new key, which fits nothing
    try:
        database = await open_database(settings)
    except ParlanceError as error:
        return [*findings, Finding("Database", "wrong", str(error))]
    try:
        findings += await adapters.look(settings, database)
        findings += await engine_size.look(settings, database)
        findings += await accounts.look(database)
    finally:
        await database.close()
    return findings
