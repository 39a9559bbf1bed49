"""What answers where the version in service cannot be loaded: the last good one, from then on.

Promises that a version whose files are gone or damaged costs nobody an answer: the pointer moves in one transaction to
what served before it, the version keeps a note of why, which operators are told, and promoting it again takes it back.
Whoever asks for an assistant by its name asks through `with_last_good`. Knows neither engine nor conversation.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy import select, update

from config.errors import NotFound, ParlanceError, Refused
from config.names import VersionName
from store.database import Database
from store.promotions import earlier, may_serve
from store.tables import Assistant, Promotion, Version

BY = "Parlance"
GONE = "its files are gone or damaged"
UNFIT = "it was made for another base model or a larger rank"

log = logging.getLogger(__name__)
Found = TypeVar("Found")
Answer = TypeVar("Answer")


def _nobody(sentence: str) -> None:
    """Told of a fall where nobody looks."""


async def with_last_good(
    database: Database,
    find: Callable[[], Awaitable[tuple[VersionName, Found]]],
    ask: Callable[[Found], Awaitable[Answer]],
    told: Callable[[str], None] = _nobody,
) -> Answer:
    """What `ask` gives for what `find` finds: the version in service, and whatever it takes to ask it.

    Where `ask` raises NotFound or Refused, which is the engine's word on the version before any of its answer, that
    version goes out of service, `told` gets a sentence, and both are done again. Raises what they raise else.
    """
    while True:
        version, found = await find()
        try:
            return await ask(found)
        except (NotFound, Refused) as why:
            if fell := await fall_back(database, version, why):
                told(fell)


async def fall_back(database: Database, version: VersionName, why: ParlanceError) -> str | None:
    """Take `version`, which the engine refused with `why` (NotFound or Refused), out of service; who answers now is
    found as always. Returns what has happened, in a sentence; None where it is in service no more.

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
        older = [number for number, row in known.items() if number != bad and may_serve(assistant, row)]
        after = next(iter(await earlier(session, assistant)), max(older, default=None))
        pointer = Assistant.id == assistant.id, Assistant.in_service == bad
        moved = await session.execute(update(Assistant).where(*pointer).values(in_service=after))
        if moved.rowcount != 1:  # type: ignore[attr-defined]
            return None
        session.add(Promotion(assistant_id=assistant.id, action="withdraw", before=bad, after=after, asked_by=BY))
        trouble = trouble_of(why)
        if bad in known:
            known[bad].trouble, known[bad].trouble_told = trouble, False
    instead = VersionName(version.assistant, after) if after is not None else "the untuned model"
    sentence = f"{version} could not be loaded: {trouble}; {instead} answers from now on."
    log.error("%s", sentence)
    return sentence


def trouble_of(why: ParlanceError) -> str:
    """Why a version could not be loaded, by the engine's NotFound or Refused: half a sentence."""
    return GONE if isinstance(why, NotFound) else UNFIT
