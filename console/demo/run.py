"""The demo from beginning to end. Whatever it claims and turns out untrue is named, and makes it fail."""

from __future__ import annotations

import time
from pathlib import Path

from console.demo.questions import ask_both
from console.demo.stage import GARDEN, HARBOUR, open_stage
from console.demo.swap import retrain_while_talking
from console.demo.teach import cross_check, teach
from console.output import Steps


async def run_demo(shown: Steps, report: Path) -> bool:
    """Run it all; True when everything it claims was true. Writes `report`."""
    began = time.monotonic()
    async with open_stage() as stage:
        for community in (HARBOUR, GARDEN):
            await teach(stage, community, shown)
        await cross_check(stage, shown)
        shown.say("Routing two channels and asking both")
        await ask_both(stage)
        await retrain_while_talking(stage, shown)
    proof = stage.proof
    proof.figures["seconds"] = round(time.monotonic() - began, 1)
    proof.write(report)
    proof.conclude(report)
    return proof.holds
