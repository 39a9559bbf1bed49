"""`python job_process.py HOME [hold]`: runs the jobs of a home as the platform does, with the real trainer, for a test
that kills it. With `hold`, what is measured is never done."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from pathlib import Path

from played_engine import PlayedEngine

from config.settings import load_settings
from store.database import open_database
from tuning.runner import JobRunner
from tuning.training import planned
from tuning.training.run import TrainingRun


async def main(home: Path, hold: bool) -> None:
    settings = load_settings(home=home)
    database = await open_database(settings)
    engine = PlayedEngine(settings.paths)
    if hold:
        engine.script = [None] * 30 + [asyncio.Event()] * 100
    await JobRunner(database, settings, engine.ready).run_forever()


if __name__ == "__main__":
    planned.TrainingRun = partial(TrainingRun, checkpoint_every=0)  # type: ignore[assignment, misc]
    asyncio.run(main(Path(sys.argv[1]), "hold" in sys.argv))
