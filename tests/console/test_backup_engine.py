"""A restored home answers as the one did that was backed up: the same conversations, token for token."""

from __future__ import annotations

import shutil
from pathlib import Path

from adapter_making import random_adapter
from running_engine import RunningEngine
from sqlalchemy import select

from config.names import VersionName
from config.settings import load_settings
from console.backup import back_up, restore
from serving.adapters import publish
from serving.answer import Sampling
from serving.client import EngineClient
from serving.lease import engine_lease
from serving.prompt import with_system
from serving.router import Place, route, set_route
from store.assistants import add_assistant
from store.database import Database, open_database
from store.tables import Channel, Message, Version

GREEDY = Sampling(max_tokens=48, temperature=0.0)
QUESTIONS = (
    "Can you help me rent a car for Saturday?",
    "I need a table for two this evening.",
    "What time does the train to Norwich leave?",
    "Thank you, that is all.",
)


def silent(name: str, fraction: float | None = None, detail: str = "") -> None:
    """Nobody watches."""


async def community(database: Database, adapters: Path, scratch: Path) -> None:
    """An assistant with a version of its own in service, and four channels with a question each."""
    staged = random_adapter(scratch / "staged", seed=11)
    digest = publish(staged, adapters / "kept" / "v1", {"base_model": "demo"})
    async with database.session() as session:
        assistant = await add_assistant(session, "kept", "You are the harbour office.", "demo")
        assistant.in_service = 1
        session.add(
            Version(
                assistant_id=assistant.id, number=1, state="passed", digest=digest, base_model="demo",
                system_prompt="You are the harbour office.", report={"sentence": "", "reasons": []},
            )
        )  # fmt: skip
        for number, question in enumerate(QUESTIONS):
            channel = Channel(key=f"web:kept{number}", account="web")
            session.add(channel)
            await session.flush()
            session.add(Message(channel_id=channel.id, role="user", author="Ada", text=question))
            await set_route(session, "channel", channel.key, "kept")


async def answers(database: Database, client: EngineClient) -> list[tuple[VersionName, str, int, tuple[int, ...]]]:
    """Of each channel: who answers, what, of how many prompt tokens, and the tokens of all of it as the engine sees
    them."""
    found = []
    for number in range(len(QUESTIONS)):
        key = f"web:kept{number}"
        async with database.session() as session:
            rows = await session.scalars(select(Message).join(Channel).where(Channel.key == key).order_by(Message.id))
            said = [{"role": row.role, "content": row.text} for row in rows]
        routed = await route(database, Place(key))
        messages = with_system(routed.system_prompt, said)
        answer = await client.answer(routed.version, messages, GREEDY)
        scored = await client.score(routed.version, [*messages, {"role": "assistant", "content": answer.text}])
        found.append((routed.version, answer.text, answer.prompt_tokens, tuple(scored.ids)))
    return found


async def test_a_restored_home_answers_token_for_token_as_the_one_that_was_backed_up(
    engine: RunningEngine, tmp_path: Path
) -> None:
    database = await open_database(engine.settings)
    try:
        await community(database, engine.paths.adapters, tmp_path)
        before = await answers(database, engine.client)
        made = await back_up(engine.settings, database, tmp_path / "shelf", silent)
    finally:
        await database.close()
    assert made.left_out == {}
    key = shutil.copy(engine.paths.key_file, tmp_path / "copy-of-key")

    settings = load_settings(home=tmp_path / "restored", base_model="demo")
    restore(settings, tmp_path / "shelf", None, Path(key), silent)
    restored = await open_database(settings)
    try:
        async with engine_lease(settings, restored.cipher) as client:
            assert await answers(restored, client) == before
    finally:
        await restored.close()
    assert {str(version) for version, *_ in before} == {"kept@v1"}
    assert len({text for _, text, *_ in before}) > 1
