"""All checks, in the order in which things depend on one another, and the repairs that are asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from config.errors import ParlanceError
from config.hardware import probe
from config.settings import Settings
from console.doctor import accounts, adapters, answering, engine_size, home, machine, running, stored
from console.doctor.finding import Finding
from store.database import open_database


@dataclass(frozen=True, slots=True)
class Repaired:
    """A repair that was tried. `trouble`: why it could not be made, None where it was."""

    check: str
    words: str
    trouble: str | None


async def examine(settings: Settings) -> list[Finding]:
    """What is found on this home. A database that cannot be opened is a finding, and hides those that need it."""
    async with _looked(settings) as findings:
        return findings


async def repair(settings: Settings) -> list[Repaired]:
    """Make every repair that a finding brings, most needed first; what was done. Looking again tells what is left."""
    done: list[Repaired] = []
    async with _looked(settings) as findings:
        for finding in findings:
            if finding.repair is None:
                continue
            try:
                await finding.repair.make()
                done.append(Repaired(finding.check, finding.repair.words, None))
            except (ParlanceError, OSError) as error:
                done.append(Repaired(finding.check, finding.repair.words, str(error)))
    return done


@asynccontextmanager
async def _looked(settings: Settings) -> AsyncIterator[list[Finding]]:
    """The findings, with the database open for as long as their repairs may need it."""
    hardware = probe(settings.home)
    findings = [*machine.look(settings, hardware), *home.look(settings)]
    unfit = await stored.check_file(settings)
    no_key = settings.key is None and not settings.paths.key_file.exists() and settings.paths.database.exists()
    if unfit or no_key:  # opening would make a new key, which fits nothing
        yield [*findings, *unfit]
        return
    try:
        database = await open_database(settings)
    except ParlanceError as error:
        yield [*findings, Finding("Database", "wrong", str(error))]
        return
    except ModuleNotFoundError as error:
        advice = f"Run: .venv/bin/pip install {error.name}"
        yield [*findings, Finding("Database", "wrong", f"what speaks to it, {error.name}, is not installed", advice)]
        return
    except (OSError, SQLAlchemyError) as error:
        advice = "See that it runs, and that PARLANCE_DATABASE_URL is right."
        yield [*findings, Finding("Database", "wrong", f"it cannot be opened ({type(error).__name__})", advice)]
        return
    try:
        sealed = await stored.check_sealed(database)
        findings.append(sealed)
        if sealed.level == "ok":
            findings += await stored.look(settings, database)
            findings += await adapters.look(settings, database)
            findings += await engine_size.look(settings, database)
            findings += await running.look(settings, database)
            findings += await answering.look(settings, database)
            findings += await accounts.look(database)
        yield findings
    finally:
        await database.close()
