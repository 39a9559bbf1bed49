"""Small Telegram exports of invented people, and a look at every row of a database."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

from sqlalchemy import text

from store.database import Database
from store.tables import Assistant, Base

Json = dict[str, Any]
START = 1_700_000_000
SAID = (
    "The boat leaves at dawn",
    "Bring the long rope",
    "Low water is at six",
    "Ask the keeper for oil",
    "Fog till noon",
)
ASKED = ("When do we sail", "What shall I bring", "How is the tide", "Who has the lamp oil", "Will it clear up")


def author_id(who: str) -> str:
    return f"user{zlib.crc32(who.encode())}"


def message(number: int, who: str, said: Any, at: int, **more: Any) -> Json:
    """One message as Telegram Desktop writes it."""
    entities = [{"type": "plain", "text": said}] if isinstance(said, str) else said
    return {
        "id": number, "type": "message", "date": "2023-11-14T22:13:20", "date_unixtime": str(at), "from": who,
        "from_id": author_id(who), "text": said if isinstance(said, str) else "", "text_entities": entities,
        **more,
    }  # fmt: skip


def service(number: int, who: str, at: int) -> Json:
    return {
        "id": number, "type": "service", "date": "2023-11-14T22:13:20", "date_unixtime": str(at), "actor": who,
        "actor_id": "user1", "action": "pin_message", "text": "", "text_entities": [],
    }  # fmt: skip


def talk(rounds: int, first: int = 1, at: int = START) -> list[Json]:
    """So many times Odo asks and Runa answers him, each an hour after the other."""
    said = []
    for turn in range(rounds):
        asked = f"{ASKED[turn % 5]} on day {turn}, to the {turn * 7 % 101}th island?"
        answer = f"{SAID[turn % 5]}, and mind rock {turn * 13 % 97} by the {turn * 31 % 89}th buoy."
        number, when = first + 2 * turn, at + 3600 * turn
        said.append(message(number, "Odo Brandt", asked, when))
        said.append(message(number + 1, "Runa Vik", answer, when + 40, reply_to_message_id=number))
    return said


def chat(messages: list[Json], name: str | None = "Harbour", number: int = 77) -> Json:
    return {"name": name, "type": "private_group", "id": number, "messages": messages}


def account(*chats: Json, left: tuple[Json, ...] = ()) -> Json:
    return {
        "about": "Here is the data you requested.",
        "personal_information": {"user_id": 1, "first_name": "Odo", "username": "@odo"},
        "contacts": {"about": "…", "list": [{"user_id": 2, "first_name": "Runa"}]},
        "chats": {"about": "…", "list": list(chats)},
        "left_chats": {"about": "…", "list": list(left)},
    }


def written(folder: Path, export: Any, name: str = "result.json", **options: Any) -> Path:
    """The export as a file, in UTF-8 as Telegram Desktop writes it."""
    file = folder / name
    options = {"ensure_ascii": False, "indent": 1, **options}
    file.write_text(json.dumps(export, **options), encoding="utf-8")
    return file


async def add_assistant(database: Database, name: str = "harbour") -> int:
    async with database.session() as session:
        owner = Assistant(name=name, system_prompt="You keep the harbour.", base_model="demo")
        session.add(owner)
        await session.flush()
        return owner.id


async def every_row(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """All that is in the database, as it lies there, sealed."""
    async with database.engine.connect() as connection:
        return {
            table: [tuple(row) for row in await connection.execute(text(f"SELECT * FROM {table} ORDER BY 1, 2"))]
            for table in sorted(Base.metadata.tables)
        }


def silent(step: str, done: int, total: int) -> None:
    """Progress that nobody follows."""
