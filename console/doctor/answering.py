"""Who answers: assistants, what they have in service, their base model, and the routes that lead to them."""

from __future__ import annotations

from sqlalchemy import select

from config.catalogue import find_model
from config.errors import ParlanceError
from config.names import VersionName
from config.settings import Settings
from console.doctor.finding import Finding, Make, Repair, tried
from serving.router import list_routes, set_route
from store.assistants import find_assistant, list_assistants
from store.database import Database
from store.promotions import barred
from store.tables import Assistant, Version
from tuning.versions import withdraw

BY = "the doctor"


async def look(settings: Settings, database: Database) -> list[Finding]:
    """All of this group."""
    async with database.session() as session:
        assistants = await list_assistants(session)
        routes = await list_routes(session)
        rows = await session.scalars(select(Version))
        versions = {(row.assistant_id, row.number): row for row in rows}
    if not assistants:
        return [Finding("Assistants", "ok", "none yet; parlance up makes a first one, or: parlance assistant add NAME")]
    return [
        *tried("In service", lambda: check_service(database, assistants, versions)),
        *tried("Base models", lambda: check_base_models(settings, assistants)),
        *tried("Routes", lambda: check_routes(database, assistants, routes)),
    ]


def check_service(
    database: Database, assistants: list[Assistant], versions: dict[tuple[int, int], Version]
) -> list[Finding]:
    """Whether what is in service is on record and may serve."""
    found = []
    for assistant in assistants:
        if assistant.in_service is None:
            continue
        label = VersionName(assistant.name, assistant.in_service)
        version = versions.get((assistant.id, assistant.in_service))
        if version is None:
            repair = Repair("put the last good version into service", _withdrawing(database, assistant.name))
            advice = f"{assistant.name} answers nobody. Run: parlance rollback {assistant.name}"
            found.append(Finding("In service", "wrong", f"{label} is on no record", advice, repair))
        elif version.state in ("failed", "removed") or barred(assistant, version):
            why = "learnt from text that was deleted since" if barred(assistant, version) else f"is {version.state}"
            found.append(Finding("In service", "wrong", f"{label} {why}", f"Run: parlance rollback {assistant.name}"))
    return found or [Finding("In service", "ok", f"{sum(one.in_service is not None for one in assistants)} versions")]


def _withdrawing(database: Database, name: str) -> Make:
    async def make() -> None:
        async with database.session() as session:
            assistant = await find_assistant(session, name)
            await withdraw(session, assistant, BY)

    return make


def check_base_models(settings: Settings, assistants: list[Assistant]) -> list[Finding]:
    """One engine serves one base model: assistants for another get no answer."""
    served = find_model(settings.base_model).name
    found = []
    for assistant in assistants:
        try:
            needs = find_model(assistant.base_model).name
        except ParlanceError as error:
            found.append(Finding("Base models", "wrong", f"{assistant.name}: {error}", "Put the model back."))
            continue
        if needs != served:
            advice = f"Set PARLANCE_BASE_MODEL={needs}, or run an installation of its own for it."
            found.append(Finding("Base models", "wrong", f"{assistant.name} needs {needs}; {served} is served", advice))
    return found or [Finding("Base models", "ok", f"all are for {served}")]


def check_routes(database: Database, assistants: list[Assistant], routes: list[tuple[str, str, str]]) -> list[Finding]:
    """Whether every place has an assistant, and every assistant a place."""
    default = next((name for scope, _, name in routes if scope == "default"), None)
    found = []
    if default is None:
        only = assistants[0].name if len(assistants) == 1 else None
        repair = (
            Repair(f"have {only} answer wherever nothing else is chosen", _routing(database, only)) if only else None
        )
        advice = f"Run: parlance route default {only or 'NAME'}"
        found.append(Finding("Routes", "warning", "nobody answers where nothing is chosen", advice, repair))
    lost = [one.name for one in assistants if one.name not in {name for _, _, name in routes}]
    if lost and (default is not None or len(assistants) > 1):
        advice = f"Run: parlance route CHANNEL {lost[0]}"
        found.append(Finding("Routes", "warning", f"no route leads to {', '.join(lost[:5])}", advice))
    return found or [Finding("Routes", "ok", f"{len(routes)}; {default} answers where nothing is chosen")]


def _routing(database: Database, name: str) -> Make:
    async def make() -> None:
        async with database.session() as session:
            await set_route(session, "default", "", name)

    return make
