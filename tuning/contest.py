"""Which two versions a comparison sets against each other: the one in service, and the one that might replace it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from config.catalogue import find_model
from config.errors import Refused
from config.names import VersionName, untuned
from store.assistants import find_assistant
from store.database import Database
from store.promotions import may_serve
from store.tables import Assistant, Version


@dataclass(frozen=True, slots=True)
class Side:
    """One version with the system prompt it was gated with, and its report; the untuned model has none."""

    name: VersionName
    system_prompt: str
    report: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Contest:
    """`serving` answers now; `candidate` is the newest version that passed and does not serve, else the untuned
    model."""

    assistant_id: int
    serving: Side
    candidate: Side


async def contest(database: Database, assistant_name: str) -> Contest:
    """Raises Refused where there is only the untuned model."""
    async with database.session() as session:
        assistant = await find_assistant(session, assistant_name)
        rows = await session.scalars(
            select(Version)
            .where(Version.assistant_id == assistant.id, Version.base_model == assistant.base_model)
            .order_by(Version.number.desc())
        )
        versions = rows.all()
    serving = next((row for row in versions if row.number == assistant.in_service), None)
    candidate = next((row for row in versions if row is not serving and may_serve(assistant, row)), None)
    if serving is None and candidate is None:
        raise Refused("There is only the untuned model, so nothing to compare it with; /retrain makes a version.")
    return Contest(assistant.id, _side(assistant, serving), _side(assistant, candidate))


def _side(assistant: Assistant, version: Version | None) -> Side:
    if version is None:
        return Side(untuned(find_model(assistant.base_model).name), assistant.system_prompt)
    return Side(VersionName(assistant.name, version.number), version.system_prompt, version.report)
