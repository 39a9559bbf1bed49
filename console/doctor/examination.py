"""All checks, in the order in which things depend on one another, and the repairs that are asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from config.errors import ParlanceError
from config.hardware import probe
from config.settings import Settings
from console.doctor import accounts, adapters, answering, engine_size, home, machine, running, stored
from console.doctor.finding import Finding, awaited, tried
from store.database import open_database

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Repaired:
    """A repair that was tried. `trouble`: why it could not be made, None where it was."""

    check: str
    words: str
    trouble: str | None


async def examine(settings: Settings) -> list[Finding]:
    """What is found on this home, each thing once. A database that cannot be opened is a finding, and hides those that
    need it; a check that cannot look is one as well, and hides nothing."""
    async with _looked(settings) as findings:
        return _once(findings)


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
            except Exception as error:
                log.exception("repair_failed", check=finding.check)
                trouble = f"it did not work ({type(error).__name__}); the log has the details"
                done.append(Repaired(finding.check, finding.repair.words, trouble))
    return done


def _once(findings: list[Finding]) -> list[Finding]:
    """What keeps several checks from looking is said where it is found first."""
    wrong: set[str] = set()
    found = []
    for finding in findings:
        if finding.level != "wrong" or finding.found not in wrong:
            found.append(finding)
        if finding.level == "wrong":
            wrong.add(finding.found)
    return found


@asynccontextmanager
async def _looked(settings: Settings) -> AsyncIterator[list[Finding]]:
    """The findings, with the database open for as long as their repairs may need it."""
    findings = [
        *tried("Machine", lambda: machine.look(settings, probe(settings.home))),
        *await awaited("Tuning", machine.check_training_machine(settings)),
        *home.look(settings),
    ]
    unfit = await awaited("Database", stored.check_file(settings))
    if unfit:
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
    except Exception as error:
        log.exception("check_failed", check="Database")
        advice = "See that it runs, and that PARLANCE_DATABASE_URL is right."
        yield [*findings, Finding("Database", "wrong", f"it cannot be opened ({type(error).__name__})", advice)]
        return
    try:
        sealed = await awaited("Sealed text", stored.check_sealed(database))
        findings += sealed
        if all(finding.level == "ok" for finding in sealed):
            findings += await awaited("Stored", stored.look(settings, database))
            findings += await awaited("Adapters", adapters.look(settings, database))
            findings += await awaited("Engine size", engine_size.look(settings, database))
            findings += await awaited("Running", running.look(settings, database))
            findings += await awaited("Assistants", answering.look(settings, database))
            findings += await awaited("Accounts", accounts.look(database))
        yield findings
    finally:
        await database.close()
