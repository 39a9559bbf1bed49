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
from store.database import Database
from store.promotions import served
from store.tables import Assistant, Promotion, Version

BY = "Parlance"
GONE = "its files are gone or damaged"
UNFIT = "it was made for another base model or a larger rank"

log = logging.getLogger(__name__)


async def fall_back(database: Database, version: VersionName, why: ParlanceError) -> None:
    """Take `version`, which the engine refused with `why` (NotFound or Refused), out of service; who answers now is
    found as always. Where it is in service no more, nothing is left to do.

    Raises `why` where it is the untuned model that could not be loaded: nothing is left to fall back to.
    """
    async with database.session() as session:
        assistant = await session.scalar(select(Assistant).where(Assistant.name == version.assistant))
        if assistant is None:
            raise why
        bad = version.number
        versions = await session.scalars(
            select(Version).where(Version.assistant_id == assistant.id, Version.number <= bad)
        )
        known = {row.number: row for row in versions}
        good = [number for number, row in known.items() if number != bad and _may_serve(assistant, row)]
        before = [number for number in await served(session, assistant) if number in good]
        after = next(reversed(before), max(good, default=None))
        pointer = Assistant.id == assistant.id, Assistant.in_service == bad
        moved = await session.execute(update(Assistant).where(*pointer).values(in_service=after))
        if moved.rowcount != 1:  # type: ignore[attr-defined]
            return
        session.add(Promotion(assistant_id=assistant.id, action="withdraw", before=bad, after=after, asked_by=BY))
        trouble = GONE if isinstance(why, NotFound) else UNFIT
        if bad in known:
            known[bad].trouble, known[bad].trouble_told = trouble, False
    instead = VersionName(version.assistant, after) if after is not None else "the untuned model"
    log.error("%s could not be loaded: %s; %s answers from now on", version, trouble, instead)


def _may_serve(assistant: Assistant, version: Version) -> bool:
    return (
        version.state == "passed"
        and version.base_model == assistant.base_model
        and version.trouble is None
        and (version.forgotten_at is None or assistant.on_forget == "mark")
    )
