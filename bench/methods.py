"""The three methods of tuning side by side on the demo's communities: what each learns, what it loses, what it takes.

    python -m bench.methods [--method lora] [--community harbour] [--json]

Each community's log is imported and curated as the platform does it, and learnt with the settings that a job takes, by
each method in a process of its own. Measured is the adapter as it was written, which is what a gate judges: on the
community's later conversations, and on the general exchanges of the gate. `partial` and `full` train weights and then
turn their change into an adapter, so what the weights themselves had come to is shown beside. Seconds are those of the
whole process, from its start to its end; the peak is its resident memory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, get_args

from config.catalogue import find_model
from config.hardware import plan, probe
from config.settings import load_settings
from console.assistant_commands import DEFAULT_PROMPT
from console.demo.stage import GARDEN, HARBOUR, Community
from store.assistants import add_assistant
from store.database import open_database
from tuning.curation import Curated, curate, silent
from tuning.gate.judge import PROBE
from tuning.importing import import_file
from tuning.training.outcome import TrainingResult
from tuning.training.planned import run_for
from tuning.training.process import trainers_environment
from tuning.training.run import Method, RunFolder, TrainingRun

MODEL = "demo"
METHODS: tuple[Method, ...] = get_args(Method)
COMMUNITIES = {community.name: community for community in (HARBOUR, GARDEN)}
HEADS = ("method", "rank", "adapter kB", "held-out", "as trained", "general", "kept", "seconds", "processor s", "MiB")


async def learnable(community: Community, home: Path, folder: Path) -> Curated:
    """Write what is learnt and what is measured on into `folder`, by way of a data folder at `home`."""
    database = await open_database(load_settings(home=home, base_model=MODEL))
    try:
        async with database.session() as session:
            assistant = await add_assistant(session, community.name, DEFAULT_PROMPT, MODEL)
        await import_file(database, community.export, community.name, community.speaker, "bench", silent)
        return await curate(database, assistant.id, folder, silent)
    finally:
        await database.close()


def settings_of(method: Method, examples: int, home: Path) -> TrainingRun:
    """What a job on this machine would train with."""
    model, settings = find_model(MODEL), load_settings(home=home)
    return run_for(
        model, plan(probe(home), model), method, examples=examples, system_prompt=DEFAULT_PROMPT,
        replay_share=settings.replay_share,
    )  # fmt: skip


def train(folder: RunFolder) -> tuple[TrainingResult, float, float]:
    """Train in a process of its own: what it said of itself, its seconds by the clock and by the processor."""
    began, busy = time.monotonic(), _children()
    command = [sys.executable, "-m", "tuning.training", str(folder.folder)]
    done = subprocess.run(command, env=trainers_environment({}), capture_output=True, text=True, check=False)
    result = folder.read_result()
    if result is None:
        sys.exit(f"the trainer left no result:\n{done.stderr[-3000:]}")
    return result, time.monotonic() - began, _children() - busy


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def losses(run: TrainingRun, adapter: Path | None, held_out: Path) -> tuple[float, float]:
    """Nats per learnt token of an adapter (None: of the untouched model) on conversations and on the gate's general
    exchanges, those of each that the engine can score."""
    import torch

    from serving.prompt import ChatTokenizer
    from tuning.exchanges import read_exchanges, servable
    from tuning.training import lora
    from tuning.training.batches import collate, group, row_of
    from tuning.training.losses import mean_loss

    torch.set_num_threads(run.threads)
    tokenizer = ChatTokenizer(run.model)
    base = lora.load_base(run)
    model = base if adapter is None else lora.load_adapter(base, adapter)

    def mean(file: Path, prompt: str) -> float:
        exchanges = servable(read_exchanges(file, tokenizer, prompt, run.context), run.context)
        rows = [row for row in (row_of(one, run.context) for one in exchanges) if row is not None]
        batches = [collate([rows[place] for place in places]) for places in group(rows, 4 * run.batch_tokens)]
        return mean_loss(model, [batch.to(base.device) for batch in batches], lambda: None)

    return mean(held_out, run.system_prompt), mean(PROBE, "")


def compare(community: Community, methods: tuple[Method, ...]) -> dict[str, Any]:
    """Curate once, then train and measure each method in turn."""
    with tempfile.TemporaryDirectory(prefix="parlance-bench-") as place:
        home, data = Path(place) / "home", Path(place) / "data"
        data.mkdir()
        curated = asyncio.run(learnable(community, home, data))
        held_out = data / "held_out.jsonl"
        untouched = losses(settings_of("lora", curated.train, home), None, held_out)
        figures = {}
        for method in methods:
            print(f"{community.name}: {method}", file=sys.stderr)
            folder = RunFolder(Path(place) / method)
            folder.folder.mkdir()
            for file in data.iterdir():
                os.link(file, folder.folder / file.name)
            run = settings_of(method, curated.train, home)
            folder.settings.write_text(run.model_dump_json())
            result, seconds, processor = train(folder)
            learnt, general = losses(run, folder.adapter, held_out)
            figures[method] = {
                "rank": result.rank, "adapter_bytes": sum(file.stat().st_size for file in folder.adapter.iterdir()),
                "held_out": learnt, "held_out_change": learnt / untouched[0] - 1, "as_trained": result.held_out,
                "general": general, "general_growth": general / untouched[1] - 1, "kept": result.kept,
                "seconds": seconds, "processor_seconds": processor, "steps": result.steps, "epochs": result.epochs,
                "best_step": result.best_step, "learning_rate": result.learning_rate,
                "peak_bytes": result.peak_memory,
            }  # fmt: skip
    return {
        "community": community.name, "examples": curated.train, "held_out_examples": curated.held_out,
        "untouched": {"held_out": untouched[0], "general": untouched[1]}, "methods": figures,
    }  # fmt: skip


def show(found: dict[str, Any]) -> None:
    """One community as a table."""
    untouched = found["untouched"]
    print(
        f"{found['community']}: {found['examples']} examples, {found['held_out_examples']} held out; untouched model "
        f"{untouched['held_out']:.3f} nats per learnt token on these, {untouched['general']:.3f} on general exchanges"
    )
    print("".join(f"{head:>16}" for head in HEADS))
    for method, row in found["methods"].items():
        kept = "all" if row["kept"] is None else f"{row['kept']:.0%}"
        cells = (
            method, row["rank"], f"{row['adapter_bytes'] / 1000:,.0f}",
            f"{row['held_out']:.3f} {row['held_out_change']:+.1%}", f"{row['as_trained']:.3f}",
            f"{row['general']:.3f} {row['general_growth']:+.1%}", kept,
            f"{row['seconds']:.0f}", f"{row['processor_seconds']:.0f}", f"{row['peak_bytes'] / 2**20:,.0f}",
        )  # fmt: skip
        print("".join(f"{cell:>16}" for cell in cells))


def main() -> None:
    """A table of each community, or with --json the same figures as a list of objects."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--method", choices=METHODS, help="this one alone")
    parser.add_argument("--community", choices=COMMUNITIES, help="this one alone")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    methods = (asked.method,) if asked.method else METHODS
    chosen = [COMMUNITIES[asked.community]] if asked.community else list(COMMUNITIES.values())
    found = []
    for community in chosen:
        found.append(compare(community, methods))
        if not asked.json:
            show(found[-1])
    if asked.json:
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
