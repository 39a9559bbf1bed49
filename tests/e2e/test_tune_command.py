"""`parlance tune` from the command line to a version that serves, with the real trainer and engine."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from community import write_export
from running_engine import RunningEngine

from serving.adapters import verify
from store.assistants import find_assistant
from store.database import open_database
from tuning.jobs import get
from tuning.versions import history

ROOT = Path(__file__).resolve().parents[2]


async def parlance(home: Path, *words: str) -> tuple[int | None, str, str]:
    """Exit code, result, and what was said meanwhile. It runs beside this process, which looks after the engine."""
    environment = dict(os.environ) | {"PARLANCE_HOME": str(home), "COLUMNS": "200"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "console.cli", *words, cwd=ROOT, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said = await process.communicate()
    return process.returncode, said[0].decode(), said[1].decode()


async def test_tune_learns_by_the_asked_method_shows_the_proof_and_promotes(
    engine: RunningEngine, tmp_path: Path
) -> None:
    home = engine.paths.home
    export = write_export(tmp_path / "towpath.json", 90)
    assert (await parlance(home, "assistant", "add", "towpath"))[0] == 0
    assert (await parlance(home, "import", str(export), "--assistant", "towpath", "--speaker", "Odd"))[0] == 0
    refused = await parlance(home, "tune", "towpath", "--method", "guess")
    assert (refused[0], refused[1]) == (1, "") and "choose lora, partial or full" in refused[2]

    code, result, meanwhile = await parlance(home, "tune", "towpath", "--method", "partial", "--promote", "--json")
    assert code == 0, meanwhile
    tuned = json.loads(result)
    assert (tuned["version"], tuned["verdict"], tuned["reasons"]) == ("towpath@v1", "pass", [])
    assert tuned["report"]["held_out"]["version"] < tuned["report"]["held_out"]["base"]
    assert "Measuring" in meanwhile

    database = await open_database(engine.settings)
    try:
        (view,) = await history(database, "towpath")
        async with database.session() as session:
            assert (await find_assistant(session, "towpath")).in_service == 1
        (line,) = json.loads((await parlance(home, "jobs", "towpath", "--json"))[1])
        assert (line["state"], line["version"], line["error"]) == ("done", "towpath@v1", None)
        assert (await get(database, line["job"])).settings == {"method": "partial"}
    finally:
        await database.close()
    assert view.in_service
    assert verify(engine.paths.adapter(view.name)).facts["training"]["method"] == "partial"
