"""Promotion by policy: a version that passed its gate is put into service where its assistant's operators leave that to
the gate. Knows nothing of how it was made.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
from sqlalchemy import select

from config.errors import JobFailed, NotFound, Refused
from config.names import VersionName
from store.assistants import find_assistant, find_version
from store.database import Database
from store.tables import Promotion
from tuning.insisting import EngineSource, insist
from tuning.versions import promote

log = structlog.get_logger()


async def promote_by_policy(
    database: Database, engine: EngineSource, name: VersionName, tell: Callable[[str], Awaitable[None]]
) -> None:
    """Put a recorded version into service where it is to be. What keeps it out costs nobody the version: it waits to
    be promoted by hand. Done twice, it does nothing more.

    Raises EngineUnavailable where there is no engine for long; nothing has changed then.
    """
    if not await _due(database, name):
        return
    try:
        await insist(engine, lambda client: promote(database, client, name.assistant, name.number, "policy"), tell)
    except (JobFailed, NotFound, Refused) as error:
        log.warning("the new version was not put into service", version=str(name), why=str(error))


async def _due(database: Database, name: VersionName) -> bool:
    """Not where somebody has chosen what serves since it was recorded, or this was done before a kill."""
    async with database.session() as session:
        assistant = await find_assistant(session, name.assistant)
        version = await find_version(session, assistant, name.number)
        chosen = select(Promotion.id).where(
            Promotion.assistant_id == assistant.id,
            Promotion.action.in_(("promote", "rollback")),
            Promotion.created_at >= version.created_at,
        )
        undecided = await session.scalar(chosen.limit(1)) is None
    return assistant.auto_promote and version.state == "passed" and undecided
