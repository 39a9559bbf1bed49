"""Which assistant answers in a place, and which version of it: the most exact route wins.

Promises one query for each message, and that what was gated is what is served: a version comes with the system
prompt that it was trained and judged with. Knows nothing of platforms; a place is what a connector calls it.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import and_, bindparam, case, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from config.catalogue import find_model
from config.errors import BadInput, NotFound
from config.names import VersionName, untuned
from store.database import Database
from store.tables import Assistant, Route, Version

SCOPES = ("channel", "parent", "server", "account", "default")
"""From the most exact to the least. The default route has the empty key."""
NOWHERE = "No assistant answers here yet; an operator can choose one with: parlance route CHANNEL NAME."


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message was said: its channel, and what that lies in, as far as there is such a thing."""

    channel: str
    parent: str | None = None
    server: str | None = None
    account: str | None = None

    def keys(self) -> dict[str, str | None]:
        """The key of each scope's route here; None where there is no such scope."""
        named = (self.channel, self.parent, self.server, self.account, "")
        return dict(zip(SCOPES, named, strict=True))


@dataclass(frozen=True, slots=True)
class Routed:
    """Who answers: `version` is what the engine is asked for, `system_prompt` what goes first."""

    assistant: Assistant
    version: VersionName
    system_prompt: str


_EXACTNESS = case({scope: rank for rank, scope in enumerate(SCOPES)}, value=Route.scope)
# Built once: putting a statement together takes longer than SQLite takes to answer it. A key of None equals nothing.
_BY_PLACE = (
    select(Assistant, Version.system_prompt)
    .join(Route, Route.assistant_id == Assistant.id)
    .outerjoin(Version, and_(Version.assistant_id == Assistant.id, Version.number == Assistant.in_service))
    .where(or_(*(and_(Route.scope == scope, Route.key == bindparam(scope)) for scope in SCOPES)))
    .order_by(_EXACTNESS)
    .limit(1)
)


_PROMPT = Version.system_prompt.label("gated_prompt")
_COLUMNS_BY_PLACE = _BY_PLACE.with_only_columns(*Assistant.__table__.c, _PROMPT)


async def route(database: Database, place: Place) -> Routed:
    """Like `resolve`, in a transaction of its own and ten times as fast: the way of every message.

    `assistant` belongs to no session.
    """
    found = await database.look_up(_COLUMNS_BY_PLACE, place.keys())
    if found is None:
        raise NotFound(NOWHERE)
    columns = dict(found._mapping)
    prompt = columns.pop("gated_prompt")
    return _routed(Assistant(**columns), prompt)


async def resolve(session: AsyncSession, place: Place) -> Routed:
    """Who answers in `place`. An assistant without a version in service is answered by the untuned model.

    Raises NotFound where nothing is routed.
    """
    found = (await session.execute(_BY_PLACE, place.keys())).first()
    if found is None:
        raise NotFound(NOWHERE)
    return _routed(found[0], found[1])


async def in_service(session: AsyncSession, assistant: Assistant) -> Routed:
    """Who answers as `assistant`, wherever it is asked."""
    prompt: str | None = None
    if assistant.in_service is not None:
        query = select(Version.system_prompt).where(
            Version.assistant_id == assistant.id, Version.number == assistant.in_service
        )
        prompt = await session.scalar(query)
    return _routed(assistant, prompt)


def _routed(assistant: Assistant, prompt: str | None) -> Routed:
    if assistant.in_service is None:
        return Routed(assistant, untuned(find_model(assistant.base_model).name), assistant.system_prompt)
    if prompt is None:
        raise NotFound(f"The record of {assistant.name}@v{assistant.in_service} is gone; promote another version.")
    return Routed(assistant, VersionName(assistant.name, assistant.in_service), prompt)


async def set_route(session: AsyncSession, scope: str, key: str, assistant_name: str) -> None:
    """From now on `assistant_name` answers in `key` of `scope`; the default's key is empty.

    Raises BadInput for a scope that there is not, NotFound for an assistant that there is not.
    """
    if scope not in SCOPES or (key == "") != (scope == "default"):
        raise BadInput(
            f"A route is for a channel, parent, server or account with its name, or the default, not {scope}."
        )
    assistant_id = await session.scalar(select(Assistant.id).where(Assistant.name == assistant_name))
    if assistant_id is None:
        raise NotFound(f"There is no assistant “{assistant_name[:60]}”; parlance assistant list shows those there are.")
    route = await session.scalar(select(Route).where(Route.scope == scope, Route.key == key))
    if route is None:
        session.add(Route(scope=scope, key=key, assistant_id=assistant_id))
    else:
        route.assistant_id = assistant_id
    await session.flush()


async def list_routes(session: AsyncSession) -> list[tuple[str, str, str]]:
    """(scope, key, assistant's name) of every route, the most exact first."""
    query = select(Route.scope, Route.key, Assistant.name).join(Assistant).order_by(_EXACTNESS, Route.key)
    return [(scope, key, name) for scope, key, name in await session.execute(query)]
