"""Run folders of jobs that are to stop: gone once nobody works in them. Knows nothing of what is in them."""

from __future__ import annotations

import asyncio
import fcntl
import shutil
from collections.abc import Sequence

from config.paths import Paths

LOOK_EVERY = 0.1
PATIENCE = 12.0
"""Seconds. A runner stops a job within five."""


async def clear(paths: Paths, job_ids: Sequence[int]) -> bool:
    """Wait until the runner has removed these jobs' folders, which it does when they end; where no runner lives, do it
    here. False where one is still busy after a while: it goes on to remove them."""
    folders = [paths.job(job_id) for job_id in job_ids]
    for _ in range(round(PATIENCE / LOOK_EVERY)):
        if not any(folder.exists() for folder in folders):
            return True
        with (paths.run / "jobs.lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass  # a runner lives; it is the one that clears
            else:
                for folder in folders:
                    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
                continue
        await asyncio.sleep(LOOK_EVERY)
    return False
