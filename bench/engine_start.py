"""How long an engine takes from its start to its first answer on a processor: as two processes, the second forked, as
Parlance starts it, and as three, each begun anew, as vLLM does there.
Run: `python -m bench.engine_start [--rounds 3] [--json]`

Promises that both sides differ in that alone and start in turns, each in a home of its own. Writes nothing that stays.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

SIDES = ("forked", "anew")


async def seconds_to_first_answer(home: Path, side: str) -> float:
    """Of one engine, in this process's environment."""
    from bench.engine_without import engines_without
    from config.settings import load_settings
    from serving.adapters import ensure_untuned
    from serving.answer import Sampling
    from serving.on_processor import FORKS_VARIABLE
    from serving.supervisor import EngineSupervisor
    from store.crypto import load_cipher

    settings = load_settings(home=home)
    settings.paths.ensure()
    supervisor = EngineSupervisor(settings, load_cipher(settings.paths.key_file, None))
    ensure_untuned(settings.paths, supervisor.model)  # a home makes it once
    began = time.monotonic()
    stack = ExitStack()
    if side == "anew":
        stack.enter_context(engines_without(FORKS_VARIABLE))
    supervisor.start()
    try:
        await supervisor.wait_ready(timeout=900)
        one = Sampling(max_tokens=1, temperature=0.0)
        await supervisor.client.answer(supervisor.untuned, [{"role": "user", "content": "Hello"}], one)
        return time.monotonic() - began
    finally:
        stack.close()
        await supervisor.stop()


def main() -> None:
    """Rounds in turn, medians."""
    ask = argparse.ArgumentParser(prog="python -m bench.engine_start", description=__doc__.split("\n\n", 1)[0])
    ask.add_argument("--rounds", type=int, default=3)
    ask.add_argument("--json", action="store_true")
    ask.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    asked = ask.parse_args()
    if asked.child:
        print(asyncio.run(seconds_to_first_answer(Path(asked.child[1]), asked.child[0])))
        return
    taken: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(asked.rounds):
        for side in SIDES:
            with tempfile.TemporaryDirectory(prefix="parlance-bench-") as home:
                command = [sys.executable, "-m", "bench.engine_start", "--child", side, home]
                done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=True)
            taken[side].append(float(done.stdout.split()[-1]))
            print(f"{side:8}{taken[side][-1]:8.1f} s", file=sys.stderr)
    medians = {side: statistics.median(taken[side]) for side in SIDES}
    ratio = medians["forked"] / medians["anew"]
    if asked.json:
        print(json.dumps({"seconds": taken, "medians": medians, "ratio": ratio}))
        return
    print(f"from start to first answer: forked {medians['forked']:.1f} s, anew {medians['anew']:.1f} s", end="")
    print(f", {ratio:.2f} times")


if __name__ == "__main__":
    main()
