"""Queries on assistants and their versions: found by name, listed, made."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from config.errors import BadInput, NotFound
from config.names import VersionName, assistant_name
from store.tables import Assistant, Job, Version


async def find_assistant(session: AsyncSession, name: str) -> Assistant:
    """Raises NotFound, naming those that exist."""
    found = await session.scalar(select(Assistant).where(Assistant.name == name))
    if found is not None:
        return found
    names = list(await session.scalars(select(Assistant.name).order_by(Assistant.name).limit(20)))
    known = (
        f"there are {', '.join(names)}" if names else "there is none yet; make one with: parlance assistant add NAME"
    )
    raise NotFound(f"There is no assistant “{name[:60]}”; {known}.")


async def list_assistants(session: AsyncSession) -> list[Assistant]:
    """All, by name."""
    return list(await session.scalars(select(Assistant).order_by(Assistant.name)))


async def add_assistant(session: AsyncSession, name: str, system_prompt: str, base_model: str) -> Assistant:
    """Make one. Raises BadInput for a name that may not be or is taken."""
    name = assistant_name(name)
    if await session.scalar(select(Assistant.id).where(Assistant.name == name)) is not None:
        raise BadInput(f"There is already an assistant “{name}”; choose another name or go on with that one.")
    assistant = Assistant(name=name, system_prompt=system_prompt, base_model=base_model)
    session.add(assistant)
    await session.flush()
    return assistant


async def find_version(session: AsyncSession, assistant: Assistant, number: int) -> Version:
    """Raises NotFound, naming those that exist."""
    mine = select(Version).where(Version.assistant_id == assistant.id)
    found = await session.scalar(mine.where(Version.number == number))
    if found is not None:
        return found
    numbers = await session.scalars(select(Version.number).where(Version.assistant_id == assistant.id))
    known = ", ".join(str(VersionName(assistant.name, n)) for n in sorted(numbers)) or "none yet"
    raise NotFound(f"There is no version {VersionName(assistant.name, number)}; there are: {known}.")


async def next_number(session: AsyncSession, assistant: Assistant) -> int:
    """A version number that neither a version nor a job of this assistant has ever had."""
    of_versions = await session.scalar(select(func.max(Version.number)).where(Version.assistant_id == assistant.id))
    of_jobs = await session.scalar(select(func.max(Job.version)).where(Job.assistant_id == assistant.id))
    return max(of_versions or 0, of_jobs or 0) + 1
