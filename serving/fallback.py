"""What answers where the version in service cannot be loaded: the last good one, from then on.

Promises that a version whose files are gone or damaged costs nobody an answer: the pointer moves in one transaction to
what served before it, the version keeps a note of why, which operators are told, and promoting it again takes it back.
Knows neither engine nor conversation.
"""

from __future__ import annotations

import logging

from sqlalchemy import select, update

from config.errors import NotFound, ParlanceError
from config.names import VersionName
from serving.router import Routed, in_service
from store.database import Database
from store.promotions import served
from store.tables import Assistant, Promotion, Version

BY = "Parlance"
GONE = "its files are gone or damaged"
UNFIT = "it was made for another base model or a larger rank"

log = logging.getLogger(__name__)


async def fall_back(database: Database, routed: Routed, why: ParlanceError) -> Routed:
    """Who answers instead of `routed`, whose version the engine refused with `why` (NotFound or Refused).

    Where somebody has moved the pointer meanwhile, that is who answers now. Raises `why` where the untuned model is
    what could not be loaded.
    """
    async with database.session() as session:
        assistant = await session.get_one(Assistant, routed.assistant.id)
        bad = routed.version.number
        if routed.version.assistant != assistant.name:
            raise why
        if assistant.in_service == bad:
            versions = await session.scalars(
                select(Version).where(Version.assistant_id == assistant.id, Version.number <= bad)
            )
            known = {version.number: version for version in versions}
            good = [number for number, version in known.items() if number != bad and _may_serve(assistant, version)]
            before = [number for number in await served(session, assistant) if number in good]
            after = next(reversed(before), max(good, default=None))
            pointer = Assistant.id == assistant.id, Assistant.in_service == bad
            moved = await session.execute(update(Assistant).where(*pointer).values(in_service=after))
            if moved.rowcount == 1:  # type: ignore[attr-defined]
                move = Promotion(assistant_id=assistant.id, action="withdraw", before=bad, after=after, asked_by=BY)
                session.add(move)
                known[bad].trouble = GONE if isinstance(why, NotFound) else UNFIT
                known[bad].trouble_told = False
                instead = VersionName(assistant.name, after) if after is not None else "the untuned model"
                reason = known[bad].trouble
                log.error("%s could not be loaded: %s; %s answers from now on", routed.version, reason, instead)
            await session.flush()
            await session.refresh(assistant)
        return await in_service(session, assistant)


def _may_serve(assistant: Assistant, version: Version) -> bool:
    return (
        version.state == "passed"
        and version.base_model == assistant.base_model
        and version.trouble is None
        and (version.forgotten_at is None or assistant.on_forget == "mark")
    )
