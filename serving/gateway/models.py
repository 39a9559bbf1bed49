"""Which models a key sees: each assistant of its scope by name, and each version of it that may serve.

`NAME` follows promotions and `NAME@vN` stays what it is. Promises that what did not pass its gate, was set aside, could
not be loaded, was made for another base model, or learnt from words deleted since against the assistant's policy, is no
model; and that what a key may not use looks to it like what does not exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, bindparam, or_, select

from config.catalogue import find_model
from config.errors import BadInput
from config.names import VersionName, untuned
from serving.gateway.errors import ApiError
from serving.gateway.shapes import Model
from store.database import Database
from store.keys import KnownKey
from store.tables import Assistant, Version

LONGEST_NAME = 60

_MAY_SERVE = and_(
    Version.state == "passed",
    Version.trouble.is_(None),
    Version.base_model == Assistant.base_model,
    or_(Version.forgotten_at.is_(None), Assistant.on_forget == "mark"),
)
_IN_SERVICE = (
    select(
        Assistant.id, Assistant.name, Assistant.base_model, Assistant.in_service, Assistant.system_prompt,
        Assistant.created_at, Version.system_prompt.label("gated_prompt"),
    )
    .outerjoin(Version, and_(Version.assistant_id == Assistant.id, Version.number == Assistant.in_service))
)  # fmt: skip
_BY_NAME = _IN_SERVICE.where(Assistant.name == bindparam("name"))
_VERSIONS = (
    select(Assistant.id, Assistant.name, Version.number, Version.system_prompt, Version.created_at)
    .join(Version, Version.assistant_id == Assistant.id)
    .where(_MAY_SERVE)
)
_PINNED = _VERSIONS.where(Assistant.name == bindparam("name"), Version.number == bindparam("number"))
_ALL: Select[Any] = _IN_SERVICE.order_by(Assistant.name)
_ALL_VERSIONS: Select[Any] = _VERSIONS.order_by(Assistant.name, Version.number)


@dataclass(frozen=True, slots=True)
class Served:
    """What answers to a model's name. `shown` is what the client is told; `system_prompt` the one it was gated with."""

    assistant: str
    version: VersionName
    shown: str
    system_prompt: str
    created: datetime


async def find_served(database: Database, key: KnownKey, name: str) -> Served:
    """Raises ApiError 404 where there is none that this key may use."""
    row, pinned = None, _pinned(name)
    if "@" in name:
        if pinned is not None:
            row = await database.look_up(_PINNED, {"name": pinned.assistant, "number": pinned.number})
    elif len(name) <= LONGEST_NAME and name.isascii():
        row = await database.look_up(_BY_NAME, {"name": name})
    if row is None or not _may(key, row.id):
        raise _unknown(name)
    if pinned is not None:
        return Served(row.name, VersionName(row.name, row.number), name, row.system_prompt, row.created_at)
    if row.in_service is None:
        base = untuned(find_model(row.base_model).name)
        return Served(row.name, base, row.name, row.system_prompt, row.created_at)
    if row.gated_prompt is None:
        raise _unknown(name)
    version = VersionName(row.name, row.in_service)
    return Served(row.name, version, str(version), row.gated_prompt, row.created_at)


async def list_models(database: Database, key: KnownKey) -> list[Model]:
    """Assistants by name, then their versions."""
    named = await database.look_through(_ALL, {})
    pinned = await database.look_through(_ALL_VERSIONS, {})
    found = [Model(id=row.name, created=int(row.created_at.timestamp())) for row in named if _may(key, row.id)]
    found += [
        Model(id=str(VersionName(row.name, row.number)), created=int(row.created_at.timestamp()))
        for row in pinned
        if _may(key, row.id)
    ]
    return found


def _may(key: KnownKey, assistant: int) -> bool:
    return key.assistants is None or assistant in key.assistants


def _pinned(name: str) -> VersionName | None:
    try:
        return VersionName.parse(name)
    except BadInput:
        return None


def _unknown(name: str) -> ApiError:
    return ApiError(
        404,
        f"The model “{name[:LONGEST_NAME]}” does not exist here, or this key is not for it; /v1/models lists those "
        "that it is for.",
        "model_not_found",
        param="model",
    )
