"""Queries on assistants and their versions: found by name, listed, made."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from config.errors import BadInput, NotFound
from config.names import VersionName, assistant_name
from store.tables import Assistant, Job, Version

LONGEST_PERSONA = 2_000
"""Characters of a system prompt."""


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
    assistant = Assistant(name=name, system_prompt=_persona(system_prompt), base_model=base_model)
    session.add(assistant)
    await session.flush()
    return assistant


async def set_persona(session: AsyncSession, assistant: Assistant, text: str) -> None:
    """Another system prompt. The untuned model takes it up at once; a version keeps the one it was gated with, so it
    holds from the next one on. Raises BadInput for one that is too long."""
    assistant.system_prompt = _persona(text)
    await session.flush()


def _persona(text: str) -> str:
    text = text.encode("utf-8", "replace").decode().strip()
    if len(text) > LONGEST_PERSONA:
        raise BadInput(
            f"That has {len(text):,} characters, and {LONGEST_PERSONA:,} is the most that an assistant can be told "
            "about itself, because it is read before every answer; say it more shortly."
        )
    return text


async def find_version(session: AsyncSession, assistant: Assistant, number: int) -> Version:
    """Raises NotFound, naming those that exist."""
    mine = select(Version).where(Version.assistant_id == assistant.id)
    found = await session.scalar(mine.where(Version.number == number))
    if found is not None:
        return found
    numbers = await session.scalars(select(Version.number).where(Version.assistant_id == assistant.id))
    known = ", ".join(str(VersionName(assistant.name, n)) for n in sorted(numbers)) or "none yet"
    raise NotFound(f"There is no version {VersionName(assistant.name, number)}; there are: {known}.")


async def newest_version(session: AsyncSession, assistant: Assistant) -> Version:
    """The one with the highest number. Raises NotFound where there is none yet."""
    newest = select(Version).where(Version.assistant_id == assistant.id).order_by(Version.number.desc()).limit(1)
    found: Version | None = await session.scalar(newest)
    if found is None:
        raise NotFound(f"{assistant.name} has no versions yet; make the first with: parlance tune {assistant.name}")
    return found


async def next_number(session: AsyncSession, assistant: Assistant) -> int:
    """A version number that neither a version nor a job of this assistant has ever had."""
    of_versions = await session.scalar(select(func.max(Version.number)).where(Version.assistant_id == assistant.id))
    of_jobs = await session.scalar(select(func.max(Job.version)).where(Job.assistant_id == assistant.id))
    return max(of_versions or 0, of_jobs or 0) + 1
